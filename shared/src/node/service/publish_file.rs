//! Publishing a file as a slice's whole content: one `level-1` grain, which is compressed and stored while it arrives.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};

use super::held_draft::{HeldDraft, Purpose};
use super::publish::{Published, refuse_open_draft, seal_draft};
use super::slice::editable;
use crate::crypto::set_hash::{GrainDigest, grain_digest};
use crate::failpoint::{Failpoint, reach};
use crate::node::{Error, Node};
use crate::payload::stream::{TextReader, Z64Writer};
use crate::payload::{Encoding, MAX_UNPACKED_BYTES};
use crate::store::grain::{GrainRow, NewGrain};
use crate::store::{self, Connection};
use crate::wire::Id;
use crate::wire::grain::LEVEL_1;
use crate::wire::server::ServerRole;
use crate::wire::sync::PIECE_BYTES;

/// Bytes compressed at a time.
const PORTION: usize = 1024 * 1024;
/// Ids of what goes, read at a time.
const PAGE: i64 = 2_000;

/// Publishes what `content` brings, as a file called `source`. The same bytes under the same name change nothing. Memory holds
/// a few pieces of it, whatever its size.
///
/// # Errors
/// [`Error::WrongServerRole`], [`Error::NotFound`], [`Error::Locked`], [`Error::Conflict`] while a draft is open,
/// [`Error::BadRequest`] when the content breaks off or is too large.
pub async fn file(
    node: &Node,
    by: &str,
    slice_id: Id,
    source: String,
    content: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
) -> Result<Published, Error> {
    node.require_role(ServerRole::Primary)?;
    let mut content = content.fuse();
    let mut beginning = Vec::new();
    while beginning.len() < PORTION {
        match content.next().await {
            Some(chunk) => beginning.extend_from_slice(&chunk.map_err(|error| broke_off(&error))?),
            None => return in_one_step(node, by, slice_id, source, beginning).await,
        }
    }
    let beginning = futures_util::stream::iter([Ok(Bytes::from(beginning))]);
    let content = beginning.chain(content);
    let draft = HeldDraft::take(node, by, slice_id, Purpose::Publish).await?;
    let result = fill_and_publish(&draft, source, content).await;
    if result.is_err()
        && let Err(error) = draft.give_back().await
    {
        // Its row stands there still: the next run does it.
        tracing::warn!(slice = %slice_id, %error, "undoing a publication failed");
    }
    result
}

fn broke_off(error: &io::Error) -> Error {
    Error::BadRequest(format!("the content broke off: {error}"))
}

/// A small file needs no draft that is held: publications of the same slice queue, and none is refused.
async fn in_one_step(
    node: &Node,
    by: &str,
    slice_id: Id,
    source: String,
    bytes: Vec<u8>,
) -> Result<Published, Error> {
    let (id, now, by) = (node.random.id(), node.clock.now(), by.to_owned());
    // Compressing takes a while: not inside the transaction.
    let packed = tokio::task::spawn_blocking(move || {
        let hash = Sha256::digest(&bytes).to_vec();
        Encoding::Z64.encode(&bytes).map(|payload| (hash, payload))
    });
    let (hash, payload) = packed
        .await
        .map_err(|error| Error::Internal(error.to_string()))?
        .map_err(|error| Error::Internal(error.to_string()))?;
    let published = node
        .store
        .write(move |conn| {
            let slice = editable(conn, slice_id, &by, now)?;
            refuse_open_draft(conn, &slice)?;
            let draft = slice.current_version + 1;
            if let Some(only) = only_file(conn, slice_id, slice.current_version)?
                && only.source == source
                && content_hash(conn, &only)? == Some(hash)
            {
                return seal_draft(conn, &slice, now);
            }
            loop {
                let page = store::grain::index_page(conn, slice_id, draft, None, PAGE)?;
                if page.is_empty() {
                    break;
                }
                let gone: Vec<Id> = page.into_iter().map(|(id, _digest)| id).collect();
                store::grain::remove(conn, slice_id, draft, &gone)?;
            }
            let encoding = Encoding::Z64.as_str();
            let new = NewGrain {
                slice_id,
                id,
                grain_key: LEVEL_1.to_owned(),
                digest: grain_digest(id, LEVEL_1, encoding, &source, &payload).to_vec(),
                source,
                encoding: encoding.to_owned(),
                payload,
                added_in: draft,
                created_at: now,
            };
            store::grain::insert(conn, &[new])?;
            seal_draft(conn, &slice, now)
        })
        .await?;
    reach(Failpoint::PublishCommitted);
    Ok(published)
}

async fn fill_and_publish(
    draft: &HeldDraft<'_>,
    source: String,
    content: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
) -> Result<Published, Error> {
    let (slice_id, version) = (draft.slice.id, draft.base.version);
    let before = draft.node.store.read(move |conn| only_file(conn, slice_id, version)).await?;
    let before = before.filter(|row| row.source == source);
    let mut grain = FileGrain::new(draft, source);
    let hash = grain.fill(content).await?;
    if let Some(row) = before
        && draft.node.store.read(move |conn| content_hash(conn, &row)).await? == Some(hash)
    {
        draft.give_back().await?;
        return Ok(draft.published(&draft.base, false));
    }
    draft.publish().await
}

/// The slice's one grain, if it is a whole file.
fn only_file(conn: &mut Connection, slice_id: Id, version: i64) -> Result<Option<GrainRow>, Error> {
    let mut first = store::grain::page(conn, slice_id, version, None, 2)?;
    let only = if first.len() == 1 { first.pop() } else { None };
    Ok(only.filter(|row| row.grain_key == LEVEL_1))
}

/// SHA-256 of what a grain's payload stands for: another compressor's text of the same file is the same file. `None` when
/// the text cannot be read.
fn content_hash(conn: &mut Connection, row: &GrainRow) -> Result<Option<Vec<u8>>, Error> {
    let Ok(encoding) = row.encoding.parse::<Encoding>() else { return Ok(None) };
    let hasher = Hasher(Sha256::new());
    let Ok(mut reader) = TextReader::new(encoding, MAX_UNPACKED_BYTES, hasher) else { return Ok(None) };
    let mut seq = 0;
    while let Some(piece) = store::payload::part(conn, row, seq)? {
        if reader.push(&piece).is_err() {
            return Ok(None);
        }
        seq += 1;
    }
    Ok(reader.finish().ok().map(|hasher| hasher.0.finalize().to_vec()))
}

/// What is written to it is hashed.
struct Hasher(Sha256);

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The grain that a file becomes.
struct FileGrain<'a> {
    draft: &'a HeldDraft<'a>,
    new: NewGrain,
    /// Text that is not written yet.
    text: String,
    /// Its row, once it is longer than a piece, and the pieces there.
    row: Option<i64>,
    pieces: i64,
    bytes: usize,
}

impl<'a> FileGrain<'a> {
    fn new(draft: &'a HeldDraft<'a>, source: String) -> Self {
        let new = NewGrain {
            slice_id: draft.slice.id,
            id: draft.node.random.id(),
            grain_key: LEVEL_1.to_owned(),
            source,
            encoding: Encoding::Z64.as_str().to_owned(),
            payload: String::new(),
            // Known at the end.
            digest: vec![0; 32],
            added_in: draft.version(),
            created_at: draft.node.clock.now(),
        };
        Self { draft, new, text: String::new(), row: None, pieces: 0, bytes: 0 }
    }

    /// Puts the content into the draft, in the place of all it held; returns its SHA-256.
    async fn fill(
        &mut self,
        mut content: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
    ) -> Result<Vec<u8>, Error> {
        let (mut writer, mut hash, mut total) = (Z64Writer::default(), Sha256::new(), 0_u64);
        let mut portion = Vec::new();
        loop {
            let chunk = content.next().await.transpose();
            let chunk = chunk.map_err(|error| broke_off(&error))?;
            let is_end = chunk.is_none();
            portion.extend_from_slice(&chunk.unwrap_or_default());
            if portion.len() < PORTION && !is_end {
                continue;
            }
            total += u64::try_from(portion.len()).unwrap_or(u64::MAX);
            if total > MAX_UNPACKED_BYTES {
                return Err(Error::BadRequest(format!(
                    "the content has more than {MAX_UNPACKED_BYTES} bytes: split it into several slices"
                )));
            }
            // Compressing takes its time: not on a thread that others wait for.
            let bytes = std::mem::take(&mut portion);
            let packed = tokio::task::spawn_blocking(move || {
                hash.update(&bytes);
                writer.push(&bytes).map(|text| (writer, hash, text))
            });
            let text;
            (writer, hash, text) = packed
                .await
                .map_err(|error| Error::Internal(error.to_string()))?
                .map_err(|error| Error::Internal(error.to_string()))?;
            self.text.push_str(&text);
            if is_end {
                break;
            }
            while self.text.len() > PIECE_BYTES {
                self.write_piece(PIECE_BYTES).await?;
            }
        }
        self.text.push_str(&writer.finish().map_err(|error| Error::Internal(error.to_string()))?);
        while self.text.len() > PIECE_BYTES {
            self.write_piece(PIECE_BYTES).await?;
        }
        self.finish().await?;
        Ok(hash.finalize().to_vec())
    }

    async fn write_piece(&mut self, bytes: usize) -> Result<(), Error> {
        let row = if let Some(row) = self.row {
            row
        } else {
            self.clear().await?;
            let new = self.new.clone();
            let insert = move |conn: &mut Connection| Ok(store::grain::insert_unfinished(conn, &new, 0)?);
            *self.row.insert(self.draft.write(insert).await?)
        };
        // The text is ASCII.
        let rest = self.text.split_off(bytes.min(self.text.len()));
        let piece = std::mem::replace(&mut self.text, rest).into_bytes();
        let (seq, bytes) = (self.pieces, piece.len());
        self.draft.write(move |conn| Ok(store::payload::insert_piece(conn, row, seq, &piece)?)).await?;
        reach(Failpoint::PublishPieceWritten);
        self.pieces += 1;
        self.bytes += bytes;
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Error> {
        let Some(row) = self.row else {
            self.clear().await?;
            let mut new = self.new.clone();
            new.payload = std::mem::take(&mut self.text);
            new.digest =
                grain_digest(new.id, &new.grain_key, &new.encoding, &new.source, &new.payload).to_vec();
            return self.draft.write(move |conn| Ok(store::grain::insert(conn, &[new])?)).await;
        };
        if !self.text.is_empty() {
            self.write_piece(PIECE_BYTES).await?;
        }
        // The digest begins with the length, so it takes a second look.
        let new = &self.new;
        let mut digest = GrainDigest::new(new.id, &new.grain_key, &new.encoding, &new.source, self.bytes);
        for seq in 0..self.pieces {
            let piece = self.draft.node.store.read(move |conn| store::payload::piece(conn, row, seq)).await?;
            let piece = piece.ok_or_else(|| Error::Internal(format!("piece {seq} of {row} is gone")))?;
            digest.update(&piece);
        }
        let (digest, bytes) = (digest.finish(), i64::try_from(self.bytes).unwrap_or(i64::MAX));
        self.draft.write(move |conn| Ok(store::grain::complete(conn, row, bytes, bytes, &digest)?)).await
    }

    /// Empties the draft.
    async fn clear(&self) -> Result<(), Error> {
        let (slice_id, version) = (self.draft.slice.id, self.draft.version());
        loop {
            let page = self
                .draft
                .node
                .store
                .read(move |conn| store::grain::index_page(conn, slice_id, version, None, PAGE))
                .await?;
            if page.is_empty() {
                return Ok(());
            }
            let gone: Vec<Id> = page.into_iter().map(|(id, _digest)| id).collect();
            self.draft.write(move |conn| Ok(store::grain::remove(conn, slice_id, version, &gone)?)).await?;
        }
    }
}
