//! Verify, then switch: what was staged is measured, compared with what the primary says that it is, and becomes the current
//! version in one step.

use shared::failpoint::{Failpoint, reach};
use shared::node::Error;
use shared::node::service::version::{content_hashes, measure};
use shared::store;
use shared::store::version::VersionRow;
use shared::wire::{Id, Timestamp};

use super::Change;
use super::stage::Stage;

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
    /// Verifies what was staged and makes it the current version.
    ///
    /// # Errors
    /// [`Error::Upstream`] when it is not what the primary said; what the store reports.
    pub async fn switch(&mut self, expected: Expected) -> Result<Change, Error> {
        self.staged().await?;
        let row = self.verify(expected).await?;
        reach(Failpoint::StageVerified);
        let (slice_id, from, now) = (self.slice_id, self.base.version, self.now());
        self.write(move |conn| {
            let version = row.version;
            store::version::insert(conn, &row)?;
            if !store::slice::switch(conn, slice_id, from, version, now)? {
                return Err(Error::SyncRunning);
            }
            store::slice::set_sync_status(conn, slice_id, "success", now)?;
            store::stage::forget(conn, slice_id)?;
            reach(Failpoint::SwitchWritten);
            Ok(())
        })
        .await?;
        reach(Failpoint::SwitchCommitted);
        Ok(self.change)
    }

    async fn verify(&self, expected: Expected) -> Result<VersionRow, Error> {
        let (base, now) = (self.base.clone(), self.now());
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
}
