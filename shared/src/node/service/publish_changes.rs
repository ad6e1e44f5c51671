//! Publishing a set of changes, line by line as it arrives: the draft is filled in small batches and sealed at the end.

use std::collections::{BTreeMap, HashSet};
use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};

use super::held_draft::{HeldDraft, Purpose};
use super::publish::Published;
use crate::crypto::set_hash::grain_digest;
use crate::node::body::{indexable, no_nul};
use crate::node::{Error, Node};
use crate::payload::{Encoding, MAX_UNPACKED_BYTES, UnknownEncoding};
use crate::store::grain::{GrainRow, NewGrain};
use crate::store::{self, Connection};
use crate::wire::Id;
use crate::wire::publication::{ChangeCounts, ChangeLine, PublishMode, PutGrain};
use crate::wire::server::ServerRole;
use crate::wire::sync::PIECE_BYTES;

/// A grain with a payload text of 1 MiB, escaped: control characters take six bytes each.
const MAX_LINE: usize = 8 * 1024 * 1024;
/// Text of lines applied in one transaction.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Lines applied in one transaction.
const BATCH_LINES: usize = 500;
/// Grains looked at at a time for what goes.
const PAGE: i64 = 2_000;

/// Publishes a set of changes: NDJSON, a [`ChangeLine`] each. All of it, or nothing.
///
/// # Errors
/// [`Error::WrongServerRole`], [`Error::NotFound`], [`Error::Locked`], [`Error::Conflict`] while a draft is open and for an id that
/// is taken, [`Error::BadRequest`] naming the line.
pub async fn changes(
    node: &Node,
    by: &str,
    slice_id: Id,
    mode: PublishMode,
    content: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
) -> Result<(Published, ChangeCounts), Error> {
    node.require_role(ServerRole::Primary)?;
    let draft = HeldDraft::take(node, by, slice_id, Purpose::Publish).await?;
    let result = apply_and_publish(&draft, mode, content).await;
    if result.is_err()
        && let Err(error) = draft.give_back().await
    {
        // Its row stands there still: the next run does it.
        tracing::warn!(slice = %slice_id, %error, "undoing a publication failed");
    }
    result
}

async fn apply_and_publish(
    draft: &HeldDraft<'_>,
    mode: PublishMode,
    content: impl Stream<Item = io::Result<Bytes>> + Send + Unpin,
) -> Result<(Published, ChangeCounts), Error> {
    let mut changes = Changes {
        draft,
        named: (mode == PublishMode::Replace).then(HashSet::new),
        metadata: None,
        counts: ChangeCounts::default(),
        batch: Vec::new(),
        batch_bytes: 0,
    };
    let mut lines = Lines { content: content.fuse(), buffer: BytesMut::new(), scanned: 0, number: 0 };
    while let Some((number, line)) = lines.next().await? {
        changes.take(number, &line).await?;
    }
    changes.apply_batch().await?;
    changes.remove_unnamed().await?;
    if let Some(pairs) = changes.metadata.take() {
        let (slice_id, version) = (draft.slice.id, draft.version());
        let pairs: Vec<_> = pairs.into_iter().collect();
        draft.write(move |conn| Ok(store::metadata::replace(conn, slice_id, version, &pairs)?)).await?;
    }
    Ok((draft.publish().await?, changes.counts))
}

/// Lines of a body.
struct Lines<S> {
    content: S,
    buffer: BytesMut,
    /// Bytes of the buffer known to hold no line end.
    scanned: usize,
    number: usize,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Lines<S> {
    /// The next one that is not empty, with its number.
    async fn next(&mut self) -> Result<Option<(usize, Bytes)>, Error> {
        loop {
            let rest = self.buffer.get(self.scanned..).unwrap_or_default();
            let line = if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.scanned + end + 1);
                self.scanned = 0;
                line
            } else {
                self.scanned = self.buffer.len();
                if self.scanned > MAX_LINE {
                    return Err(wrong(self.number + 1, "it is too long: publish large content as a file"));
                }
                match self.content.next().await {
                    Some(Ok(chunk)) => {
                        self.buffer.extend_from_slice(&chunk);
                        continue;
                    }
                    Some(Err(error)) => {
                        return Err(Error::BadRequest(format!("the content broke off: {error}")));
                    }
                    None if self.buffer.is_empty() => return Ok(None),
                    None => {
                        self.scanned = 0;
                        self.buffer.split()
                    }
                }
            };
            self.number += 1;
            if !line.trim_ascii().is_empty() {
                return Ok(Some((self.number, line.freeze())));
            }
        }
    }
}

fn wrong(line: usize, what: &str) -> Error {
    Error::BadRequest(format!("line {line}: {what}; nothing was published"))
}

/// A change that is checked.
enum Change {
    Put(NewGrain, Option<Id>),
    Delete(String),
}

impl Change {
    fn key(&self) -> &str {
        match self {
            Self::Put(new, _id) => &new.grain_key,
            Self::Delete(key) => key,
        }
    }
}

struct Changes<'a> {
    draft: &'a HeldDraft<'a>,
    /// Rows that stay, if what is not named goes.
    named: Option<HashSet<i64>>,
    metadata: Option<BTreeMap<String, String>>,
    counts: ChangeCounts,
    batch: Vec<(usize, Change)>,
    batch_bytes: usize,
}

impl Changes<'_> {
    async fn take(&mut self, number: usize, line: &[u8]) -> Result<(), Error> {
        let change: ChangeLine = serde_json::from_slice(line)
            .map_err(|error| wrong(number, &format!("it is no change: {error}")))?;
        let change = match change {
            ChangeLine::Metadata(pairs) => {
                check_metadata(&pairs).map_err(|error| wrong(number, &error.to_string()))?;
                self.metadata = Some(pairs);
                return Ok(());
            }
            ChangeLine::Delete(key) => Change::Delete(key.to_lowercase()),
            ChangeLine::Put(put) => {
                check(&put).map_err(|error| wrong(number, &error.to_string()))?;
                let id = put.id.filter(|id| !id.is_nil());
                Change::Put(self.new_grain(put, id), id)
            }
        };
        self.batch.push((number, change));
        self.batch_bytes += line.len();
        if self.batch_bytes >= BATCH_BYTES || self.batch.len() >= BATCH_LINES {
            self.apply_batch().await?;
        }
        Ok(())
    }

    fn new_grain(&self, put: PutGrain, id: Option<Id>) -> NewGrain {
        let (id, grain_key) =
            (id.unwrap_or_else(|| self.draft.node.random.id()), put.grain_key.to_lowercase());
        NewGrain {
            slice_id: self.draft.slice.id,
            id,
            digest: grain_digest(id, &grain_key, &put.encoding, &put.source, &put.payload).to_vec(),
            grain_key,
            source: put.source,
            encoding: put.encoding,
            payload: put.payload,
            added_in: self.draft.version(),
            created_at: self.draft.node.clock.now(),
        }
    }

    async fn apply_batch(&mut self) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        // A key that is named twice waits for what came before: batches are cut there.
        let mut rest = batch.into_iter().peekable();
        while rest.peek().is_some() {
            let (mut keys, mut part) = (HashSet::new(), Vec::new());
            while let Some(next) = rest.next_if(|(_number, change)| keys.insert(change.key().to_owned())) {
                part.push(next);
            }
            let (slice_id, version) = (self.draft.slice.id, self.draft.version());
            let done = self.draft.write(move |conn| apply(conn, slice_id, version, part)).await?;
            self.counts.added += done.counts.added;
            self.counts.replaced += done.counts.replaced;
            self.counts.removed += done.counts.removed;
            self.counts.unchanged += done.counts.unchanged;
            self.counts.missing += done.counts.missing;
            if let Some(named) = &mut self.named {
                named.extend(done.stay);
            }
        }
        Ok(())
    }

    /// What was there before and was not named goes.
    async fn remove_unnamed(&mut self) -> Result<(), Error> {
        let Some(named) = self.named.take() else { return Ok(()) };
        let (slice_id, base, draft) = (self.draft.slice.id, self.draft.base.version, self.draft.version());
        let mut after = None;
        loop {
            let page = self
                .draft
                .node
                .store
                .read(move |conn| store::grain::page(conn, slice_id, base, after, PAGE))
                .await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            let gone: Vec<Id> = page
                .iter()
                .filter(|row| row.removed_in.is_none() && !named.contains(&row.row_id))
                .map(|row| row.id)
                .collect();
            if !gone.is_empty() {
                let removed = self
                    .draft
                    .write(move |conn| Ok(store::grain::remove(conn, slice_id, draft, &gone)?))
                    .await?;
                self.counts.removed += u64::try_from(removed).unwrap_or(u64::MAX);
            }
        }
    }
}

fn check(put: &PutGrain) -> Result<(), Error> {
    let encoding: Encoding =
        put.encoding.parse().map_err(|error: UnknownEncoding| Error::BadRequest(error.to_string()))?;
    if put.grain_key.is_empty() {
        return Err(Error::BadRequest("grain_key is empty".to_owned()));
    }
    indexable("grain_key", &put.grain_key.to_lowercase())?;
    no_nul("source", &put.source)?;
    no_nul("payload", &put.payload)?;
    if put.payload.len() > PIECE_BYTES {
        return Err(Error::BadRequest(format!(
            "the payload's text has {} bytes, at most {PIECE_BYTES} are taken here: publish large content as a file, or add \
             it by POST /v1/grains",
            put.payload.len()
        )));
    }
    encoding
        .check(&put.payload, MAX_UNPACKED_BYTES)
        .map_err(|error| Error::BadRequest(format!("payload: {error}")))
}

fn check_metadata(pairs: &BTreeMap<String, String>) -> Result<(), Error> {
    for (key, value) in pairs {
        indexable("metadata", key)?;
        no_nul("metadata", value)?;
    }
    Ok(())
}

#[derive(Default)]
struct Done {
    counts: ChangeCounts,
    /// Rows that were put and are there already.
    stay: Vec<i64>,
}

/// Applies changes of different keys.
fn apply(
    conn: &mut Connection,
    slice_id: Id,
    draft: i64,
    changes: Vec<(usize, Change)>,
) -> Result<Done, Error> {
    let mut done = Done::default();
    let keys: Vec<&str> = changes.iter().map(|(_number, change)| change.key()).collect();
    let live: BTreeMap<String, GrainRow> = store::grain::live_by_keys(conn, slice_id, &keys)?
        .into_iter()
        .map(|row| (row.grain_key.clone(), row))
        .collect();
    let (mut gone, mut put) = (Vec::new(), Vec::new());
    for (number, change) in changes {
        let there = live.get(change.key());
        match (change, there) {
            (Change::Delete(_), None) => done.counts.missing += 1,
            (Change::Delete(_), Some(row)) => {
                done.counts.removed += 1;
                gone.push(row.id);
            }
            (Change::Put(new, id), Some(row)) if is_same(&new, id, row) => {
                done.counts.unchanged += 1;
                done.stay.push(row.row_id);
            }
            (Change::Put(new, id), Some(row)) => {
                done.counts.replaced += 1;
                gone.push(row.id);
                put.push((number, new, id));
            }
            (Change::Put(new, id), None) => {
                done.counts.added += 1;
                put.push((number, new, id));
            }
        }
    }
    // Removals first: what comes may have their keys.
    store::grain::remove(conn, slice_id, draft, &gone)?;
    let mut new_grains = Vec::with_capacity(put.len());
    for (number, new, given) in put {
        if given.is_some() {
            // An id names content (spec §1), so on a primary it may live only once.
            if !store::grain::live(conn, new.id)?.is_empty() {
                return Err(Error::Conflict(format!(
                    "line {number}: a grain has id {} already: changed content needs a new id; nothing was published",
                    new.id
                )));
            }
            // The same grain, removed and added again within one draft: nothing happened.
            if store::grain::restore(conn, slice_id, draft, new.id, &new.digest)? {
                done.stay.extend(store::grain::live(conn, new.id)?.into_iter().map(|row| row.row_id));
                continue;
            }
        }
        new_grains.push(new);
    }
    store::grain::insert(conn, &new_grains)?;
    Ok(done)
}

/// Whether the grain is there already; another id names another grain.
fn is_same(new: &NewGrain, given: Option<Id>, row: &GrainRow) -> bool {
    let digest = grain_digest(row.id, &new.grain_key, &new.encoding, &new.source, &new.payload);
    given.is_none_or(|id| id == row.id) && digest.as_slice() == row.digest
}
