//! sync-2: the feed of a slice version as NDJSON lines, between our own nodes (design §6).
//!
//! `GET /v1/sync/slices/:id/feed` answers a [`FeedHeader`] line, then [`FeedLine`]s, the last of them `end`.
//! What travels depends on what the caller has (`epoch`, `version`, `digest` of the query):
//! nothing → every grain; a version known here → what was removed and added since; anything else → the ids and digests
//! of all grains, of which the caller asks for the missing ones by `POST /v1/sync/slices/:id/grains`.
//!
//! Payload texts of more than [`PIECE_BYTES`] do not travel in lines: the caller fetches them in pieces by
//! `GET /v1/sync/slices/:id/grains/:id/payload`. A stream that broke off goes on behind the last `mark` that came.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::slice::MetadataPair;
use super::{Id, Timestamp};

/// What the lines behind the header are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedMode {
    /// `grain` lines: all of the version.
    Full,
    /// `remove` lines, then `grain` lines: the way from the caller's version.
    Delta,
    /// `index` lines: id and digest of all grains of the version, ids ascending.
    Index,
}

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FeedHeader {
    /// What follows.
    pub mode: FeedMode,
    /// Whose feed it is.
    pub slice_id: Id,
    /// New when the slice was made anew.
    pub epoch: Id,
    /// The version sent.
    pub version: i64,
    /// Its SHA-256 of the set hash, hex.
    pub digest: String,
    /// Its grains.
    pub count: i64,
    /// Bytes of their payload texts.
    pub payload_bytes: i64,
    /// The reference's SHA-1 over ids and metadata.
    pub content_hash: String,
    /// The same over ids only.
    pub ids_hash: String,
    /// When it was published.
    #[serde(default)]
    pub content_date: Option<Timestamp>,
    /// All its metadata.
    pub metadata: Vec<MetadataPair>,
}

/// A line behind the header.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedLine {
    /// A grain that is no longer there.
    Remove(Id),
    /// A grain with its payload.
    Grain(FeedGrain),
    /// A grain by id and digest.
    Index(Id, String),
    /// Up to here: who asks again with `after` and this text gets what is behind it. The text is the primary's own affair.
    Mark(String),
    /// Nothing is missing behind this line.
    End,
}

/// A grain as it travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FeedGrain {
    /// Its id.
    pub id: Id,
    /// What it is about.
    pub grain_key: String,
    /// By habit the file name.
    pub source: String,
    /// How the payload text encodes the bytes.
    pub encoding: String,
    /// SHA-256 over all of this, hex.
    pub digest: String,
    /// The text, never re-encoded; absent if it is to be fetched in pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// Bytes of the text that is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_bytes: Option<i64>,
}

/// Longest payload text that travels in a line, and what a piece of a longer one has; the last piece may have less.
pub const PIECE_BYTES: usize = 1024 * 1024;

/// What the caller of the feed has.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FeedQuery {
    /// Version to send; the published one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Epoch of what the caller has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Id>,
    /// Version of what the caller has; absent with no epoch: it has nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Digest of what the caller has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The last mark of a feed of this very version that broke off, asked for with the same words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Which piece of a payload text is wanted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PieceQuery {
    /// The version that the grain belongs to; the current one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// Where the piece begins: a multiple of [`PIECE_BYTES`].
    #[serde(default)]
    pub offset: i64,
}

/// Which grains of a version are wanted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WantedGrains {
    /// The number of the version.
    pub version: i64,
    /// Their ids, 1,000 at most.
    pub ids: Vec<Id>,
}

/// Ids in one [`WantedGrains`].
pub const MAX_WANTED: usize = 1000;
