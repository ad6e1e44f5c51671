//! sync-2: payload texts that are too long for a line, piece by piece.

use std::sync::Arc;

use shared::crypto::content_digest::content_digest;
use shared::node::permission::Action;
use shared::node::service::retention;
use shared::node::{Error, Node, Principal};
use shared::store;
use shared::wire::Id;
use shared::wire::sync::{PIECE_BYTES, PieceQuery};

use super::offer::{open_slice, require_kept, version_of};

/// For speed: texts in base64 give a quarter at any level.
const ZSTD_LEVEL: i32 = 1;

/// A piece as it travels.
pub struct Piece {
    /// The bytes.
    pub body: Vec<u8>,
    /// Whether they are compressed by zstd.
    pub is_zstd: bool,
    /// The header `Content-Digest`, of the bytes as they travel.
    pub content_digest: String,
}

/// One piece of the payload text of a grain, compressed if that is wanted and worth it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NoAccessToSlice`], [`Error::PublisherEditing`]; [`Error::BadRequest`] for an offset between
/// pieces or behind the end.
pub async fn piece(
    node: Arc<Node>,
    who: &Principal,
    slice_id: Id,
    id: Id,
    query: PieceQuery,
    wants_zstd: bool,
) -> Result<Piece, Error> {
    let size = i64::try_from(PIECE_BYTES).unwrap_or(i64::MAX);
    if query.offset < 0 || query.offset % size != 0 {
        return Err(Error::BadRequest(format!("offset must be a multiple of {PIECE_BYTES}")));
    }
    let scope = node.permit(who, Action::ReadFeed)?;
    let reader = Arc::clone(&node);
    let (version, text) = node
        .store
        .read(move |conn| {
            let slice = open_slice(conn, &reader, scope, slice_id)?;
            let version = version_of(conn, &slice, query.version)?.version;
            let gone = || Error::NotFound("Grain does not exist.");
            let row = store::grain::find(conn, slice_id, version, id)?.ok_or_else(gone)?;
            if query.offset > 0 && query.offset >= row.payload_bytes {
                return Err(Error::BadRequest(format!("this payload has {} bytes", row.payload_bytes)));
            }
            let text = match store::payload::piece(conn, row.row_id, query.offset / size)? {
                Some(text) => text,
                // It stands in its row, or is damaged.
                None => store::payload::of_row(conn, &row)?.into_bytes(),
            };
            require_kept(conn, slice_id, version)?;
            Ok((version, text))
        })
        .await?;
    retention::lease(&node, slice_id, version).await?;
    // Packing takes a while: not on a thread that others wait for.
    tokio::task::spawn_blocking(move || pack(text, wants_zstd))
        .await
        .map_err(|error| Error::Internal(error.to_string()))
}

fn pack(text: Vec<u8>, wants_zstd: bool) -> Piece {
    let packed = wants_zstd.then(|| zstd::bulk::compress(&text, ZSTD_LEVEL).ok()).flatten();
    let packed = packed.filter(|packed| packed.len() < text.len());
    let (body, is_zstd) = packed.map_or((text, false), |packed| (packed, true));
    Piece { content_digest: content_digest(&body), body, is_zstd }
}
