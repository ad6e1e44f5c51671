//! Slices and their metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::company::Company;
use super::name::Name;
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

/// A slice: the unit of subscription and sync.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Slice {
    /// The same on both servers.
    pub id: Id,
    /// Unique on the server, ignoring case. (Bodies and lists call it `name`.)
    pub slice_name: String,
    /// `aces-file`, `aces-items`, `asset-files`, `partspro-file`, `pies-file`, `pies-items`, `pies-marketcopy` or
    /// `pies-pricesheet`.
    pub slice_type: String,
    /// SHA-1 over ids and metadata of the published version, in hex; empty if nothing was published.
    pub content_hash: String,
    /// Grains in the published version.
    pub content_count: i64,
    /// When it was published.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub content_date: Option<Timestamp>,
    /// Whether receivers may sync it now. `false`: the publisher has closed or locked it.
    pub allow_sync: bool,
    /// How the last sync of it went: `none`, `updating`, `success` or `error`.
    pub sync_status: String,
    /// On a secondary: start of the last sync that had work to do.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub last_sync_attempt: Option<Timestamp>,
    /// On a secondary: end of the last one that succeeded.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub last_good_sync: Option<Timestamp>,
    /// When it was added.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub updated_at: Option<Timestamp>,
    /// Names and values; absent if there are none. Staff of a primary see those of the draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Companies that subscribe to it, as far as the caller may see them; absent if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub companies: Option<Vec<Company>>,
    /// Which version is published. Not sent by the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionId>,
}

/// Names a version of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionId {
    /// A random id that a slice gets when it is added: numbers of another epoch are not comparable.
    pub epoch: Id,
    /// Rises by one with each publication.
    pub number: i64,
    /// SHA-256, in hex: equal digests mean equal content, payloads included.
    pub digest: String,
}

/// A new slice.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateSlice {
    /// Chosen by the server if it is absent or all-zero.
    #[serde(default)]
    pub id: Id,
    /// 3 to 255 characters; unique on the server, ignoring case.
    #[serde(default)]
    #[schema(value_type = Name, required = true)]
    pub name: String,
    /// `aces-file`, `aces-items`, `asset-files`, `partspro-file`, `pies-file`, `pies-items`, `pies-marketcopy` or
    /// `pies-pricesheet`.
    #[serde(default)]
    #[schema(
        required = true,
        pattern = "^(aces-file|aces-items|asset-files|partspro-file|pies-file|pies-items|pies-marketcopy|pies-pricesheet)$"
    )]
    pub slice_type: String,
    /// Whether receivers may sync it; `false` if it is not said.
    #[serde(default)]
    pub allow_sync: bool,
    /// Names and values; published with the first `refresh`.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// Changes of a slice: what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct UpdateSlice {
    /// 3 to 255 characters; unique on the server, ignoring case.
    #[serde(default)]
    #[schema(value_type = Name, required = false)]
    pub name: Patch<String>,
    /// `aces-file`, `aces-items`, `asset-files`, `partspro-file`, `pies-file`, `pies-items`, `pies-marketcopy` or
    /// `pies-pricesheet`.
    #[serde(default)]
    #[schema(value_type = String, required = false, pattern = "^(aces-file|aces-items|asset-files|partspro-file|pies-file|pies-items|pies-marketcopy|pies-pricesheet)$")]
    pub slice_type: Patch<String>,
    /// `false` closes it until somebody opens it, also when a lock ends; `true` opens it and ends the lock.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    pub allow_sync: Patch<bool>,
    /// All of its metadata, in place of what is there; `null`: none. Published with the next `refresh`.
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

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetadataPair {
    /// The name.
    pub key: String,
    /// Its value.
    #[serde(rename = "val")]
    pub value: String,
}
