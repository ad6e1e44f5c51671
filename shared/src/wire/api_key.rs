//! `POST /v1/apikey` (mint), `GET` (metadata), `DELETE` (revoke).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Id, Timestamp};

/// A minted key, shown once.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// The primary's server id: the company under which a secondary stores the key.
    pub primary_id: Id,
    /// The key, hex.
    pub sync_api_key: String,
    /// The uuid in the sync user's name. Not sent by the reference.
    #[serde(default)]
    pub key_id: Id,
    /// Rises by one with each mint of the company. Not sent by the reference.
    #[serde(default)]
    pub generation: i64,
    /// Until when the key before is good too, unless this one logs in earlier; absent: it is dead. Not sent by the
    /// reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_valid_until: Option<Timestamp>,
}

/// The longest overlap of two keys: 30 days, so that a receiver which syncs once a month survives a lost reply.
pub const MAX_OVERLAP_SECONDS: u32 = 30 * 24 * 60 * 60;

/// Body of `POST /v1/apikey`; the reference's has none. The header `Idempotency-Key` belongs to it.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct MintRequest {
    /// Seconds that the key before stays good, unless the new one logs in earlier; 0, the default: it dies at once.
    #[serde(default)]
    #[schema(maximum = 2_592_000)]
    pub overlap_seconds: u32,
}

/// What may be told of a key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyInfo {
    /// The uuid in the sync user's name.
    pub key_id: Id,
    /// Whose key it is.
    pub company_id: Id,
    /// Rises by one with each mint of the company.
    pub generation: i64,
    /// `active`; `overlap`: good until `valid_until` or until the active one logs in; `expired`; `revoked`.
    pub state: String,
    /// When it was minted.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// First good login; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_used_at: Option<Timestamp>,
    /// Last good login, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_ip: Option<String>,
    /// End of an overlap, at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// When it was superseded or revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
    /// `superseded` or `revoked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_why: Option<String>,
}
