//! `POST /v1/slices/:id/publish`: what is published, line by line, and what came of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Id;

/// Media type of a set of changes.
pub const NDJSON: &str = "application/x-ndjson";

/// How a set of changes is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PublishMode {
    /// What it does not name stays.
    #[default]
    Change,
    /// What it does not name goes.
    Replace,
}

/// Query of `publish`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PublishQuery {
    /// A file: its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A set of changes: how it is meant.
    #[serde(default)]
    pub mode: PublishMode,
}

/// A line of a set of changes; they are applied in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ChangeLine {
    /// A grain, in the place of the one with its key.
    Put(PutGrain),
    /// The grain with this key goes.
    Delete(String),
    /// All metadata of the slice from now on.
    Metadata(BTreeMap<String, String>),
}

/// A grain of a set of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutGrain {
    /// New for changed content; drawn if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// What it is about; folded to lower case.
    pub grain_key: String,
    /// Where it comes from, a file's name say.
    #[serde(default)]
    pub source: String,
    /// How the payload is written: `raw`, `b64`, `z64`, `a85` or `z85`.
    pub encoding: String,
    /// The payload text, 1 MiB at most.
    pub payload: String,
}

/// What a set of changes came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeCounts {
    /// Grains with new keys.
    pub added: u64,
    /// Grains in the place of others.
    pub replaced: u64,
    /// Grains that went.
    pub removed: u64,
    /// Grains that were put and were there already, to the byte.
    pub unchanged: u64,
    /// Keys that were to be deleted and were not there.
    pub missing: u64,
}
