//! One run: log in at a primary, take over subscriptions, bring every active slice to its published version.
//!
//! Slices are isolated from each other: a failing one is reported and the others go on. What a slice becomes is staged
//! beside what it is, verified, and made current in one step.

mod feed;
mod go_wire;
mod index;
pub(crate) mod outbox;
mod pieces;
mod preview;
mod progress;
mod pulse;
mod record;
mod report;
mod stage;
mod subscription;
mod switch;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use shared::client::Client;
use shared::failpoint::{Failpoint, reach};
use shared::node::Error;
use shared::store::sync_run::SyncRunRow;
use shared::store::version::VersionRow;
use shared::store::{self, RunLock, StoreError};
use shared::wire::Id;
use shared::wire::slice::Slice;
use tokio::sync::RwLock;

pub use preview::{Preview, SlicePreview, Would, preview};
pub use progress::{Event, Progress};
pub use report::{Change, Outcome, Report, SliceReport};

use crate::Secondary;
use crate::service::partner::{self, Session};
use crate::service::{hook, rotate};
use pulse::Pulse;
use stage::Stage;
use subscription::Wanted;

/// Slices that travel at the same time.
const SLICES_AT_ONCE: usize = 4;

/// What the steps of a run share.
struct Run {
    secondary: Arc<Secondary>,
    primary_id: Id,
    /// Only the run with the newest one can commit.
    fence: i64,
    /// Renewed while the run lasts.
    session: RwLock<Session>,
    speaks_sync_2: bool,
    progress: Progress,
}

/// Syncs with one primary, and has the hook told of what changed. `Ok` even if slices failed: see [`Report::into_result`].
///
/// # Errors
/// As [`begin`], and what kept the run from its slices.
pub async fn run(secondary: Arc<Secondary>, primary_id: Id, progress: Progress) -> Result<Report, Error> {
    let report = begin(Arc::clone(&secondary), primary_id, COMMAND_LINE, progress).await?.finish().await?;
    hook::after(&secondary, &report).await;
    Ok(report)
}

/// Who asks for a run at the server itself.
pub const COMMAND_LINE: &str = "command line";

/// A run that has begun: it holds the lock, and its row is there.
pub struct Started {
    secondary: Arc<Secondary>,
    row: SyncRunRow,
    /// Of the primary.
    name: String,
    start: Instant,
    pulse: Pulse,
    lock: RunLock,
}

/// Begins a run with one primary; `asked_by` is a user name, or what else asked for it.
///
/// # Errors
/// [`Error::SyncRunning`] while another run of this primary lasts, in whatever process; [`Error::NotFound`],
/// [`Error::NotConfigured`]; what the store reports.
pub async fn begin(
    secondary: Arc<Secondary>,
    primary_id: Id,
    asked_by: &str,
    progress: Progress,
) -> Result<Started, Error> {
    let start = Instant::now();
    let name = partner::load(&secondary, primary_id).await?.0.name;
    let lock = secondary.node.store.try_run_lock(primary_id).await?.ok_or(Error::SyncRunning)?;
    let row = start_run(&secondary, primary_id, asked_by).await?;
    reach(Failpoint::RunStarted);
    let pulse = Pulse::start(&secondary, row.id, progress);
    Ok(Started { secondary, row, name, start, pulse, lock })
}

impl Started {
    /// Of this run.
    pub fn run_id(&self) -> Id {
        self.row.id
    }

    /// Sees it to its end. `Ok` even if slices failed: see [`Report::into_result`].
    ///
    /// # Errors
    /// What kept the run from its slices.
    pub async fn finish(self) -> Result<Report, Error> {
        let Self { secondary, mut row, name, start, pulse, lock } = self;
        let primary_id = row.primary_id;
        let result = all_slices(&secondary, primary_id, row.fence, pulse.progress.clone()).await;
        let progress = pulse.counted();
        drop(pulse);
        let Ran { slices, session, received } = match result {
            Ok(done) => done,
            Err(error) => {
                record::refused(&secondary, &mut row, (&name, &error), progress, start.elapsed()).await?;
                return Err(error);
            }
        };
        let warning = session.warning(&name, secondary.node.clock.now());
        let report = Report {
            run_id: row.id,
            primary_id,
            primary: name,
            protocol: if session.server.speaks_sync_2() { "sync-2" } else { "go" },
            duration_ms: millis(start.elapsed()),
            slices,
            warning,
        };
        record::ended(&secondary, &mut row, (&report, &received), progress, start.elapsed()).await?;
        reach(Failpoint::RunRecorded);
        outbox::deliver_fresh(&secondary, primary_id, &session.client, row.finished_at).await;
        drop(lock);
        Ok(report)
    }
}

async fn start_run(secondary: &Secondary, primary_id: Id, asked_by: &str) -> Result<SyncRunRow, Error> {
    let (id, now, asked_by) = (secondary.node.random.id(), secondary.node.clock.now(), asked_by.to_owned());
    let row = secondary
        .node
        .store
        .write(move |conn| -> Result<_, StoreError> {
            let fence = store::partner::raise_fence(conn, primary_id, now)?;
            let row = SyncRunRow {
                id,
                primary_id,
                fence,
                state: "running".to_owned(),
                slices_total: 0,
                slices_changed: 0,
                slices_failed: 0,
                grains_added: 0,
                grains_removed: 0,
                payload_bytes: 0,
                error: String::new(),
                started_at: now,
                finished_at: None,
                asked_by,
                slice: String::new(),
                slices_done: 0,
                grains_done: 0,
                grains_total: 0,
                bytes_done: 0,
                bytes_total: 0,
                bytes_per_second: 0,
                touched_at: Some(now),
                cancel_asked: false,
                results: None,
                hook_error: String::new(),
            };
            store::sync_run::start(conn, &row)?;
            Ok(row)
        })
        .await?;
    Ok(row)
}

/// A run that got to the slices.
struct Ran {
    slices: Vec<SliceReport>,
    session: Session,
    /// By subscription: the version that we have, as far as the primary heard.
    received: HashMap<Id, i64>,
}

async fn all_slices(
    secondary: &Arc<Secondary>,
    primary_id: Id,
    fence: i64,
    progress: Progress,
) -> Result<Ran, Error> {
    let session = partner::login(secondary, primary_id).await?;
    let session = rotate::when_due(secondary, primary_id, fence, session).await;
    outbox::deliver_late(secondary, primary_id, &session.client).await;
    let run = Run {
        secondary: Arc::clone(secondary),
        primary_id,
        fence,
        speaks_sync_2: session.server.speaks_sync_2(),
        session: RwLock::new(session),
        progress,
    };
    run.refuse_downgrade().await?;
    let remote = run.client().await?.subscriptions().await?;
    let offered: HashSet<Id> = remote.iter().map(|sub| sub.id).collect();
    let received = remote.iter().filter_map(|sub| Some((sub.id, sub.received?))).collect();
    let wanted = subscription::take_over(&run, remote).await?;
    reach(Failpoint::SubscriptionsTaken);
    run.progress.tell(Event::SlicesFound(i64::try_from(wanted.len()).unwrap_or(i64::MAX)));
    let closed: HashSet<Id> =
        wanted.iter().filter(|wanted| !wanted.slice.allow_sync).map(|wanted| wanted.slice.id).collect();
    let mut slices: Vec<SliceReport> =
        stream::iter(wanted).map(|wanted| run.slice(wanted)).buffered(SLICES_AT_ONCE).collect().await;
    if !closed.is_empty() && run.progress.go_on().is_ok() {
        once_more(&run, &closed, &mut slices).await?;
    }
    for (sub_id, slice_id, slice) in subscription::no_longer_offered(&run, &offered).await? {
        slices.push(SliceReport { slice_id, slice, sub_id, outcome: Outcome::Gone, duration_ms: 0 });
    }
    subscription::note_gone(&run, offered).await?;
    Ok(Ran { slices, session: run.session.into_inner(), received })
}

/// Slices that their publisher had closed for sync may be open by now.
async fn once_more(run: &Run, closed: &HashSet<Id>, reports: &mut [SliceReport]) -> Result<(), Error> {
    let client = match run.client().await {
        // The slices say so themselves.
        Err(Error::Cancelled) => return Ok(()),
        client => client?,
    };
    for sub in client.subscriptions().await? {
        let slice = sub.slice.filter(|slice| slice.allow_sync && closed.contains(&slice.id));
        let report = reports.iter_mut().find(|report| report.sub_id == sub.id);
        if let (Some(slice), Some(report)) = (slice, report)
            && matches!(report.outcome, Outcome::Failed { temporary: true, .. })
        {
            *report = run.slice(Wanted { sub_id: sub.id, slice, refused: None }).await;
        }
    }
    Ok(())
}

impl Run {
    /// Logged in, with a token that does not end in the next minutes.
    ///
    /// # Errors
    /// As [`partner::login`]; [`Error::Cancelled`].
    async fn client(&self) -> Result<Client, Error> {
        self.progress.go_on()?;
        let now = self.secondary.node.clock.now();
        {
            let session = self.session.read().await;
            if !session.is_ending(now) {
                return Ok(session.client.clone());
            }
        }
        let mut session = self.session.write().await;
        // Another slice may have been faster.
        if session.is_ending(now) {
            *session = partner::login(&self.secondary, self.primary_id).await?;
        }
        Ok(session.client.clone())
    }

    async fn slice(&self, wanted: Wanted) -> SliceReport {
        let start = Instant::now();
        let outcome = match wanted.refused {
            Some(error) => Outcome::Failed { error, temporary: false },
            None => match self.bring_up_to_date(&wanted.slice).await {
                Ok(Some(change)) => Outcome::Changed(change),
                Ok(None) => Outcome::Unchanged,
                Err(Error::Cancelled) => Outcome::Cancelled,
                Err(error) => {
                    let detail = error.private_text().unwrap_or_else(|| error.to_string());
                    tracing::warn!(slice = %wanted.slice.slice_name, error = %detail, "slice failed");
                    // The report goes to the primary too: nothing internal in it.
                    Outcome::Failed { error: error.to_string(), temporary: error.is_temporary() }
                }
            },
        };
        self.progress.tell(Event::SliceEnded(wanted.slice.id));
        SliceReport {
            slice_id: wanted.slice.id,
            slice: wanted.slice.slice_name,
            sub_id: wanted.sub_id,
            outcome,
            duration_ms: millis(start.elapsed()),
        }
    }

    /// `None` if it is equal already.
    async fn bring_up_to_date(&self, remote: &Slice) -> Result<Option<Change>, Error> {
        self.progress.go_on()?;
        if !remote.allow_sync {
            return Err(Error::PublisherEditing);
        }
        let local = stage::current(self, remote.id).await?;
        if self.is_equal(remote, &local).await? {
            stage::settle(self, local).await?;
            return Ok(None);
        }
        let grains = remote.content_count;
        self.progress.tell(Event::SliceStarted { id: remote.id, name: &remote.slice_name, grains });
        let (mut change, has_gone_on) = self.fetch(remote, local).await?;
        if has_gone_on {
            // What was left may have been an older version than the one of now.
            let local = stage::current(self, remote.id).await?;
            if !self.is_equal(remote, &local).await? {
                change += self.fetch(remote, local).await?.0;
            }
        }
        Ok(Some(change))
    }

    async fn is_equal(&self, remote: &Slice, local: &VersionRow) -> Result<bool, Error> {
        if self.speaks_sync_2 {
            feed::is_equal(self, remote, local).await
        } else {
            Ok(go_wire::is_equal(remote, local))
        }
    }

    /// One version further; also whether it was begun by an earlier run.
    async fn fetch(&self, remote: &Slice, local: VersionRow) -> Result<(Change, bool), Error> {
        let stage = Stage::begin(self, local.clone()).await?;
        let has_gone_on = stage.left().is_some();
        match self.fill(remote, stage).await {
            // What was left may be what is wrong: it is gone now, and this time all of it comes anew.
            Err(Error::Upstream(why)) if has_gone_on => {
                tracing::warn!(slice = %remote.slice_name, error = %why, "what an earlier run left is of no use: begun anew");
                self.fill(remote, Stage::begin(self, local).await?).await.map(|change| (change, false))
            }
            result => result.map(|change| (change, has_gone_on)),
        }
    }

    async fn fill(&self, remote: &Slice, mut stage: Stage) -> Result<Change, Error> {
        let result = if self.speaks_sync_2 {
            feed::fetch(self, &mut stage).await
        } else {
            go_wire::fetch(self, remote, &mut stage).await
        };
        if let Err(error) = &result {
            // The old version was never touched. What came over a connection that broke is good: the next run goes on with it.
            // What was wrong in any way goes now, or at the next begin.
            let left = if error.is_temporary() { stage.leave().await } else { stage.abandon().await };
            if let Err(undo) = left {
                tracing::warn!(error = %undo, "leaving a staged version failed: the next run sees to it");
            }
        }
        result
    }

    /// A primary that once spoke sync-2 is not read over the weaker Go wire: whoever strips the feature from the answer
    /// would strip the digests too (design D15).
    async fn refuse_downgrade(&self) -> Result<(), Error> {
        if self.speaks_sync_2 {
            return Ok(());
        }
        let primary_id = self.primary_id;
        let partner =
            self.secondary.node.store.read(move |conn| store::partner::find(conn, primary_id)).await?;
        if partner.is_some_and(|partner| partner.sync2) {
            return Err(Error::Upstream(
                "this primary used to speak sync-2 and no longer does: nothing was synced; if it was replaced by a server \
                 of the Go reference on purpose, run `sandpiper-secondary connect` again"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
