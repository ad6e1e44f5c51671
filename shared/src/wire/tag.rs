//! Tags: labels that a node's staff put on slices. Each node has its own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::patch::Patch;
use super::slice::Slice;
use super::{Timestamp, never};

/// A tag: a label that the server's staff puts on slices.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tag {
    /// A number that counts on this server only.
    pub id: i64,
    /// Unique on the server; lower case, with `_` for spaces and commas, and without quotes.
    pub name: String,
    /// May be empty.
    pub description: String,
    /// When it was added.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub updated_at: Option<Timestamp>,
    /// The slices that have it: in `GET /v1/tags/{tag_id}`; absent if none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slices: Option<Vec<Slice>>,
}

/// A new tag.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateTag {
    /// Unique on the server. Spaces and commas become `_`, quotes are dropped, the rest becomes lower case.
    #[serde(default)]
    #[schema(required = true, pattern = "^[A-Za-z0-9_ ,-]{1,250}$")]
    pub name: String,
    /// May be empty.
    #[serde(default)]
    pub description: String,
}

/// Changes of a tag: what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct UpdateTag {
    /// Unique on the server. Spaces and commas become `_`, quotes are dropped, the rest becomes lower case.
    #[serde(default)]
    #[schema(value_type = String, required = false, pattern = "^[A-Za-z0-9_ ,-]{1,250}$")]
    pub name: Patch<String>,
    /// May be empty.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub description: Patch<String>,
}
