//! How long versions of slices are kept, and the removal of the others. What a receiver reads stays: it began when its
//! version was the published one, and leases it if it takes long.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::failpoint::{Failpoint, reach};
use crate::node::{Error, Node};
use crate::store::retention::Kept;
use crate::store::{self, StoreError};
use crate::wire::{Id, Timestamp};

/// What of a slice is kept (settings `keep_versions` and `keep_hours`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest versions, at least.
    pub versions: i64,
    /// And those that are younger, 1,000 at most.
    pub young: chrono::Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { versions: 50, young: chrono::Duration::hours(24) }
    }
}

/// A slice that is published every minute has 1,440 versions a day.
const YOUNG_MOST: i64 = 1_000;
/// Whoever learnt of a version when it was the published one has so long to begin.
const GRACE: chrono::Duration = chrono::Duration::minutes(20);
/// A lease that nobody renews ends after that.
const LEASE: chrono::Duration = chrono::Duration::minutes(10);
/// A lease that would end sooner is renewed.
const RENEW: chrono::Duration = chrono::Duration::minutes(5);
/// A version is not kept for longer, however slow its reader is.
const LONGEST: chrono::Duration = chrono::Duration::hours(24);
/// Rows removed in one transaction.
const BATCH_ROWS: i64 = 2_000;
/// Payload removed in one transaction.
const BATCH_BYTES: i64 = 4 * 1024 * 1024;
/// Between two looks at all slices.
const EVERY: Duration = Duration::from_mins(1);

/// Says of a version that it is not kept any more.
pub const COLLECTED: Error = Error::Gone(
    "this version is no longer kept: ask for the published one, or for GET /v1/slices/:id/versions",
);

/// Keeps a version for a reader who is not done with it, if it is not the published one.
///
/// # Errors
/// [`Error::Gone`] when it is not kept any more; what the store reports.
pub async fn lease(node: &Node, slice_id: Id, version: i64) -> Result<(), Error> {
    let now = node.clock.now();
    let is_safe = move |conn: &mut store::Connection| -> Result<bool, StoreError> {
        let current = store::slice::find(conn, slice_id)?.is_some_and(|row| row.current_version == version);
        let leased = store::retention::lease_of(conn, slice_id, version)?;
        Ok(current || leased.is_some_and(|until| now.plus(RENEW) < until))
    };
    if node.store.read(is_safe).await? {
        return Ok(());
    }
    let held = node
        .store
        .write(move |conn| -> Result<bool, StoreError> {
            // Whoever forgets versions holds this row too.
            if store::slice::find_for_update(conn, slice_id)?.is_none() {
                return Ok(false);
            }
            store::retention::lease(conn, slice_id, version, (now, now.plus(LEASE)), now.plus(-LONGEST))
        })
        .await?;
    if held { Ok(()) } else { Err(COLLECTED) }
}

/// Removes what nothing keeps, of slices with many versions; with `everything`, also what a pass that was killed left of others.
///
/// # Errors
/// What the store reports.
pub async fn collect(node: &Node, everything: bool) -> Result<(), Error> {
    let newest = node.retention.versions;
    let slices =
        node.store
            .read(move |conn| {
                if everything { store::retention::all(conn) } else { store::retention::crowded(conn, newest) }
            })
            .await?;
    for slice_id in slices {
        let kept = kept(node.retention, node.clock.now());
        let now = node.clock.now();
        let forgotten = node
            .store
            .write(move |conn| -> Result<usize, StoreError> {
                if store::slice::find_for_update(conn, slice_id)?.is_none() {
                    return Ok(0);
                }
                store::retention::forget_versions(conn, slice_id, &kept, now)
            })
            .await?;
        if forgotten == 0 && !everything {
            continue;
        }
        reach(Failpoint::VersionsForgotten);
        while !node
            .store
            .write(move |conn| store::retention::collect(conn, slice_id, BATCH_ROWS, BATCH_BYTES))
            .await?
        {
            reach(Failpoint::VersionsCollecting);
        }
        if forgotten > 0 {
            tracing::info!(slice = %slice_id, versions = forgotten, "versions that were no longer kept are gone");
        }
    }
    Ok(())
}

fn kept(retention: Retention, now: Timestamp) -> Kept {
    Kept {
        newest: retention.versions,
        young_since: now.plus(-retention.young),
        young_most: YOUNG_MOST.max(retention.versions),
        current_since: now.plus(-GRACE),
    }
}

/// Collects from time to time, for as long as the server runs.
pub async fn keep_collecting(node: Arc<Node>) {
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut everything = true;
    loop {
        clock.tick().await;
        match collect(&node, everything).await {
            Ok(()) => everything = false,
            // The database may be away for a while: the next time will do.
            Err(error) => {
                let detail = error.private_text().unwrap_or_else(|| error.to_string());
                tracing::warn!(error = %detail, "collecting versions failed");
            }
        }
    }
}
