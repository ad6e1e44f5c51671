//! On a secondary: `POST /v1/servers` (connect to a primary) and `POST /v1/servers/:id/rotate`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Id;
use crate::crypto::Secret;

/// Which primary to connect to, and as whom.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Connect {
    /// Base URL of the primary.
    #[serde(default)]
    #[schema(required = true, format = "uri")]
    pub url: String,
    /// User name of a company admin there.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    pub username: String,
    /// His password there: used once, never stored.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 1)]
    pub password: Secret,
    /// `true`: this primary is known here under another address, and has really moved.
    #[serde(default)]
    pub moved: bool,
    /// What its company is called here. Without one: as it is called already, else as the primary calls itself, else its
    /// host (servers of the reference tell no name).
    #[serde(default)]
    #[schema(min_length = 3, max_length = 255)]
    pub name: Option<String>,
}

/// The primary that we are connected to now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Connected {
    /// The company that stands for the primary here.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Base URL of its server.
    pub sync_addr: String,
    /// `true`: a key is stored. It is never shown.
    pub has_api_key: bool,
    /// The company there whose key this is.
    pub company_id: Id,
    /// What that company subscribes to there.
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

/// The key that is used from now on; never the key itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Rotated {
    /// The company that stands for the primary here.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Which key it is now.
    pub key_id: Id,
    /// Rises by one with each key that the primary mints for us.
    pub generation: i64,
}
