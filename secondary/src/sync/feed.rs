//! sync-2: pulling a version, or the way to it, from one of our own primaries.

use std::collections::HashSet;

use shared::client::Lines;
use shared::node::Error;
use shared::store::version::VersionRow;
use shared::store::{self, Store};
use shared::wire::Id;
use shared::wire::slice::Slice;
use shared::wire::sync::{FeedGrain, FeedHeader, FeedLine, FeedMode, FeedQuery, MAX_WANTED, WantedGrains};

use super::stage::{Arrived, Expected, Stage};
use super::{Change, Run};

/// Removals held in memory before they are staged.
const REMOVALS_AHEAD: usize = 5_000;
/// Ids and digests read at a time.
const INDEX_ROWS: i64 = 5_000;

/// Whether what we have is what the primary has. Another version number with the same digest is the same content: only
/// the number is noted.
///
/// # Errors
/// [`Error::Upstream`] when the primary does not say its version.
pub(super) async fn is_equal(run: &Run, remote: &Slice, local: &VersionRow) -> Result<bool, Error> {
    let version = remote.version.as_ref().ok_or_else(|| {
        Error::Upstream("the primary speaks sync-2 but does not say its version".to_owned())
    })?;
    if version.digest != data_encoding::HEXLOWER.encode(&local.digest) {
        return Ok(false);
    }
    let source = (version.epoch, version.number);
    if local.source_epoch.zip(local.source_version) != Some(source) {
        let (slice_id, number, content_date) = (remote.id, local.version, remote.content_date);
        run.secondary
            .node
            .store
            .write(move |conn| store::version::set_source(conn, slice_id, number, source, content_date))
            .await?;
    }
    Ok(true)
}

/// Fetches, stages, verifies, switches.
///
/// # Errors
/// [`Error::Upstream`] for anything that is not what was announced; [`Error::Unreachable`] when the stream breaks.
pub(super) async fn fetch(run: &Run, stage: &Stage) -> Result<Change, Error> {
    let slice_id = stage.base.slice_id;
    let mut lines = run.client.feed(slice_id, &have(&stage.base)).await?;
    let header: FeedHeader = lines.header().await?.ok_or_else(|| unexpected("an empty feed"))?;
    if header.slice_id != slice_id {
        return Err(unexpected("the feed of another slice"));
    }
    check(&header)?;
    match header.mode {
        FeedMode::Full if stage.base.grain_count > 0 => {
            return Err(unexpected("a full feed that was not asked for"));
        }
        FeedMode::Full | FeedMode::Delta => take_changes(&mut lines, stage, &header).await?,
        FeedMode::Index => {
            let wanted = compare(&mut lines, stage, &header).await?;
            take_wanted(run, stage, &header, wanted).await?;
        }
    }
    stage.set_metadata(header.metadata).await?;
    stage
        .switch(Expected {
            digest: Some(header.digest),
            count: header.count,
            content_hash: header.content_hash,
            ids_hash: header.ids_hash,
            content_date: header.content_date,
            source: Some((header.epoch, header.version)),
        })
        .await
}

/// What we have, in the primary's terms.
fn have(base: &VersionRow) -> FeedQuery {
    if base.grain_count == 0 {
        return FeedQuery::default();
    }
    FeedQuery {
        version: None,
        epoch: base.source_epoch,
        from: base.source_version,
        digest: Some(data_encoding::HEXLOWER.encode(&base.digest)),
    }
}

/// Numbers that can be true, and hashes that look like hashes.
fn check(header: &FeedHeader) -> Result<(), Error> {
    if header.count < 0 || header.payload_bytes < 0 || header.version < 0 {
        return Err(unexpected("a negative number"));
    }
    let is_sha1 =
        |text: &str| text.is_empty() || (text.len() == 40 && text.bytes().all(|c| c.is_ascii_hexdigit()));
    if is_sha1(&header.content_hash) && is_sha1(&header.ids_hash) {
        Ok(())
    } else {
        Err(unexpected("a content hash that is none"))
    }
}

/// Counts down what was announced: a feed that goes on and on ends here, not when the disk is full.
struct Allowance {
    left: i64,
    what: &'static str,
}

impl Allowance {
    fn take(&mut self, amount: usize) -> Result<(), Error> {
        self.left = self.left.saturating_sub(i64::try_from(amount).unwrap_or(i64::MAX));
        if self.left < 0 { Err(unexpected(&format!("more {} than it announced", self.what))) } else { Ok(()) }
    }
}

/// `remove` lines, then `grain` lines, then `end`.
async fn take_changes(lines: &mut Lines, stage: &Stage, header: &FeedHeader) -> Result<(), Error> {
    let mut grains = Allowance { left: header.count, what: "grains" };
    let mut bytes = Allowance { left: header.payload_bytes, what: "payload" };
    let mut removals = Allowance { left: stage.base.grain_count, what: "removals" };
    let mut removed = Vec::new();
    let mut removals_done = false;
    loop {
        match next(lines).await? {
            FeedLine::Remove(id) if !removals_done => {
                removals.take(1)?;
                removed.push(id);
                if removed.len() >= REMOVALS_AHEAD {
                    stage.remove(std::mem::take(&mut removed)).await?;
                }
            }
            FeedLine::Grain(grain) => {
                if !removals_done {
                    removals_done = true;
                    stage.remove(std::mem::take(&mut removed)).await?;
                }
                grains.take(1)?;
                bytes.take(grain.payload.len())?;
                stage.add(arrived(grain)).await?;
            }
            FeedLine::End => return stage.remove(removed).await,
            FeedLine::Remove(_) | FeedLine::Index(..) => return Err(unexpected("lines in the wrong order")),
        }
    }
}

/// Compares the primary's index with ours: stages removals, returns what is missing.
async fn compare(lines: &mut Lines, stage: &Stage, header: &FeedHeader) -> Result<Vec<Id>, Error> {
    let local = LocalIndex::of(stage.store(), &stage.base);
    let (removed, wanted) = difference(lines, header, local).await?;
    stage.remove(removed).await?;
    Ok(wanted)
}

/// Merges the primary's index with ours, both in id order: what is ours alone, and what is missing here. What differs is
/// both.
pub(super) async fn difference(
    lines: &mut Lines,
    header: &FeedHeader,
    mut local: LocalIndex<'_>,
) -> Result<(Vec<Id>, Vec<Id>), Error> {
    let mut grains = Allowance { left: header.count, what: "grains" };
    let mut ours = local.next().await?;
    let (mut removed, mut wanted) = (Vec::new(), Vec::new());
    let mut last = None;
    loop {
        let (id, digest) = match next(lines).await? {
            FeedLine::Index(id, digest) => (id, digest),
            FeedLine::End => break,
            FeedLine::Remove(_) | FeedLine::Grain(_) => return Err(unexpected("lines in the wrong order")),
        };
        grains.take(1)?;
        if last.is_some_and(|last| id <= last) {
            return Err(unexpected("an index out of order"));
        }
        last = Some(id);
        while let Some((own, _digest)) = ours.take_if(|(own, _digest)| *own < id) {
            removed.push(own);
            ours = local.next().await?;
        }
        match ours.take_if(|(own, _digest)| *own == id) {
            Some((_own, own_digest)) => {
                if data_encoding::HEXLOWER.encode(&own_digest) != digest {
                    removed.push(id);
                    wanted.push(id);
                }
                ours = local.next().await?;
            }
            None => wanted.push(id),
        }
    }
    while let Some((own, _digest)) = ours {
        removed.push(own);
        ours = local.next().await?;
    }
    Ok((removed, wanted))
}

/// The current version's index, page by page.
pub(super) struct LocalIndex<'a> {
    store: &'a Store,
    slice_id: Id,
    version: i64,
    page: std::vec::IntoIter<(Id, Vec<u8>)>,
    after: Option<Id>,
    ended: bool,
}

impl<'a> LocalIndex<'a> {
    /// Of this version.
    pub fn of(store: &'a Store, version: &VersionRow) -> Self {
        let page = Vec::new().into_iter();
        Self { store, slice_id: version.slice_id, version: version.version, page, after: None, ended: false }
    }

    async fn next(&mut self) -> Result<Option<(Id, Vec<u8>)>, Error> {
        if self.page.len() == 0 && !self.ended {
            let (slice_id, version, after) = (self.slice_id, self.version, self.after);
            let page = self
                .store
                .read(move |conn| store::grain::index_page(conn, slice_id, version, after, INDEX_ROWS))
                .await?;
            self.ended = page.is_empty();
            self.after = page.last().map(|(id, _digest)| *id);
            self.page = page.into_iter();
        }
        Ok(self.page.next())
    }

    /// All ids of it.
    pub async fn ids(mut self) -> Result<HashSet<Id>, Error> {
        let mut ids = HashSet::new();
        while let Some((id, _digest)) = self.next().await? {
            ids.insert(id);
        }
        Ok(ids)
    }
}

async fn take_wanted(run: &Run, stage: &Stage, header: &FeedHeader, wanted: Vec<Id>) -> Result<(), Error> {
    let mut bytes = Allowance { left: header.payload_bytes, what: "payload" };
    for ids in wanted.chunks(MAX_WANTED) {
        let request = WantedGrains { version: header.version, ids: ids.to_vec() };
        let mut lines = run.client.wanted(stage.base.slice_id, &request).await?;
        let mut missing: HashSet<Id> = ids.iter().copied().collect();
        loop {
            match next(&mut lines).await? {
                FeedLine::Grain(grain) if missing.remove(&grain.id) => {
                    bytes.take(grain.payload.len())?;
                    stage.add(arrived(grain)).await?;
                }
                FeedLine::Grain(_) => return Err(unexpected("a grain that was not asked for")),
                FeedLine::End => break,
                FeedLine::Remove(_) | FeedLine::Index(..) => {
                    return Err(unexpected("lines that were not asked for"));
                }
            }
        }
    }
    Ok(())
}

fn arrived(grain: FeedGrain) -> Arrived {
    Arrived {
        id: grain.id,
        grain_key: grain.grain_key,
        source: grain.source,
        encoding: grain.encoding,
        payload: grain.payload,
        digest: Some(grain.digest),
    }
}

/// A stream without `end` broke off, however politely.
async fn next(lines: &mut Lines) -> Result<FeedLine, Error> {
    lines.next().await?.ok_or_else(|| unexpected("a feed that breaks off"))
}

fn unexpected(what: &str) -> Error {
    Error::Upstream(format!("the primary sent {what}"))
}
