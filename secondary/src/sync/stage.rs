//! Staging: the next version of a slice grows beside the current one, which readers keep seeing until one update makes the
//! next one current (see `switch`). Every write holds the run's fence, so a stale run changes nothing. A stage that is cut off
//! is gone on with by the next run.

use std::collections::HashSet;
use std::sync::Arc;

use shared::crypto::set_hash::grain_digest;
use shared::failpoint::{Failpoint, reach};
use shared::node::Error;
use shared::node::body::{MAX_KEY_BYTES, no_nul};
use shared::payload::Encoding;
use shared::store::grain::NewGrain;
use shared::store::stage::StageRow;
use shared::store::version::VersionRow;
use shared::store::{self, Connection, Store, StoreError};
use shared::wire::slice::MetadataPair;
use shared::wire::{Id, Timestamp};
use tokio::task::JoinHandle;

use super::{Change, Event, Progress, Run};
use crate::Secondary;
use crate::service::partner;

/// Payload written in one transaction (design D7: under 4 MiB or 100 ms), if the primary sends marks often enough.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Rows written in one transaction, as `BATCH_BYTES`.
const BATCH_ROWS: usize = 2_000;
/// Rows undone, or marked as removed, in one transaction.
const UNDO_ROWS: i64 = 2_000;
const REMOVED_ROWS: usize = 2_000;

/// The version of a slice that readers see now.
///
/// # Errors
/// [`Error::Internal`] when the row is missing.
pub(super) async fn current(run: &Run, slice_id: Id) -> Result<VersionRow, Error> {
    run.secondary
        .node
        .store
        .read(move |conn| {
            let slice = store::slice::find(conn, slice_id)?;
            let version = match &slice {
                Some(slice) => store::version::find(conn, slice_id, slice.current_version)?,
                None => None,
            };
            version.ok_or_else(|| Error::Internal(format!("slice {slice_id} has no current version")))
        })
        .await
}

/// A slice that is found equal needs no new version. If a dead run left a stage, or its last run failed, that is over now.
///
/// # Errors
/// What the store reports; [`Error::SyncRunning`] when a newer run took over.
pub(super) async fn settle(run: &Run, local: VersionRow) -> Result<(), Error> {
    let slice_id = local.slice_id;
    let slice = run.secondary.node.store.read(move |conn| store::slice::find(conn, slice_id)).await?;
    // The usual case writes nothing.
    if slice.is_some_and(|slice| slice.sync_status == "success") {
        return Ok(());
    }
    let stage = Stage::over(run, local);
    stage.undo().await?;
    let now = run.secondary.node.clock.now();
    stage.write(move |conn| Ok(store::slice::set_sync_status(conn, slice_id, "success", now)?)).await
}

/// The next version of one slice, while it is made.
pub(super) struct Stage {
    pub(super) secondary: Arc<Secondary>,
    pub(super) progress: Progress,
    pub(super) primary_id: Id,
    pub(super) fence: i64,
    pub(super) slice_id: Id,
    /// What readers see meanwhile.
    pub base: VersionRow,
    /// What an earlier run left to go on with.
    left: Option<Left>,
    /// Whoever goes on with it compares ids: then it can be cut off anywhere.
    compares_ids: bool,
    batch: Batch,
    /// The batch before, on its way into the database.
    writing: Option<JoinHandle<Result<(), Error>>>,
    pub(super) change: Change,
}

#[derive(Default)]
struct Batch {
    grains: Vec<NewGrain>,
    bytes: usize,
    /// How far the primary says that so many of the grains reach.
    mark: Option<(usize, String)>,
}

/// Of which version of the primary a stage is, and how far it has come.
#[derive(Clone, Debug)]
pub(super) struct Left {
    /// The version that is fetched.
    pub source: Source,
    /// In the primary's words, or [`NOTHING_YET`] or [`IDS_COMPARED`], where none are needed.
    pub mark: String,
    /// The grain whose payload is not whole.
    pub unfinished_row: Option<i64>,
}

/// A stage that was begun by comparing ids goes on by comparing them anew, with what it has.
pub(super) const IDS_COMPARED: &str = "ids";

/// A stage that has no grain yet goes on from the beginning.
pub(super) const NOTHING_YET: &str = "";

/// A version at the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub epoch: Id,
    pub version: i64,
    /// Hex.
    pub digest: String,
}

/// A grain as it arrived.
pub(super) struct Arrived {
    pub id: Id,
    pub grain_key: String,
    pub source: String,
    pub encoding: String,
    pub payload: String,
    /// What the primary says it amounts to; the Go wire does not say.
    pub digest: Option<String>,
}

impl Stage {
    /// Takes over what an earlier run left, or clears it, and marks the slice as updating.
    ///
    /// # Errors
    /// What the store reports; [`Error::SyncRunning`] when a newer run took over.
    pub async fn begin(run: &Run, base: VersionRow) -> Result<Self, Error> {
        let slice_id = base.slice_id;
        let mut stage = Self::over(run, base);
        let row = stage.store().read(move |conn| store::stage::find(conn, slice_id)).await?;
        stage.left = row.and_then(left);
        match &stage.left {
            Some(left) => stage.compares_ids = left.mark == IDS_COMPARED,
            None => stage.undo().await?,
        }
        let now = stage.now();
        stage.write(move |conn| Ok(store::slice::set_sync_status(conn, slice_id, "updating", now)?)).await?;
        reach(Failpoint::StageBegun);
        Ok(stage)
    }

    fn over(run: &Run, base: VersionRow) -> Self {
        Self {
            secondary: Arc::clone(&run.secondary),
            progress: run.progress.clone(),
            primary_id: run.primary_id,
            fence: run.fence,
            slice_id: base.slice_id,
            base,
            left: None,
            compares_ids: false,
            batch: Batch::default(),
            writing: None,
            change: Change::default(),
        }
    }

    /// What is there to go on with.
    pub fn left(&self) -> Option<&Left> {
        self.left.as_ref()
    }

    /// The grain that an earlier run left half done has been seen to.
    pub(super) fn forget_unfinished(&mut self) {
        if let Some(left) = &mut self.left {
            left.unfinished_row = None;
        }
    }

    /// Clears what an earlier run left: the primary cannot go on with it.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn start_over(&mut self) -> Result<(), Error> {
        self.left = None;
        self.compares_ids = false;
        self.undo().await
    }

    /// Notes which version is fetched from here on, so that a later run can go on with it.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn note_source(&mut self, source: &Source, mark: &str) -> Result<(), Error> {
        self.compares_ids = mark == IDS_COMPARED;
        let row = StageRow {
            slice_id: self.slice_id,
            run: self.secondary.node.random.id(),
            purpose: "sync".to_owned(),
            owner: String::new(),
            source_epoch: Some(source.epoch),
            source_version: source.version,
            source_digest: data_encoding::HEXLOWER.decode(source.digest.as_bytes()).ok(),
            mark: Some(mark.to_owned()),
            unfinished_row: None,
            touched_at: self.now(),
        };
        self.write(move |conn| Ok(store::stage::begin(conn, &row)?)).await
    }

    /// The version being made.
    pub(super) fn next(&self) -> i64 {
        self.base.version + 1
    }

    pub(super) fn now(&self) -> Timestamp {
        self.secondary.node.clock.now()
    }

    /// A write that only the newest run of this primary can do.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        partner::write_fenced(&self.secondary, self.primary_id, self.fence, change).await
    }

    /// Checks a grain and stages it.
    ///
    /// # Errors
    /// [`Error::Upstream`] naming the grain that is damaged; [`Error::Cancelled`]; what the store reports.
    pub async fn add(&mut self, grain: Arrived) -> Result<(), Error> {
        self.progress.go_on()?;
        let new = self.check(grain)?;
        self.change.grains_added += 1;
        self.change.payload_bytes += i64::try_from(new.payload.len()).unwrap_or(i64::MAX);
        self.batch.bytes += new.payload.len();
        self.batch.grains.push(new);
        // Whoever sends no marks has to be begun with anew when he is cut off.
        if self.batch.bytes >= 2 * BATCH_BYTES || self.batch.grains.len() >= 2 * BATCH_ROWS {
            self.flush().await?;
        }
        Ok(())
    }

    /// The primary can go on from here.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn mark(&mut self, mark: String) -> Result<(), Error> {
        self.batch.mark = Some((self.batch.grains.len(), mark));
        if self.batch.bytes >= BATCH_BYTES || self.batch.grains.len() >= BATCH_ROWS {
            self.flush().await?;
        }
        Ok(())
    }

    fn check(&self, grain: Arrived) -> Result<NewGrain, Error> {
        check_fields(grain.id, &grain.grain_key, &grain.source, &grain.encoding)?;
        no_nul("payload", &grain.payload).map_err(|error| damaged(grain.id, &error.to_string()))?;
        let digest = grain_digest(grain.id, &grain.grain_key, &grain.encoding, &grain.source, &grain.payload);
        if grain.digest.is_some_and(|said| said != data_encoding::HEXLOWER.encode(&digest)) {
            return Err(damaged(grain.id, "its payload does not give its digest"));
        }
        Ok(NewGrain {
            slice_id: self.slice_id,
            id: grain.id,
            grain_key: grain.grain_key,
            source: grain.source,
            encoding: grain.encoding,
            payload: grain.payload,
            digest: digest.to_vec(),
            added_in: self.next(),
            created_at: self.now(),
        })
    }

    /// Hands the batch to the database and does not wait: the next one arrives meanwhile.
    async fn flush(&mut self) -> Result<(), Error> {
        self.written().await?;
        let Batch { grains, mark, bytes } = std::mem::take(&mut self.batch);
        let mark = match mark {
            _ if self.compares_ids => Some(IDS_COMPARED.to_owned()),
            Some((reached, mark)) if reached == grains.len() => Some(mark),
            _ if grains.is_empty() => return Ok(()),
            _ => None,
        };
        let (secondary, primary_id, fence) = (Arc::clone(&self.secondary), self.primary_id, self.fence);
        let (progress, slice_id, now) = (self.progress.clone(), self.slice_id, self.now());
        self.writing = Some(tokio::spawn(async move {
            let count = i64::try_from(grains.len()).unwrap_or(i64::MAX);
            partner::write_fenced(&secondary, primary_id, fence, move |conn| {
                store::grain::insert(conn, &grains).map_err(twice)?;
                Ok(store::stage::set_mark(conn, slice_id, mark.as_deref(), now)?)
            })
            .await?;
            reach(Failpoint::GrainsStaged);
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            progress.tell(Event::Staged { id: slice_id, grains: count, bytes });
            Ok(())
        }));
        Ok(())
    }

    /// Waits until everything that arrived is in the database.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn staged(&mut self) -> Result<(), Error> {
        self.flush().await?;
        self.written().await
    }

    async fn written(&mut self) -> Result<(), Error> {
        match self.writing.take() {
            Some(task) => task.await.map_err(|error| Error::Internal(error.to_string()))?,
            None => Ok(()),
        }
    }

    /// Stages removals, up to a mark of the primary if there is one. They come before additions, which may reuse their keys.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn remove(&mut self, ids: Vec<Id>, mark: Option<String>) -> Result<(), Error> {
        self.written().await?;
        let (slice_id, next, now) = (self.slice_id, self.next(), self.now());
        let batches = ids.len().div_ceil(REMOVED_ROWS);
        for (number, batch) in (1..).zip(ids.chunks(REMOVED_ROWS)) {
            let batch = batch.to_vec();
            let mark = mark.clone().filter(|_mark| number == batches);
            let removed = self
                .write(move |conn| {
                    let removed = store::grain::remove(conn, slice_id, next, &batch)?;
                    if let Some(mark) = mark {
                        store::stage::set_mark(conn, slice_id, Some(&mark), now)?;
                    }
                    Ok(removed)
                })
                .await?;
            reach(Failpoint::RemovalsStaged);
            self.change.grains_removed += i64::try_from(removed).unwrap_or(i64::MAX);
        }
        Ok(())
    }

    /// Takes back the grain whose payload is not whole, so that it is missing.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn drop_unfinished(&mut self) -> Result<(), Error> {
        let Some(row_id) = self.left.as_mut().and_then(|left| left.unfinished_row.take()) else {
            return Ok(());
        };
        let slice_id = self.slice_id;
        self.write(move |conn| {
            store::grain::discard(conn, slice_id, row_id)?;
            Ok(store::stage::set_unfinished(conn, slice_id, None)?)
        })
        .await
    }

    /// Stages the metadata.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn set_metadata(&self, pairs: Vec<MetadataPair>) -> Result<(), Error> {
        let (slice_id, next) = (self.slice_id, self.next());
        let pairs: Vec<(String, String)> = pairs.into_iter().map(|pair| (pair.key, pair.value)).collect();
        let mut keys = HashSet::new();
        for (key, value) in &pairs {
            no_nul("metadata", key)?;
            no_nul("metadata", value)?;
            if key.len() > MAX_KEY_BYTES || !keys.insert(key.clone()) {
                return Err(Error::Upstream(
                    "the primary sent a metadata key twice, or too long a one".to_owned(),
                ));
            }
        }
        self.write(move |conn| Ok(store::metadata::replace(conn, slice_id, next, &pairs)?)).await?;
        reach(Failpoint::MetadataStaged);
        Ok(())
    }

    /// The database it grows in.
    pub fn store(&self) -> &Store {
        &self.secondary.node.store
    }

    /// Takes back what was staged and marks the slice as failed; its current version was never touched.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn abandon(&mut self) -> Result<(), Error> {
        self.leave().await?;
        self.undo().await
    }

    /// Leaves what was staged to the next run, and marks the slice as failed.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn leave(&mut self) -> Result<(), Error> {
        // What is on its way ends first, and if it does well, what arrived since follows.
        if self.written().await.is_ok() {
            if !self.compares_ids {
                self.batch.grains.truncate(self.batch.mark.as_ref().map_or(0, |(reached, _mark)| *reached));
            }
            drop(self.staged().await);
        }
        let (slice_id, now) = (self.slice_id, self.now());
        self.write(move |conn| Ok(store::slice::set_sync_status(conn, slice_id, "error", now)?)).await
    }

    async fn undo(&self) -> Result<(), Error> {
        let (slice_id, next) = (self.slice_id, self.next());
        // First: from here on nobody goes on with it.
        self.write(move |conn| Ok(store::stage::forget(conn, slice_id)?)).await?;
        loop {
            let touched =
                self.write(move |conn| Ok(store::grain::undo(conn, slice_id, next, UNDO_ROWS)?)).await?;
            if touched == 0 {
                break;
            }
        }
        self.write(move |conn| Ok(store::metadata::undo(conn, slice_id, next)?)).await
    }
}

/// A row of a sync that can go on.
fn left(row: StageRow) -> Option<Left> {
    let digest = data_encoding::HEXLOWER.encode(&row.source_digest?);
    let source = Source { epoch: row.source_epoch?, version: row.source_version, digest };
    Some(Left { source, mark: row.mark?, unfinished_row: row.unfinished_row })
}

/// What every grain must be, whatever its payload.
pub(super) fn check_fields(id: Id, grain_key: &str, source: &str, encoding: &str) -> Result<(), Error> {
    if encoding.parse::<Encoding>().is_err() {
        return Err(damaged(id, "unknown encoding"));
    }
    for (field, text) in [("grain_key", grain_key), ("source", source)] {
        no_nul(field, text).map_err(|error| damaged(id, &error.to_string()))?;
    }
    if grain_key.len() > MAX_KEY_BYTES {
        return Err(damaged(id, "its key is too long"));
    }
    Ok(())
}

pub(super) fn damaged(id: Id, what: &str) -> Error {
    Error::Upstream(format!("grain {id} arrived damaged: {what}"))
}

pub(super) fn twice(error: StoreError) -> Error {
    match error {
        StoreError::Conflict(_) => {
            Error::Upstream("the primary sent an id or key twice in one version".to_owned())
        }
        other => other.into(),
    }
}
