//! `GET /server`: who answers here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Id;

/// The feature name of our own sync protocol.
pub const SYNC_2: &str = "sync-2";

/// `primary`: publishes; `secondary`: receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerRole {
    /// Publishes; never calls out.
    Primary,
    /// Receives; starts every sync.
    Secondary,
}

impl ServerRole {
    /// As stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }
}

impl std::fmt::Display for ServerRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which server answers. (The reference sends the first two members.)
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Server {
    /// The id of the company that owns the server.
    #[serde(rename = "server-id")]
    pub server_id: Id,
    /// Its role.
    #[serde(rename = "server-role")]
    pub server_role: ServerRole,
    /// Name of that company; the reference does not send it.
    #[serde(rename = "server-name", default, skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    /// What it speaks beyond the reference: `sync-2` on a primary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

impl Server {
    /// Whether it speaks sync-2.
    pub fn speaks_sync_2(&self) -> bool {
        self.features.iter().any(|feature| feature == SYNC_2)
    }
}
