//! `/v1/settings`: what a node is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::server::ServerRole;
use super::{Id, Timestamp, never};

/// What the server is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// Always `true`, as with the reference.
    pub id: bool,
    /// Whether it publishes or receives.
    pub server_role: ServerRole,
    /// The id of the company that owns it.
    pub server_id: Id,
    /// When it was set up.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// When this last changed.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub updated_at: Option<Timestamp>,
}

/// What the server is said to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct WriteSetting {
    /// `primary` or `secondary`.
    #[serde(default)]
    #[schema(required = true, pattern = "^(primary|secondary)$")]
    pub server_role: String,
    /// The id of the company that owns it.
    #[serde(default)]
    #[schema(required = true)]
    pub server_id: Id,
}
