//! `POST /v1/apikey` (mint), `GET` (metadata), `DELETE` (revoke).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::network::Network;
use super::patch::Patch;
use super::{Id, Timestamp};

/// A minted api-key. Nothing shows it again.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// The id of the primary's own company: the company under which a secondary stores the key.
    pub primary_id: Id,
    /// The key itself: a credential.
    pub sync_api_key: String,
    /// Tells keys apart: the UUID in the name of the company's machine user. Not sent by the reference.
    #[serde(default)]
    pub key_id: Id,
    /// Rises by one with each mint of the company. Not sent by the reference.
    #[serde(default)]
    pub generation: i64,
    /// Until when the key before is good too, unless this one logs in earlier; absent: it is dead. Not sent by the
    /// reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_valid_until: Option<Timestamp>,
    /// When it ends by itself; absent: never. Not sent by the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Where it may be used from; absent: anywhere. Not sent by the reference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
}

/// The longest overlap of two keys: 30 days, so that a receiver which syncs once a month survives a lost reply.
pub const MAX_OVERLAP_SECONDS: u32 = 30 * 24 * 60 * 60;

/// The longest life of a key that has an end.
pub const MAX_EXPIRES_IN_DAYS: u32 = 3_650;
/// Most networks of one key.
pub const MAX_NETWORKS: usize = 32;

/// How to mint. Without a body, as with the reference: `overlap_seconds` is 0, and the rest is as it was for the key before.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct MintRequest {
    /// Seconds that the key before stays good, unless the new one logs in earlier; 0, the default: it dies at once.
    #[serde(default)]
    #[schema(maximum = 2_592_000)]
    pub overlap_seconds: Option<u32>,
    /// Days until it ends by itself; `null`: never; absent: as long as the key before. Not by a machine.
    #[serde(default, skip_serializing)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 3650)]
    pub expires_in_days: Patch<u32>,
    /// Networks from which it may be used; `null` or empty: from anywhere; absent: as the key before. Not by a machine.
    #[serde(default, skip_serializing)]
    #[schema(value_type = Option<Vec<Network>>, max_items = 32)]
    pub networks: Patch<Vec<Network>>,
    /// How it is written; `null`: in hex; absent: as the key before. Not by a machine.
    #[serde(default, skip_serializing)]
    #[schema(value_type = Option<Format>)]
    pub format: Patch<Format>,
}

/// How a key is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Sealed, in hex: what the reference mints and reads.
    #[default]
    Hex,
    /// `spsk1_…`: found by scanners for secrets, and checked by them without asking. Servers of the reference store and
    /// send it as it is.
    Token,
}

/// What may be told of an api-key: never the key itself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyInfo {
    /// Tells keys apart: the UUID in the name of the company's machine user.
    pub key_id: Id,
    /// Whose key it is.
    pub company_id: Id,
    /// Rises by one with each mint of the company.
    pub generation: i64,
    /// `active`; `overlap`: good until `valid_until` or until the active one logs in; `expired`: its time or its overlap is
    /// over; `revoked`.
    pub state: String,
    /// When it was minted.
    pub created_at: Timestamp,
    /// User name of who minted it.
    pub created_by: String,
    /// First good login; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_used_at: Option<Timestamp>,
    /// Last good login, to the minute; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// The IP address of that login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_ip: Option<String>,
    /// When its overlap ends at the latest; absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// When it ends by itself; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether four fifths of its life are over: it should be replaced.
    pub ending: bool,
    /// Where it may be used from; absent: anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// How it is written.
    pub format: Format,
    /// When it was superseded or revoked; absent: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// User name of who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
    /// Why it ended: `superseded` by a new key, or `revoked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_why: Option<String>,
}
