//! On a secondary: `POST /v1/servers` (connect to a primary) and `POST /v1/servers/:id/rotate`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Id;
use crate::crypto::Secret;

/// Body of `POST /v1/servers` on a secondary: log in there, mint a key, store and prove it.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Connect {
    /// Base URL of the primary.
    #[serde(default)]
    #[schema(required = true, format = "uri")]
    pub url: String,
    /// Company admin at the primary.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    pub username: String,
    /// His password there; used once, never stored.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 1)]
    pub password: Secret,
    /// The primary is known here under another address, and has really moved.
    #[serde(default)]
    pub moved: bool,
    /// What its company is called here. Without one: as it is called already, else as the primary calls itself, else its
    /// host (servers of the reference tell no name).
    #[serde(default)]
    #[schema(min_length = 3, max_length = 255)]
    pub name: Option<String>,
}

/// What a connection gives.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Connected {
    /// The primary's company.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its address.
    pub sync_addr: String,
    /// A stored key is never shown.
    pub has_api_key: bool,
    /// Our company there.
    pub company_id: Id,
    /// Names of the slices we subscribe to, with whether the subscription is active.
    pub subscriptions: Vec<Subscribed>,
}

/// A subscription as `connect` lists it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Subscribed {
    /// Name of the slice.
    pub slice: String,
    /// Whether it will be synced.
    pub active: bool,
}

/// What a rotation gives; never the key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Rotated {
    /// The primary's company.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Which key it is now.
    pub key_id: Id,
    /// Rises by one with each mint of our company there.
    pub generation: i64,
}
