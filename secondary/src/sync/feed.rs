//! sync-2: pulling a version, or the way to it, from one of our own primaries.

use std::collections::HashSet;

use shared::client::{ClientError, Lines};
use shared::node::Error;
use shared::store;
use shared::store::version::VersionRow;
use shared::wire::Id;
use shared::wire::slice::Slice;
use shared::wire::sync::{
    FeedGrain, FeedHeader, FeedLine, FeedMode, FeedQuery, MAX_WANTED, PIECE_BYTES, WantedGrains,
};

use super::index::{Difference, LocalIndex, Merge};
use super::pieces::Long;
use super::stage::{Arrived, IDS_COMPARED, Left, NOTHING_YET, Source, Stage};
use super::switch::Expected;
use super::{Change, Event, Run};

/// What no slice has more of. Whoever announces more would have this node write until its disk is full.
const MOST_GRAINS: i64 = 100_000_000;
/// Bytes of payload text, 1 TiB.
const MOST_PAYLOAD_BYTES: i64 = 1 << 40;
/// Removals held in memory before they are staged.
const REMOVALS_AHEAD: usize = 5_000;

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
pub(super) async fn fetch(run: &Run, stage: &mut Stage) -> Result<Change, Error> {
    let (mut lines, header) = open(run, stage).await?;
    match header.mode {
        FeedMode::Full if stage.base.grain_count > 0 => {
            return Err(unexpected("a full feed that was not asked for"));
        }
        FeedMode::Full | FeedMode::Delta => {
            tell_size(run, stage, &header, None);
            take_changes(run, &mut lines, stage, &header).await?;
        }
        FeedMode::Index => {
            let wanted = compare(&mut lines, stage, &header).await?;
            tell_size(run, stage, &header, Some(wanted.len()));
            take_wanted(run, stage, &header, wanted).await?;
        }
    }
    stage.staged().await?;
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

/// What is to arrive at least: what an update brings beside that shows when it is there.
fn tell_size(run: &Run, stage: &Stage, header: &FeedHeader, wanted: Option<usize>) {
    let more = header.count.saturating_sub(stage.base.grain_count).max(0);
    let grains = wanted.map_or(more, |wanted| i64::try_from(wanted).unwrap_or(i64::MAX));
    let bytes = header.payload_bytes.saturating_sub(stage.base.payload_bytes).max(0);
    run.progress.tell(Event::SliceSized { id: stage.base.slice_id, grains, bytes });
}

/// A feed that goes on with what an earlier run left, if the primary still can, or else one from the beginning.
async fn open(run: &Run, stage: &mut Stage) -> Result<(Lines, FeedHeader), Error> {
    let slice_id = stage.base.slice_id;
    if let Some(left) = stage.left().cloned() {
        match run.client().await?.feed(slice_id, &go_on(&stage.base, &left)).await {
            Ok(mut lines) => {
                let header = header(&mut lines, slice_id).await?;
                if source(&header) == left.source
                    && (header.mode == FeedMode::Index) == (left.mark == IDS_COMPARED)
                {
                    return Ok((lines, header));
                }
            }
            // It is collected, or belongs to a primary that was restored or is older than this feature.
            Err(error) if [400, 404, 410].iter().any(|status| error.is_status(*status)) => {}
            Err(error) => return Err(refused(error)),
        }
        stage.start_over().await?;
    }
    let mut lines = run.client().await?.feed(slice_id, &have(&stage.base)).await.map_err(refused)?;
    let header = header(&mut lines, slice_id).await?;
    let mark = if header.mode == FeedMode::Index { IDS_COMPARED } else { NOTHING_YET };
    stage.note_source(&source(&header), mark).await?;
    Ok((lines, header))
}

/// A slice may be closed for sync at any time.
pub(super) fn refused(error: ClientError) -> Error {
    if error.is_status(409) { Error::PublisherEditing } else { error.into() }
}

async fn header(lines: &mut Lines, slice_id: Id) -> Result<FeedHeader, Error> {
    let header: FeedHeader = lines.header().await?.ok_or_else(|| unexpected("an empty feed"))?;
    if header.slice_id != slice_id {
        return Err(unexpected("the feed of another slice"));
    }
    check(&header)?;
    Ok(header)
}

fn source(header: &FeedHeader) -> Source {
    Source { epoch: header.epoch, version: header.version, digest: header.digest.clone() }
}

/// What we have, in the primary's terms.
fn have(base: &VersionRow) -> FeedQuery {
    if base.grain_count == 0 {
        return FeedQuery::default();
    }
    FeedQuery {
        epoch: base.source_epoch,
        from: base.source_version,
        digest: Some(data_encoding::HEXLOWER.encode(&base.digest)),
        ..FeedQuery::default()
    }
}

/// The same words as at the beginning, for the version of then, and how far that came.
fn go_on(base: &VersionRow, left: &Left) -> FeedQuery {
    let version = Some(left.source.version);
    if left.mark == IDS_COMPARED {
        // A digest without a version is known to nobody.
        let digest = Some(data_encoding::HEXLOWER.encode(&base.digest));
        return FeedQuery { version, digest, ..FeedQuery::default() };
    }
    let after = Some(left.mark.clone()).filter(|mark| mark != NOTHING_YET);
    FeedQuery { version, after, ..have(base) }
}

/// Numbers that can be true, and hashes that look like hashes.
fn check(header: &FeedHeader) -> Result<(), Error> {
    if header.count < 0 || header.payload_bytes < 0 || header.version < 0 {
        return Err(unexpected("a negative number"));
    }
    if header.count > MOST_GRAINS || header.payload_bytes > MOST_PAYLOAD_BYTES {
        return Err(unexpected("a feed that announces more than any slice may have"));
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
pub(super) struct Allowance {
    left: i64,
    what: &'static str,
}

impl Allowance {
    /// So many of these were announced.
    pub fn of(left: i64, what: &'static str) -> Self {
        Self { left, what }
    }

    /// Takes some of it.
    pub fn take(&mut self, amount: usize) -> Result<(), Error> {
        self.left = self.left.saturating_sub(i64::try_from(amount).unwrap_or(i64::MAX));
        if self.left < 0 { Err(unexpected(&format!("more {} than it announced", self.what))) } else { Ok(()) }
    }
}

/// `remove` lines, then `grain` lines, then `end`; marks between them.
async fn take_changes(
    run: &Run,
    lines: &mut Lines,
    stage: &mut Stage,
    header: &FeedHeader,
) -> Result<(), Error> {
    let mut grains = Allowance::of(header.count, "grains");
    let mut bytes = Allowance::of(header.payload_bytes, "payload");
    let mut removals = Allowance::of(stage.base.grain_count, "removals");
    let mut removed = Vec::new();
    let mut removals_done = false;
    loop {
        match next(lines).await? {
            FeedLine::Remove(id) if !removals_done => {
                removals.take(1)?;
                removed.push(id);
                if removed.len() >= REMOVALS_AHEAD {
                    stage.remove(std::mem::take(&mut removed), None).await?;
                }
            }
            FeedLine::Mark(mark) if !removals_done && !removed.is_empty() => {
                stage.remove(std::mem::take(&mut removed), Some(mark)).await?;
            }
            FeedLine::Mark(mark) => stage.mark(mark).await?,
            FeedLine::Grain(grain) => {
                if !removals_done {
                    removals_done = true;
                    stage.remove(std::mem::take(&mut removed), None).await?;
                }
                grains.take(1)?;
                take_grain(run, stage, header, grain, &mut bytes).await?;
            }
            FeedLine::End => return stage.remove(removed, None).await,
            FeedLine::Remove(_) | FeedLine::Index(..) => return Err(unexpected("lines in the wrong order")),
        }
    }
}

/// A grain with its payload, or one whose payload is fetched now.
async fn take_grain(
    run: &Run,
    stage: &mut Stage,
    header: &FeedHeader,
    grain: FeedGrain,
    allowance: &mut Allowance,
) -> Result<(), Error> {
    match (grain.payload, grain.payload_bytes) {
        (Some(payload), None) => {
            allowance.take(payload.len())?;
            let (id, digest) = (grain.id, Some(grain.digest));
            let (grain_key, source, encoding) = (grain.grain_key, grain.source, grain.encoding);
            stage.add(Arrived { id, grain_key, source, encoding, payload, digest }).await
        }
        (None, Some(payload_bytes)) => {
            let bytes = usize::try_from(payload_bytes).ok().filter(|bytes| *bytes > PIECE_BYTES);
            let bytes = bytes.ok_or_else(|| unexpected("a short payload in pieces"))?;
            allowance.take(bytes)?;
            let (id, digest) = (grain.id, grain.digest);
            let (grain_key, source, encoding) = (grain.grain_key, grain.source, grain.encoding);
            let long = Long { id, grain_key, source, encoding, digest, bytes, version: header.version };
            stage.add_in_pieces(run, long).await
        }
        _ => Err(unexpected("a grain that neither has a payload nor says how long it is")),
    }
}

/// Compares the primary's index with what we have, staged rows included: stages removals, returns what is missing. (Additions
/// wait for all removals: they may have their keys.)
async fn compare(lines: &mut Lines, stage: &mut Stage, header: &FeedHeader) -> Result<Vec<Id>, Error> {
    stage.drop_unfinished().await?;
    let local = LocalIndex::of(stage.store().clone(), stage.base.slice_id, stage.next());
    let mut merge = Merge::of(lines, header, local);
    let (mut removed, mut wanted) = (Vec::new(), Vec::new());
    while let Some(difference) = merge.next().await? {
        match difference {
            Difference::Ours(id) => removed.push(id),
            Difference::Theirs(id) => wanted.push(id),
        }
        if removed.len() >= REMOVALS_AHEAD {
            stage.remove(std::mem::take(&mut removed), Some(IDS_COMPARED.to_owned())).await?;
        }
    }
    stage.remove(removed, Some(IDS_COMPARED.to_owned())).await?;
    Ok(wanted)
}

async fn take_wanted(
    run: &Run,
    stage: &mut Stage,
    header: &FeedHeader,
    wanted: Vec<Id>,
) -> Result<(), Error> {
    let mut bytes = Allowance::of(header.payload_bytes, "payload");
    for ids in wanted.chunks(MAX_WANTED) {
        let request = WantedGrains { version: header.version, ids: ids.to_vec() };
        let mut lines = run.client().await?.wanted(stage.base.slice_id, &request).await.map_err(refused)?;
        let mut missing: HashSet<Id> = ids.iter().copied().collect();
        loop {
            match next(&mut lines).await? {
                FeedLine::Grain(grain) if missing.remove(&grain.id) => {
                    take_grain(run, stage, header, grain, &mut bytes).await?;
                }
                FeedLine::Grain(_) => return Err(unexpected("a grain that was not asked for")),
                FeedLine::End => break,
                FeedLine::Remove(_) | FeedLine::Index(..) | FeedLine::Mark(_) => {
                    return Err(unexpected("lines that were not asked for"));
                }
            }
        }
    }
    Ok(())
}

/// A stream without `end` broke off, however politely.
pub(super) async fn next(lines: &mut Lines) -> Result<FeedLine, Error> {
    lines.next().await?.ok_or_else(|| unexpected("a feed that breaks off"))
}

pub(super) fn unexpected(what: &str) -> Error {
    Error::Upstream(format!("the primary sent {what}"))
}
