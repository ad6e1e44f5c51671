//! Stage, verify, switch: the next version of a slice grows beside the current one, which readers keep seeing until one
//! update makes the next one current. Every write holds the run's fence, so a stale run changes nothing.

use std::collections::HashSet;
use std::sync::Arc;

use shared::crypto::set_hash::grain_digest;
use shared::failpoint::{Failpoint, reach};
use shared::node::Error;
use shared::node::body::{MAX_KEY_BYTES, no_nul};
use shared::node::service::version::{content_hashes, measure};
use shared::payload::Encoding;
use shared::store::grain::NewGrain;
use shared::store::version::VersionRow;
use shared::store::{self, Connection, Store, StoreError};
use shared::wire::slice::MetadataPair;
use shared::wire::{Id, Timestamp};
use tokio::sync::Mutex;

use super::{Change, Event, Progress, Run};
use crate::Secondary;
use crate::service::partner;

/// Payload written in one transaction (design D7: under 4 MiB or 100 ms).
const BATCH_BYTES: usize = 1024 * 1024;
/// Rows written in one transaction.
const BATCH_ROWS: usize = 500;
/// Rows undone in one transaction.
const UNDO_ROWS: i64 = 2_000;

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
    secondary: Arc<Secondary>,
    progress: Progress,
    primary_id: Id,
    fence: i64,
    slice_id: Id,
    /// What readers see meanwhile.
    pub base: VersionRow,
    batch: Mutex<Batch>,
}

#[derive(Default)]
struct Batch {
    grains: Vec<NewGrain>,
    bytes: usize,
    change: Change,
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

/// What the primary says the finished version amounts to.
pub(super) struct Expected {
    /// sync-2: digest of the whole, hex.
    pub digest: Option<String>,
    /// Number of grains.
    pub count: i64,
    /// sync-2: the reference's hashes; the digest proves the content, so they are taken over.
    pub content_hash: String,
    /// As `content_hash`, without metadata. Empty on the Go wire, where both are computed.
    pub ids_hash: String,
    /// When the primary published it.
    pub content_date: Option<Timestamp>,
    /// sync-2: epoch and version there.
    pub source: Option<(Id, i64)>,
}

impl Stage {
    /// Clears what an earlier run left and marks the slice as updating.
    ///
    /// # Errors
    /// What the store reports; [`Error::SyncRunning`] when a newer run took over.
    pub async fn begin(run: &Run, base: VersionRow) -> Result<Self, Error> {
        let slice_id = base.slice_id;
        let stage = Self::over(run, base);
        stage.undo().await?;
        let now = stage.secondary.node.clock.now();
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
            batch: Mutex::default(),
        }
    }

    /// The version being made.
    fn next(&self) -> i64 {
        self.base.version + 1
    }

    /// A write that only the newest run of this primary can do.
    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        partner::write_fenced(&self.secondary, self.primary_id, self.fence, change).await
    }

    /// Checks a grain and stages it.
    ///
    /// # Errors
    /// [`Error::Upstream`] naming the grain that is damaged; what the store reports.
    pub async fn add(&self, grain: Arrived) -> Result<(), Error> {
        let new = self.check(grain)?;
        let mut batch = self.batch.lock().await;
        batch.bytes += new.payload.len();
        batch.change.grains_added += 1;
        batch.change.payload_bytes += i64::try_from(new.payload.len()).unwrap_or(i64::MAX);
        batch.grains.push(new);
        if batch.bytes >= BATCH_BYTES || batch.grains.len() >= BATCH_ROWS {
            self.flush(&mut batch).await?;
        }
        Ok(())
    }

    fn check(&self, grain: Arrived) -> Result<NewGrain, Error> {
        let id = grain.id;
        let damaged = |what: &str| Error::Upstream(format!("grain {id} arrived damaged: {what}"));
        if grain.encoding.parse::<Encoding>().is_err() {
            return Err(damaged("unknown encoding"));
        }
        for (field, text) in
            [("grain_key", &grain.grain_key), ("source", &grain.source), ("payload", &grain.payload)]
        {
            no_nul(field, text).map_err(|error| damaged(&error.to_string()))?;
        }
        if grain.grain_key.len() > MAX_KEY_BYTES {
            return Err(damaged("its key is too long"));
        }
        let digest = grain_digest(id, &grain.grain_key, &grain.encoding, &grain.source, &grain.payload);
        if grain.digest.is_some_and(|said| said != data_encoding::HEXLOWER.encode(&digest)) {
            return Err(damaged("its payload does not give its digest"));
        }
        Ok(NewGrain {
            slice_id: self.slice_id,
            id,
            grain_key: grain.grain_key,
            source: grain.source,
            encoding: grain.encoding,
            payload: grain.payload,
            digest: digest.to_vec(),
            added_in: self.next(),
            created_at: self.secondary.node.clock.now(),
        })
    }

    async fn flush(&self, batch: &mut Batch) -> Result<(), Error> {
        let grains = std::mem::take(&mut batch.grains);
        batch.bytes = 0;
        if grains.is_empty() {
            return Ok(());
        }
        let count = i64::try_from(grains.len()).unwrap_or(i64::MAX);
        self.write(move |conn| {
            store::grain::insert(conn, &grains).map_err(|error| match error {
                StoreError::Conflict(_) => {
                    Error::Upstream("the primary sent an id or key twice in one version".to_owned())
                }
                other => other.into(),
            })
        })
        .await?;
        reach(Failpoint::GrainsStaged);
        self.progress.tell(Event::GrainsStaged(count));
        Ok(())
    }

    /// Stages removals. They come before additions, which may reuse their keys.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn remove(&self, ids: Vec<Id>) -> Result<(), Error> {
        let (slice_id, next) = (self.slice_id, self.next());
        for batch in ids.chunks(BATCH_ROWS) {
            let batch = batch.to_vec();
            let removed =
                self.write(move |conn| Ok(store::grain::remove(conn, slice_id, next, &batch)?)).await?;
            reach(Failpoint::RemovalsStaged);
            self.batch.lock().await.change.grains_removed += i64::try_from(removed).unwrap_or(i64::MAX);
        }
        Ok(())
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

    /// Verifies what was staged and makes it the current version.
    ///
    /// # Errors
    /// [`Error::Upstream`] when it is not what the primary said; what the store reports.
    pub async fn switch(&self, expected: Expected) -> Result<Change, Error> {
        let change = {
            let mut batch = self.batch.lock().await;
            self.flush(&mut batch).await?;
            batch.change
        };
        let row = self.verify(expected).await?;
        reach(Failpoint::StageVerified);
        let (slice_id, from, now) = (self.slice_id, self.base.version, self.secondary.node.clock.now());
        self.write(move |conn| {
            let version = row.version;
            store::version::insert(conn, &row)?;
            if !store::slice::switch(conn, slice_id, from, version, now)? {
                return Err(Error::SyncRunning);
            }
            store::slice::set_sync_status(conn, slice_id, "success", now)?;
            reach(Failpoint::SwitchWritten);
            Ok(())
        })
        .await?;
        reach(Failpoint::SwitchCommitted);
        Ok(change)
    }

    async fn verify(&self, expected: Expected) -> Result<VersionRow, Error> {
        let (base, now) = (self.base.clone(), self.secondary.node.clock.now());
        self.secondary
            .node
            .store
            .read(move |conn| {
                let wrong = |what: &str| {
                    Error::Upstream(format!("{what} do not match after sync: the old version stays"))
                };
                let next = base.version + 1;
                let measured = measure(conn, &base)?;
                if measured.grain_count != expected.count {
                    return Err(wrong(&format!(
                        "the grains that arrived ({}) and the grains that were announced ({})",
                        measured.grain_count, expected.count
                    )));
                }
                let digest = measured.set_hash.digest();
                let (ids_hash, content_hash) = match &expected.digest {
                    Some(said) if *said == data_encoding::HEXLOWER.encode(&digest) => {
                        (expected.ids_hash, expected.content_hash)
                    }
                    Some(_) => return Err(wrong("content and digest")),
                    None => {
                        let (ids, full) = content_hashes(conn, base.slice_id, next)?;
                        // A primary may tell the hash over ids only (spec §9.1).
                        if expected.content_hash != full && expected.content_hash != ids {
                            return Err(wrong("content hash and content"));
                        }
                        (ids, expected.content_hash)
                    }
                };
                Ok(VersionRow {
                    slice_id: base.slice_id,
                    version: next,
                    grain_count: measured.grain_count,
                    payload_bytes: measured.payload_bytes,
                    content_hash,
                    ids_hash,
                    set_hash: measured.set_hash.to_bytes(),
                    digest: digest.to_vec(),
                    content_date: expected.content_date,
                    source_epoch: expected.source.map(|source| source.0),
                    source_version: expected.source.map(|source| source.1),
                    created_at: now,
                })
            })
            .await
    }

    /// Takes back what was staged and marks the slice as failed; its current version was never touched.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn abandon(&self) -> Result<(), Error> {
        self.undo().await?;
        let (slice_id, now) = (self.slice_id, self.secondary.node.clock.now());
        self.write(move |conn| Ok(store::slice::set_sync_status(conn, slice_id, "error", now)?)).await
    }

    async fn undo(&self) -> Result<(), Error> {
        let (slice_id, next) = (self.slice_id, self.next());
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
