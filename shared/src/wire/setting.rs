//! `/v1/settings`: what a node is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::server::ServerRole;
use super::{Id, Timestamp, never};

/// The one row of settings.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// Always `true`: the reference's way to have one row.
    pub id: bool,
    /// Whether the node publishes or receives.
    pub server_role: ServerRole,
    /// The company that owns it.
    pub server_id: Id,
    /// When the node was made.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// When the row last changed.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub updated_at: Option<Timestamp>,
}

/// Body of `POST` and `PUT`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct WriteSetting {
    /// `primary` or `secondary`.
    #[serde(default)]
    #[schema(required = true, pattern = "^(primary|secondary)$")]
    pub server_role: String,
    /// The company that owns the node.
    #[serde(default)]
    #[schema(required = true)]
    pub server_id: Id,
}
