//! Tags: labels that a node's staff put on slices. Each node has its own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::patch::Patch;
use super::slice::Slice;
use super::{Timestamp, never};

/// A tag.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tag {
    /// Local to the node.
    pub id: i64,
    /// Normalised, unique.
    pub name: String,
    /// May be empty.
    pub description: String,
    /// When the row was made.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub updated_at: Option<Timestamp>,
    /// The slices that have it, where asked for; absent if none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slices: Option<Vec<Slice>>,
}

/// Body of `POST /v1/tags`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateTag {
    /// Normalised before it is stored.
    #[serde(default)]
    #[schema(required = true, pattern = "^[A-Za-z0-9_ ,-]{1,250}$")]
    pub name: String,
    /// May be empty.
    #[serde(default)]
    pub description: String,
}

/// Body of `PATCH /v1/tags/:id`. The reference wants the id in it too, and does not read it.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct UpdateTag {
    /// Normalised before it is stored.
    #[serde(default)]
    #[schema(value_type = String, required = false, pattern = "^[A-Za-z0-9_ ,-]{1,250}$")]
    pub name: Patch<String>,
    /// May be empty.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub description: Patch<String>,
}
