//! `/v1/keyring`: the keys that seal api-keys and sign tokens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Id, Timestamp};

/// What may be told of a key in the rings: never the key itself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RingKey {
    /// `r0`, `r1` … for keys that seal api-keys, `j0`, `j1` … for keys that sign tokens.
    pub id: String,
    /// `seal` or `jwt`.
    pub purpose: String,
    /// `prepared`: not in use yet; `active`: it seals or signs; `superseded`: it only opens or verifies; `retired`:
    /// forgotten.
    pub state: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it seals or signs; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    /// Since when another one does; absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<Timestamp>,
    /// When it was retired; absent: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Timestamp>,
    /// How many api-keys it has sealed.
    pub seals: i64,
    /// How many living api-keys it sealed: retiring it cuts these partners off.
    pub partner_count: i64,
    /// The first 1,000 of them, by the companies' names.
    pub partners: Vec<SealedPartner>,
}

/// A partner whose api-key a ring key sealed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SealedPartner {
    /// The company.
    pub company_id: Id,
    /// Its name.
    pub company_name: String,
    /// Which api-key.
    pub key_id: Id,
    /// Its last good login, to the minute; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// Which ring gets a new key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PrepareRingKey {
    /// `seal` or `jwt`.
    #[schema(pattern = "^(seal|jwt)$")]
    pub purpose: String,
}

/// How to retire a key.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RetireRingKey {
    /// Even if partners are cut off by it.
    #[serde(default)]
    pub force: bool,
}
