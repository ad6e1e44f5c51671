//! What a secondary pulls: subscriptions, and slice versions as streams. A version never changes, so a stream of many
//! small reads is one snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use shared::failpoint::{Failpoint, reach};
use shared::node::permission::{Action, Scope};
use shared::node::service::{receiver, slice, subscription};
use shared::node::{Error, Node, Principal};
use shared::store::grain::GrainRow;
use shared::store::slice::SliceRow;
use shared::store::version::VersionRow;
use shared::store::{self, Connection, StoreError};
use shared::wire::Id;
use shared::wire::slice::MetadataPair;
use shared::wire::subscription::Subscription;
use shared::wire::sync::{FeedGrain, FeedHeader, FeedLine, FeedMode, FeedQuery, MAX_WANTED, WantedGrains};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Rows looked at for one chunk.
const PAGE_ROWS: i64 = 500;
/// Payload in one chunk, unless a single grain is larger.
const CHUNK_BYTES: i64 = 1024 * 1024;
/// Chunks waiting for a slow reader: what a stream may hold in memory.
const CHUNKS_AHEAD: usize = 4;

type Chunks = Receiver<std::io::Result<Bytes>>;

/// The reference's web-socket stub.
///
/// # Errors
/// [`Error::Forbidden`] for an ordinary user.
pub fn socket(node: &Node, who: &Principal) -> Result<(), Error> {
    node.permit(who, Action::OpenSyncSocket).map(drop)
}

/// The caller's company's subscriptions with their slices. A Go receiver gets the hash over ids only: with metadata in
/// it, its every sync fails (gap B1). And it gets the closed slices last: its run ends at the first that fails (gap B3).
///
/// # Errors
/// What the store reports.
pub async fn subscriptions(
    node: &Node,
    who: &Principal,
    is_go_client: bool,
) -> Result<Option<Vec<Subscription>>, Error> {
    node.permit(who, Action::ListOffers)?;
    let (now, company_id) = (node.clock.now(), who.company_id);
    let subs = node
        .store
        .read(move |conn| -> Result<_, StoreError> {
            let rows = store::subscription::of_company(conn, company_id)?;
            // What it has told, so that it tells again what was lost on its way.
            let received = if is_go_client { HashMap::new() } else { receiver::named(conn, company_id)? };
            let mut subs = Vec::with_capacity(rows.len());
            for row in rows {
                let view = store::slice::view(conn, row.slice_id)?;
                let mut sub = subscription::to_wire(row);
                sub.received = received.get(&sub.slice_id).copied();
                sub.slice = view.map(|view| {
                    let ids_hash = view.1.ids_hash.clone();
                    let mut slice = slice::to_wire(view, now);
                    if is_go_client {
                        slice.content_hash = ids_hash;
                    }
                    slice
                });
                subs.push(sub);
            }
            Ok(subs)
        })
        .await?;
    let told = |sub: &Subscription| {
        let version = sub.slice.as_ref().and_then(|slice| slice.version.as_ref());
        (sub.slice_id, version.filter(|_version| is_go_client).map(|version| version.number))
    };
    receiver::note_asked(node, who, subs.iter().map(told).collect()).await;
    let without_version = |mut sub: Subscription| {
        if let Some(slice) = sub.slice.as_mut().filter(|_slice| is_go_client) {
            slice.version = None;
        }
        sub
    };
    let mut subs: Vec<Subscription> = subs.into_iter().map(without_version).collect();
    if is_go_client {
        subs.sort_by_key(|sub| sub.slice.as_ref().is_some_and(|slice| !slice.allow_sync));
    }
    Ok((!subs.is_empty()).then_some(subs))
}

/// The slice, if the caller's company actively subscribes to it and it is open.
fn open_slice(conn: &mut Connection, node: &Node, scope: Scope, id: Id) -> Result<SliceRow, Error> {
    // First: who may not read it does not learn whether it is there.
    scope.admits_slice(conn, id)?;
    let row = store::slice::find(conn, id)?.ok_or(Error::NotFound("Slice not found."))?;
    if !slice::allows_sync(&row, node.clock.now()) {
        return Err(Error::PublisherEditing);
    }
    Ok(row)
}

/// The reference's wire: all grains of the published version as one JSON array, `null` if there are none.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NoAccessToSlice`], [`Error::PublisherEditing`].
pub async fn grains(node: Arc<Node>, who: &Principal, id: Id, brief: bool) -> Result<Chunks, Error> {
    let scope = node.permit(who, Action::ReadFeed)?;
    let reader = Arc::clone(&node);
    let slice = node.store.read(move |conn| open_slice(conn, &reader, scope, id)).await?;
    let version = slice.current_version;
    Ok(spawn(move |out| async move {
        let mut cursor = None;
        let mut before = "[";
        loop {
            let page = read_page(&node, id, version, cursor, !brief).await?;
            let Some((last, _payload)) = page.last() else { break };
            cursor = Some(last.id);
            let mut text = String::new();
            for (row, payload) in page {
                text.push_str(before);
                before = ",";
                let grain = shared::node::service::grain::to_wire(row, payload);
                text.push_str(
                    &serde_json::to_string(&grain).map_err(|error| Error::Internal(error.to_string()))?,
                );
            }
            out.send(text).await?;
        }
        out.send(if before == "[" { "null\n".to_owned() } else { "]\n".to_owned() }).await
    }))
}

async fn read_page(
    node: &Node,
    id: Id,
    version: i64,
    cursor: Option<Id>,
    with_payload: bool,
) -> Result<Vec<(GrainRow, Option<String>)>, Error> {
    node.store
        .read(move |conn| {
            let rows = store::grain::page(conn, id, version, cursor, PAGE_ROWS)?;
            if !with_payload {
                return Ok(rows.into_iter().map(|row| (row, Some(String::new()))).collect());
            }
            let rows = store::payload::of_rows(conn, one_chunk(rows))?;
            Ok(rows.into_iter().map(|(row, payload)| (row, Some(payload))).collect())
        })
        .await
}

/// The first rows that fit into a chunk; at least one.
fn one_chunk(mut rows: Vec<GrainRow>) -> Vec<GrainRow> {
    let mut bytes = 0_i64;
    let fit = rows.iter().take_while(|row| {
        let first = bytes == 0;
        bytes = bytes.saturating_add(row.payload_bytes.max(1));
        first || bytes <= CHUNK_BYTES
    });
    let count = fit.count();
    rows.truncate(count);
    rows
}

/// sync-2: see [`shared::wire::sync`].
///
/// # Errors
/// [`Error::NotFound`], [`Error::NoAccessToSlice`], [`Error::PublisherEditing`].
pub async fn feed(node: Arc<Node>, who: &Principal, id: Id, query: FeedQuery) -> Result<Chunks, Error> {
    let scope = node.permit(who, Action::ReadFeed)?;
    let reader = Arc::clone(&node);
    let (header, from) = node
        .store
        .read(move |conn| {
            let slice = open_slice(conn, &reader, scope, id)?;
            plan(conn, &slice, &query)
        })
        .await?;
    Ok(spawn(move |out| async move {
        out.send_line(&header).await?;
        reach(Failpoint::FeedHeaderSent);
        match header.mode {
            FeedMode::Full => send_full(&node, &header, &out).await?,
            FeedMode::Index => send_index(&node, &header, &out).await?,
            FeedMode::Delta => {
                send_removed(&node, &header, from, &out).await?;
                send_added(&node, &header, from, &out).await?;
            }
        }
        out.send_line(&FeedLine::End).await
    }))
}

/// Chooses what travels. A delta is served only if our own row of the caller's version has the caller's digest: a
/// restored database fools nobody.
fn plan(conn: &mut Connection, slice: &SliceRow, query: &FeedQuery) -> Result<(FeedHeader, i64), Error> {
    let number = query.version.unwrap_or(slice.current_version);
    let gone = || Error::NotFound("version does not exist");
    if number > slice.current_version {
        return Err(gone());
    }
    let version = store::version::find(conn, slice.id, number)?.ok_or_else(gone)?;
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let from = query.from.filter(|from| query.epoch == Some(slice.epoch) && *from <= number);
    let known = match from {
        Some(from) => store::version::find(conn, slice.id, from)?
            .is_some_and(|row| query.digest.as_deref() == Some(hex(&row.digest).as_str())),
        None => false,
    };
    let mode = match from {
        Some(_) if known => FeedMode::Delta,
        _ if query.digest.is_none() => FeedMode::Full,
        _ => FeedMode::Index,
    };
    Ok((header(conn, slice, &version, mode)?, from.unwrap_or_default()))
}

fn header(
    conn: &mut Connection,
    slice: &SliceRow,
    version: &VersionRow,
    mode: FeedMode,
) -> Result<FeedHeader, StoreError> {
    let metadata = store::metadata::at(conn, slice.id, version.version)?;
    Ok(FeedHeader {
        mode,
        slice_id: slice.id,
        epoch: slice.epoch,
        version: version.version,
        digest: data_encoding::HEXLOWER.encode(&version.digest),
        count: version.grain_count,
        payload_bytes: version.payload_bytes,
        content_hash: version.content_hash.clone(),
        ids_hash: version.ids_hash.clone(),
        content_date: version.content_date,
        metadata: metadata.into_iter().map(|(key, value)| MetadataPair { key, value }).collect(),
    })
}

async fn send_full(node: &Node, header: &FeedHeader, out: &Output) -> Result<(), Error> {
    let (id, version) = (header.slice_id, header.version);
    let mut cursor = None;
    loop {
        let page = read_page(node, id, version, cursor, true).await?;
        let Some((last, _payload)) = page.last() else { return Ok(()) };
        cursor = Some(last.id);
        out.send_grains(page.into_iter().filter_map(|(row, payload)| Some((row, payload?)))).await?;
    }
}

async fn send_index(node: &Node, header: &FeedHeader, out: &Output) -> Result<(), Error> {
    let (id, version) = (header.slice_id, header.version);
    let mut cursor = None;
    loop {
        let page = node
            .store
            .read(move |conn| store::grain::index_page(conn, id, version, cursor, PAGE_ROWS * 10))
            .await?;
        let Some((last, _digest)) = page.last() else { return Ok(()) };
        cursor = Some(*last);
        let lines =
            page.iter().map(|(id, digest)| FeedLine::Index(*id, data_encoding::HEXLOWER.encode(digest)));
        out.send_lines(lines).await?;
    }
}

async fn send_removed(node: &Node, header: &FeedHeader, from: i64, out: &Output) -> Result<(), Error> {
    let (id, to) = (header.slice_id, header.version);
    let mut cursor = None;
    loop {
        let page = node
            .store
            .read(move |conn| store::grain::removed_between(conn, id, from, to, cursor, PAGE_ROWS * 10))
            .await?;
        let Some(last) = page.last() else { return Ok(()) };
        cursor = Some((last.removed_in.unwrap_or(to), last.id));
        out.send_lines(page.iter().map(|row| FeedLine::Remove(row.id))).await?;
    }
}

async fn send_added(node: &Node, header: &FeedHeader, from: i64, out: &Output) -> Result<(), Error> {
    let (id, to) = (header.slice_id, header.version);
    let mut cursor = None;
    loop {
        let page = node
            .store
            .read(move |conn| -> Result<_, StoreError> {
                let rows = store::grain::added_between(conn, id, from, to, cursor, PAGE_ROWS)?;
                store::payload::of_rows(conn, one_chunk(rows))
            })
            .await?;
        let Some((last, _payload)) = page.last() else { return Ok(()) };
        cursor = Some((last.added_in, last.id));
        out.send_grains(page).await?;
    }
}

/// sync-2: some grains of a version, in any order; ids that are not in it are left out.
///
/// # Errors
/// As [`feed`]; [`Error::BadRequest`] for more than [`MAX_WANTED`] ids.
pub async fn wanted(node: Arc<Node>, who: &Principal, id: Id, wanted: WantedGrains) -> Result<Chunks, Error> {
    if wanted.ids.len() > MAX_WANTED {
        return Err(Error::BadRequest(format!("ask for at most {MAX_WANTED} grains at a time")));
    }
    let scope = node.permit(who, Action::ReadFeed)?;
    let reader = Arc::clone(&node);
    let version = wanted.version;
    let mut rows = node
        .store
        .read(move |conn| -> Result<_, Error> {
            let slice = open_slice(conn, &reader, scope, id)?;
            // The draft is nobody's but the publisher's.
            if version > slice.current_version {
                return Err(Error::NotFound("version does not exist"));
            }
            Ok(store::grain::among(conn, id, version, &wanted.ids)?)
        })
        .await?;
    Ok(spawn(move |out| async move {
        while !rows.is_empty() {
            let chunk = one_chunk(rows.clone());
            rows.drain(..chunk.len());
            let grains = node.store.read(move |conn| store::payload::of_rows(conn, chunk)).await?;
            out.send_grains(grains).await?;
        }
        out.send_line(&FeedLine::End).await
    }))
}

/// Runs `produce` beside the answer it fills. When it fails the stream breaks off, so that nobody takes half for all.
fn spawn<F, P>(produce: F) -> Chunks
where
    F: FnOnce(Output) -> P + Send + 'static,
    P: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (sender, receiver) = channel(CHUNKS_AHEAD);
    tokio::spawn(async move {
        let failed = match produce(Output(sender.clone())).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if !sender.is_closed() {
            let text = failed.private_text().unwrap_or_else(|| failed.to_string());
            tracing::error!(error = %text, "a stream broke off");
            drop(sender.send(Err(std::io::Error::other("the stream broke off"))).await);
        }
    });
    receiver
}

/// Where a stream goes.
struct Output(Sender<std::io::Result<Bytes>>);

impl Output {
    async fn send(&self, text: String) -> Result<(), Error> {
        // The reader is gone: nothing more to do.
        self.0
            .send(Ok(Bytes::from(text)))
            .await
            .map_err(|_gone| Error::BadRequest("the reader went away".to_owned()))
    }

    async fn send_line(&self, line: &impl serde::Serialize) -> Result<(), Error> {
        self.send(json_line(line)?).await
    }

    async fn send_lines(&self, lines: impl IntoIterator<Item = FeedLine>) -> Result<(), Error> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&json_line(&line)?);
        }
        self.send(text).await
    }

    async fn send_grains(&self, grains: impl IntoIterator<Item = (GrainRow, String)>) -> Result<(), Error> {
        let lines = grains.into_iter().map(|(row, payload)| {
            FeedLine::Grain(FeedGrain {
                id: row.id,
                grain_key: row.grain_key,
                source: row.source,
                encoding: row.encoding,
                digest: data_encoding::HEXLOWER.encode(&row.digest),
                payload,
            })
        });
        self.send_lines(lines).await
    }
}

fn json_line(line: &impl serde::Serialize) -> Result<String, Error> {
    let mut text = serde_json::to_string(line).map_err(|error| Error::Internal(error.to_string()))?;
    text.push('\n');
    Ok(text)
}
