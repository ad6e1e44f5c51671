//! Grains: immutable payloads with a UUID.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::slice::Slice;
use super::{Id, Timestamp, never};

/// The key of a whole file.
pub const LEVEL_1: &str = "level-1";

/// A grain. Where the reference finds none it sends the zero value, which `add` of its command line depends on.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Grain {
    /// Also names the content.
    pub id: Id,
    /// Whose grain it is; absent in the zero value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_id: Option<Id>,
    /// What it is about; lower case; `level-1` for a whole file.
    #[serde(default)]
    pub grain_key: String,
    /// By habit the file name.
    #[serde(default)]
    pub source: String,
    /// `raw`, `b64`, `z64`, `a85` or `z85`.
    #[serde(default)]
    pub encoding: String,
    /// Characters of the payload text.
    #[serde(default)]
    pub payload_len: i64,
    /// The payload text, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// When the row was made.
    #[serde(with = "never", default)]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// The slice, in `GET /v1/grains/:id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
}

/// Body of `POST /v1/grains`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateGrain {
    /// Chosen by the server if absent or nil.
    #[serde(default)]
    pub id: Id,
    /// Required.
    #[serde(default)]
    #[schema(required = true)]
    pub slice_id: Id,
    /// Required; stored in lower case.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 250)]
    pub grain_key: String,
    /// By habit the file name.
    #[serde(default)]
    pub source: String,
    /// Required.
    #[serde(default)]
    #[schema(required = true, pattern = "^(raw|b64|z64|a85|z85)$")]
    pub encoding: String,
    /// Echoed in the answer.
    #[serde(default)]
    pub payload_len: i64,
    /// Required.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    pub payload: String,
}
