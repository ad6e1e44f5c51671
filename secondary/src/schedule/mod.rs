//! The scheduler: begins what is due. Several servers may share a database: each row is claimed in a transaction, for a minute at a
//! time, so a dead server keeps nothing; and whatever happens, the lock of the run lets only one run at a time.
//!
//! "Now" is the node's clock, and [`Scheduler::due`] is one step: tests take it themselves.

pub mod rhythm;

use std::sync::Arc;
use std::time::Duration;

use shared::node::Error;
use shared::store;
use shared::store::schedule::{ScheduleRow, Settled};
use shared::wire::{Id, Timestamp};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::Secondary;
use crate::service::hook;
use crate::sync::{self, Progress, Report};
use rhythm::{Rhythm, back_off, jittered};

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(5);
/// A server that has not said for so long that it runs what it claimed is dead.
const CLAIM_SECONDS: i64 = 60;
/// How often it says so.
const RENEW: Duration = Duration::from_secs(15);
/// While somebody else syncs with the primary.
const BUSY: chrono::Duration = chrono::Duration::minutes(1);
/// Who asks for these runs.
const SCHEDULE: &str = "schedule";
/// What is kept of an error.
const MAX_ERROR: usize = 1_000;

/// Begins the runs of all schedules of a database, together with the other servers on it.
pub struct Scheduler {
    secondary: Arc<Secondary>,
    /// Of this server.
    claim: Id,
    /// Runs at the same time.
    jobs: Arc<Semaphore>,
}

impl Scheduler {
    /// For this server.
    pub fn new(secondary: Arc<Secondary>) -> Self {
        let claim = secondary.node.random.id();
        let jobs = Arc::new(Semaphore::new(secondary.settings.sync_jobs.max(1)));
        Self { secondary, claim, jobs }
    }

    /// Begins what is due now, as far as the limit allows; what it has begun, to wait for.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn due(&self) -> Result<Vec<JoinHandle<()>>, Error> {
        let mut begun = Vec::new();
        while let Ok(job) = Arc::clone(&self.jobs).try_acquire_owned() {
            let (claim, now) = (self.claim, self.secondary.node.clock.now());
            let until = claimed_until(now);
            let claimed = self
                .secondary
                .node
                .store
                .write(move |conn| store::schedule::claim(conn, claim, now, until))
                .await?;
            let Some(row) = claimed else { break };
            let turn = Turn { secondary: Arc::clone(&self.secondary), claim, row, began: now };
            begun.push(tokio::spawn(async move {
                turn.take().await;
                drop(job);
            }));
        }
        Ok(begun)
    }

    /// Takes step after step, for as long as the task lives that this runs in.
    pub async fn keep_on(self) {
        let mut is_well = true;
        loop {
            match self.due().await {
                Ok(_begun) => is_well = true,
                // The database is away, perhaps for long: said once.
                Err(error) if is_well => {
                    is_well = false;
                    tracing::warn!(%error, "schedules cannot be read: nothing begins until they can");
                }
                Err(_same) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn claimed_until(now: Timestamp) -> Timestamp {
    now.plus(chrono::Duration::seconds(CLAIM_SECONDS))
}

/// One run of one schedule.
struct Turn {
    secondary: Arc<Secondary>,
    claim: Id,
    row: ScheduleRow,
    began: Timestamp,
}

impl Turn {
    async fn take(self) {
        let mut renewals = tokio::time::interval(RENEW);
        renewals.tick().await;
        let mut run = std::pin::pin!(self.run());
        let (run_id, result) = loop {
            tokio::select! {
                ended = &mut run => break ended,
                _ = renewals.tick() => self.renew().await,
            }
        };
        let settled = self.settled(run_id, result);
        let (primary_id, claim) = (self.row.primary_id, self.claim);
        let store = &self.secondary.node.store;
        let noted = store.write(move |conn| store::schedule::settle(conn, primary_id, claim, &settled)).await;
        if let Err(error) = noted {
            tracing::warn!(primary = %primary_id, %error, "a schedule could not be settled: it comes again");
        }
    }

    async fn run(&self) -> (Option<Id>, Result<Report, Error>) {
        let primary_id = self.row.primary_id;
        let started =
            sync::begin(Arc::clone(&self.secondary), primary_id, SCHEDULE, Progress::silent()).await;
        let started = match started {
            Ok(started) => started,
            Err(error) => return (None, Err(error)),
        };
        let run_id = started.run_id();
        let result = started.finish().await;
        if let Ok(report) = &result {
            hook::after(&self.secondary, report).await;
        }
        (Some(run_id), result.and_then(Report::into_result))
    }

    async fn renew(&self) {
        let (primary_id, claim) = (self.row.primary_id, self.claim);
        let until = claimed_until(self.secondary.node.clock.now());
        let store = &self.secondary.node.store;
        if let Err(error) =
            store.write(move |conn| store::schedule::renew(conn, primary_id, claim, until)).await
        {
            tracing::debug!(primary = %primary_id, %error, "a claim could not be renewed");
        }
    }

    /// When it comes again.
    fn settled(&self, run_id: Option<Id>, result: Result<Report, Error>) -> Settled {
        let node = &self.secondary.node;
        let now = node.clock.now();
        let regular = || {
            let next = Rhythm::of_row(&self.row).and_then(|rhythm| rhythm.next(self.began, now));
            // What is stored was checked; a zone may vanish with another version of the program.
            next.map_or_else(
                |_stale| now.plus(back_off(i64::MAX, false)),
                |moment| jittered(moment, self.row.jitter_seconds, &node.random),
            )
        };
        let failures = self.row.failures;
        match result {
            Ok(_report) => Settled { next_run_at: regular(), failures: 0, run_id, error: String::new() },
            // Somebody wanted it so.
            Err(error @ Error::Cancelled) => {
                Settled { next_run_at: regular(), failures, run_id, error: error.to_string() }
            }
            // Whoever it is does the same.
            Err(error @ Error::SyncRunning) => {
                Settled { next_run_at: now.plus(BUSY), failures, run_id, error: error.to_string() }
            }
            Err(error) => {
                let failures = failures.saturating_add(1);
                let wait = back_off(failures, is_temporary(&error));
                let next_run_at = jittered(now.plus(wait), wait.num_seconds() / 10, &node.random);
                let error: String = error.to_string().chars().take(MAX_ERROR).collect();
                tracing::warn!(primary = %self.row.primary_id, %error, failures, next = %next_run_at, "a scheduled sync failed");
                Settled { next_run_at, failures, run_id, error }
            }
        }
    }
}

/// Slices that fail do so for whatever reasons: the next attempt shows.
fn is_temporary(error: &Error) -> bool {
    error.is_temporary() || matches!(error, Error::SlicesFailed(_))
}
