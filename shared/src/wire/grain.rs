//! Grains: immutable payloads with a UUID.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::slice::Slice;
use super::{Id, Timestamp, never};

/// The key of a whole file.
pub const LEVEL_1: &str = "level-1";

/// A grain. Where one is asked for by its key and there is none, every member is zero or empty: clients of the
/// reference depend on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Grain {
    /// Names the content: changed content gets a new id.
    pub id: Id,
    /// The slice that it belongs to; absent if there is no such grain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_id: Option<Id>,
    /// What it is about, for example a part number, in lower case; `level-1` for a whole file. Unique in the slice.
    #[serde(default)]
    pub grain_key: String,
    /// Where it came from: by habit the name of a file.
    #[serde(default)]
    pub source: String,
    /// How the payload's text holds its bytes: `raw` (as they are), `b64` (base64), `z64` (gzip, then base64), `a85`
    /// (ASCII85) or `z85` (gzip, then ASCII85).
    #[serde(default)]
    pub encoding: String,
    /// Characters of the payload's text.
    #[serde(default)]
    pub payload_len: i64,
    /// The payload's text: in `GET /v1/grains/{grain_id}`, and with `payload=yes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// When it was added.
    #[serde(with = "never", default)]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// The slice: in `GET /v1/grains/{grain_id}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
}

/// A new grain.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateGrain {
    /// Chosen by the server if it is absent or all-zero.
    #[serde(default)]
    pub id: Id,
    /// The slice that it is for.
    #[serde(default)]
    #[schema(required = true)]
    pub slice_id: Id,
    /// What it is about; stored in lower case. `level-1` for a whole file.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 250)]
    pub grain_key: String,
    /// Where it comes from: by habit the name of a file.
    #[serde(default)]
    pub source: String,
    /// How the payload's text holds its bytes: `raw` (as they are), `b64` (base64), `z64` (gzip, then base64), `a85`
    /// (ASCII85) or `z85` (gzip, then ASCII85).
    #[serde(default)]
    #[schema(required = true, pattern = "^(raw|b64|z64|a85|z85)$")]
    pub encoding: String,
    /// What the answer says as `payload_len`; nothing else depends on it.
    #[serde(default)]
    pub payload_len: i64,
    /// The payload's text; it must be what `encoding` says.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    pub payload: String,
}
