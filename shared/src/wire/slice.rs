//! Slices and their metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::company::Company;
use super::patch::Patch;
use super::{Id, Timestamp, never};

/// What a Go peer accepts: its database has an enum.
pub const SLICE_TYPES: [&str; 8] = [
    "aces-file",
    "aces-items",
    "asset-files",
    "partspro-file",
    "pies-file",
    "pies-items",
    "pies-marketcopy",
    "pies-pricesheet",
];

/// A slice.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Slice {
    /// The same on both nodes.
    pub id: Id,
    /// Unique ignoring case. (Create calls it `name`.)
    pub slice_name: String,
    /// One of [`SLICE_TYPES`].
    pub slice_type: String,
    /// SHA-1 of the published version, hex; empty if nothing was published.
    pub content_hash: String,
    /// Grains in the published version.
    pub content_count: i64,
    /// When it was published.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub content_date: Option<Timestamp>,
    /// `false`: the publisher is editing.
    pub allow_sync: bool,
    /// `none`, `updating`, `success` or `error`.
    pub sync_status: String,
    /// On a secondary: start of the last sync that had work to do.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub last_sync_attempt: Option<Timestamp>,
    /// On a secondary: end of the last one that succeeded.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub last_good_sync: Option<Timestamp>,
    /// When the row was made.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub updated_at: Option<Timestamp>,
    /// Key/value pairs; absent if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Subscribers; absent if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companies: Option<Vec<Company>>,
    /// The published version, for sync-2. Not sent by the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionId>,
}

/// Which version of a slice: sync-2's way to say "the same".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionId {
    /// New when the slice was made anew.
    pub epoch: Id,
    /// Rises by one with each publication.
    pub number: i64,
    /// SHA-256 of the set hash, hex.
    pub digest: String,
}

/// Body of `POST /v1/slices`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateSlice {
    /// Chosen by the server if absent or nil.
    #[serde(default)]
    pub id: Id,
    /// At least 3 characters.
    #[serde(default)]
    #[schema(required = true, min_length = 3, max_length = 255, pattern = "\\S[\\s\\S]+\\S")]
    pub name: String,
    /// One of [`SLICE_TYPES`].
    #[serde(default)]
    #[schema(
        required = true,
        pattern = "^(aces-file|aces-items|asset-files|partspro-file|pies-file|pies-items|pies-marketcopy|pies-pricesheet)$"
    )]
    pub slice_type: String,
    /// Whether it may be synced at once.
    #[serde(default)]
    pub allow_sync: bool,
    /// Key/value pairs.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// Body of `PATCH /v1/slices/:id`: what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct UpdateSlice {
    /// At least 3 characters.
    #[serde(default)]
    #[schema(value_type = String, required = false, min_length = 3, max_length = 255, pattern = "\\S[\\s\\S]+\\S")]
    pub name: Patch<String>,
    /// One of [`SLICE_TYPES`].
    #[serde(default)]
    #[schema(value_type = String, required = false, pattern = "^(aces-file|aces-items|asset-files|partspro-file|pies-file|pies-items|pies-marketcopy|pies-pricesheet)$")]
    pub slice_type: Patch<String>,
    /// Whether it may be synced.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    pub allow_sync: Patch<bool>,
    /// The whole map; waits in the draft for the next publication.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    #[serde(default)]
    pub metadata: Patch<BTreeMap<String, String>>,
    /// Computed: not writable.
    #[schema(ignore)]
    #[serde(default)]
    pub content_hash: Patch<serde_json::Value>,
    /// Computed: not writable.
    #[schema(ignore)]
    #[serde(default)]
    pub content_count: Patch<serde_json::Value>,
    /// Computed: not writable.
    #[schema(ignore)]
    #[serde(default)]
    pub content_date: Patch<serde_json::Value>,
}

/// A pair as `GET /v1/slices/metadata/:id` lists it. (The reference says `val`.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetadataPair {
    /// Its key.
    pub key: String,
    /// Its value.
    #[serde(rename = "val")]
    pub value: String,
}
