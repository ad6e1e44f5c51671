//! Versions of a slice: what was published when, how two of them differ, and bringing one back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Id, Timestamp, never};

/// A published version of a slice.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Rises by one with each publication.
    pub number: i64,
    /// When it was published.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub published_at: Option<Timestamp>,
    /// Grains in it.
    pub content_count: i64,
    /// Bytes of their payloads' texts.
    pub payload_bytes: i64,
    /// SHA-1 over the ids of the grains and the metadata, in hex, as the reference computes it.
    pub content_hash: String,
    /// SHA-256, in hex: equal digests mean equal content, payloads included.
    pub digest: String,
    /// Whether it is what receivers get now.
    pub current: bool,
}

/// How two versions of a slice differ, by the keys of their grains.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// Number of the version compared from.
    pub from: i64,
    /// Number of the version compared to.
    pub to: i64,
    /// Keys that only `to` has.
    pub added: Keys,
    /// Keys that only `from` has.
    pub removed: Keys,
    /// Keys that both have, with other content.
    pub replaced: Keys,
    /// Metadata that differ, by key.
    pub metadata: Vec<MetadataChange>,
}

/// Keys of grains: how many, and the first of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// How many there are.
    pub count: i64,
    /// The first 1,000 of them, in byte order.
    pub keys: Vec<String>,
}

/// Keys that an answer lists of each kind.
pub const MAX_KEYS: usize = 1_000;

/// A pair of metadata that differs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MetadataChange {
    /// Its key.
    pub key: String,
    /// Its value in `from`; `null`: not there.
    pub from: Option<String>,
    /// Its value in `to`; `null`: not there.
    pub to: Option<String>,
}

/// What is different about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only `to` has it.
    Added,
    /// Only `from` has it.
    Removed,
    /// Both have it, with other content.
    Replaced,
}

/// One grain that differs, as `slice compare --json` lists it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GrainChange {
    /// How.
    pub change: Change,
    /// Its key.
    pub grain_key: String,
    /// The grain in `from`; `null`: none.
    pub from: Option<Id>,
    /// The grain in `to`; `null`: none.
    pub to: Option<Id>,
}

/// Which version to bring back.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct Rollback {
    /// Its number.
    #[schema(value_type = i64, required = true, minimum = 0)]
    pub version: Option<i64>,
}
