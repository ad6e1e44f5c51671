//! sync-2: slice versions as streams of lines. A version never changes, so a stream of many small reads is one snapshot.

use std::sync::Arc;

use shared::failpoint::{Failpoint, reach};
use shared::node::permission::Action;
use shared::node::{Error, Node, Principal};
use shared::store::grain::GrainRow;
use shared::store::slice::SliceRow;
use shared::store::version::VersionRow;
use shared::store::{self, Connection, StoreError};
use shared::wire::Id;
use shared::wire::slice::MetadataPair;
use shared::wire::sync::{FeedGrain, FeedHeader, FeedLine, FeedMode, FeedQuery, MAX_WANTED, WantedGrains};

use super::mark::Mark;
use super::offer::{open_slice, version_of};
use super::reader::Reader;
use super::stream::{CHUNK_BYTES, Chunks, LINE_BYTES, Output, is_large, json_line, one_chunk, spawn};

/// Ids, with or without digests, looked at for one chunk.
const PAGE_IDS: i64 = 5_000;
/// Grains looked at for one chunk.
const PAGE_ROWS: i64 = 2_000;

/// See [`shared::wire::sync`].
///
/// # Errors
/// [`Error::NotFound`], [`Error::NoAccessToSlice`], [`Error::PublisherEditing`]; [`Error::Gone`] when a feed that broke off
/// cannot go on.
pub async fn feed(node: Arc<Node>, who: &Principal, id: Id, query: FeedQuery) -> Result<Chunks, Error> {
    let scope = node.permit(who, Action::ReadFeed)?;
    let asked = Arc::clone(&node);
    let plan = node
        .store
        .read(move |conn| {
            let slice = open_slice(conn, &asked, scope, id)?;
            plan(conn, &slice, &query)
        })
        .await?;
    let oldest = if plan.header.mode == FeedMode::Delta { plan.from } else { plan.header.version };
    let reader = Reader::of(&node, id, oldest).await?;
    Ok(spawn(move |out| async move {
        out.send_line(&plan.header).await?;
        reach(Failpoint::FeedHeaderSent);
        let mut feed = Feed { reader, header: &plan.header, from: plan.from, out: &out };
        match (plan.header.mode, plan.after) {
            (FeedMode::Full, Some(Mark::Grain(last))) => feed.full(Some(last)).await?,
            (FeedMode::Full, _) => feed.full(None).await?,
            (FeedMode::Index, _) => feed.index().await?,
            (FeedMode::Delta, Some(Mark::Added(version, last))) => feed.added(Some((version, last))).await?,
            (FeedMode::Delta, Some(Mark::Removed(version, last))) => {
                feed.removed(Some((version, last))).await?;
                feed.added(None).await?;
            }
            (FeedMode::Delta, _) => {
                feed.removed(None).await?;
                feed.added(None).await?;
            }
        }
        out.send_line(&FeedLine::End).await
    }))
}

/// What travels.
struct Plan {
    header: FeedHeader,
    /// A delta: the caller's version.
    from: i64,
    /// Where it goes on.
    after: Option<Mark>,
}

/// Chooses what travels. A delta is served only if our own row of the caller's version has the caller's digest: a
/// restored database fools nobody.
fn plan(conn: &mut Connection, slice: &SliceRow, query: &FeedQuery) -> Result<Plan, Error> {
    let version = version_of(conn, slice, query.version)?;
    let number = version.version;
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
    let after = query.after.as_deref().map(|mark| after(mark, mode)).transpose()?;
    Ok(Plan { header: header(conn, slice, &version, mode)?, from: from.unwrap_or_default(), after })
}

fn after(mark: &str, mode: FeedMode) -> Result<Mark, Error> {
    let mark = mark.parse::<Mark>().ok().filter(|mark| mark.is_of(mode));
    mark.ok_or(Error::Gone("this feed cannot go on from there: ask for it without `after`"))
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

/// A feed under way.
struct Feed<'a> {
    reader: Reader,
    header: &'a FeedHeader,
    from: i64,
    out: &'a Output,
}

impl Feed<'_> {
    async fn full(&mut self, mut after: Option<Id>) -> Result<(), Error> {
        let (id, version, limit) = (self.header.slice_id, self.header.version, self.rows_ahead());
        loop {
            let read = move |conn: &mut Connection| {
                let rows = store::grain::page(conn, id, version, after, limit)?;
                grain_lines(conn, rows, |row| Some(Mark::Grain(row.id)))
            };
            let Some((last, text)) = self.reader.read(read).await? else { return Ok(()) };
            after = Some(last.id);
            self.out.send(text).await?;
        }
    }

    async fn added(&mut self, mut after: Option<(i64, Id)>) -> Result<(), Error> {
        let (id, from, to, limit) = (self.header.slice_id, self.from, self.header.version, self.rows_ahead());
        loop {
            let read = move |conn: &mut Connection| {
                let rows = store::grain::added_between(conn, id, from, to, after, limit)?;
                grain_lines(conn, rows, |row| Some(Mark::Added(row.added_in, row.id)))
            };
            let Some((last, text)) = self.reader.read(read).await? else { return Ok(()) };
            after = Some((last.added_in, last.id));
            self.out.send(text).await?;
        }
    }

    async fn removed(&mut self, mut after: Option<(i64, Id)>) -> Result<(), Error> {
        let (id, from, to) = (self.header.slice_id, self.from, self.header.version);
        loop {
            let read = move |conn: &mut Connection| {
                Ok(store::grain::removed_between(conn, id, from, to, after, PAGE_IDS)?)
            };
            let page = self.reader.read(read).await?;
            let Some(last) = page.last() else { return Ok(()) };
            let (version, last) = (last.removed_in.unwrap_or(to), last.id);
            after = Some((version, last));
            let mark = FeedLine::Mark(Mark::Removed(version, last).to_string());
            self.out.send_lines(page.iter().map(|row| FeedLine::Remove(row.id)).chain([mark])).await?;
        }
    }

    async fn index(&mut self) -> Result<(), Error> {
        let (id, version) = (self.header.slice_id, self.header.version);
        let mut after = None;
        loop {
            let read = move |conn: &mut Connection| {
                Ok(store::grain::index_page(conn, id, version, after, PAGE_IDS)?)
            };
            let page = self.reader.read(read).await?;
            let Some((last, _digest)) = page.last() else { return Ok(()) };
            after = Some(*last);
            let lines =
                page.iter().map(|(id, digest)| FeedLine::Index(*id, data_encoding::HEXLOWER.encode(digest)));
            self.out.send_lines(lines).await?;
        }
    }

    /// Rows to look at for one chunk, from what the payloads of this version have on average.
    fn rows_ahead(&self) -> i64 {
        let average = self.header.payload_bytes / self.header.count.max(1);
        (CHUNK_BYTES / average.max(1)).clamp(16, PAGE_ROWS)
    }
}

/// The lines of the rows that fit into a chunk, and the last of them; `None` without any. Written where they are read, beside
/// the answers to others.
fn grain_lines(
    conn: &mut Connection,
    rows: Vec<GrainRow>,
    mark: impl Fn(&GrainRow) -> Option<Mark>,
) -> Result<Option<(GrainRow, String)>, Error> {
    let rows = one_chunk(rows);
    let Some(last) = rows.last().cloned() else { return Ok(None) };
    Ok(Some((last, lines(conn, rows, mark)?)))
}

/// A mark stands behind the last line, and on both sides of a grain whose payload is fetched in pieces: that takes its time.
fn lines(
    conn: &mut Connection,
    rows: Vec<GrainRow>,
    mark: impl Fn(&GrainRow) -> Option<Mark>,
) -> Result<String, Error> {
    let mut text = String::with_capacity(capacity(&rows));
    let small = rows.iter().filter(|row| !is_large(row)).cloned().collect();
    let mut payloads = store::payload::of_rows(conn, small)?.into_iter().map(|(_row, payload)| payload);
    let mut pending = None;
    for row in rows {
        let is_large = is_large(&row);
        if is_large {
            push_mark(&mut text, pending.take())?;
        }
        pending = mark(&row);
        let line = FeedLine::Grain(FeedGrain {
            id: row.id,
            grain_key: row.grain_key,
            source: row.source,
            encoding: row.encoding,
            digest: data_encoding::HEXLOWER.encode(&row.digest),
            payload: if is_large { None } else { payloads.next() },
            payload_bytes: is_large.then_some(row.payload_bytes),
        });
        text.push_str(&json_line(&line)?);
        if is_large {
            push_mark(&mut text, pending.take())?;
        }
    }
    push_mark(&mut text, pending)?;
    Ok(text)
}

fn capacity(rows: &[GrainRow]) -> usize {
    let small = rows.iter().filter(|row| !is_large(row));
    let bytes: i64 = small.map(|row| row.payload_bytes + LINE_BYTES).sum();
    usize::try_from(bytes).unwrap_or_default()
}

fn push_mark(text: &mut String, mark: Option<Mark>) -> Result<(), Error> {
    if let Some(mark) = mark {
        text.push_str(&json_line(&FeedLine::Mark(mark.to_string()))?);
    }
    Ok(())
}

/// Some grains of a version, in any order; ids that are not in it are left out.
///
/// # Errors
/// As [`feed`]; [`Error::BadRequest`] for more than [`MAX_WANTED`] ids.
pub async fn wanted(node: Arc<Node>, who: &Principal, id: Id, wanted: WantedGrains) -> Result<Chunks, Error> {
    if wanted.ids.len() > MAX_WANTED {
        return Err(Error::BadRequest(format!("ask for at most {MAX_WANTED} grains at a time")));
    }
    let scope = node.permit(who, Action::ReadFeed)?;
    let (asked, number) = (Arc::clone(&node), wanted.version);
    node.store
        .read(move |conn| {
            let slice = open_slice(conn, &asked, scope, id)?;
            version_of(conn, &slice, Some(number)).map(drop)
        })
        .await?;
    let mut reader = Reader::of(&node, id, number).await?;
    let mut rows = reader.read(move |conn| Ok(store::grain::among(conn, id, number, &wanted.ids)?)).await?;
    Ok(spawn(move |out| async move {
        while !rows.is_empty() {
            let chunk = one_chunk(rows.clone());
            rows.drain(..chunk.len());
            out.send(reader.read(move |conn| lines(conn, chunk, |_row| None)).await?).await?;
        }
        out.send_line(&FeedLine::End).await
    }))
}
