//! Runs of syncs: what they do and did, watching one, having one stop. The run may be in another process: all that is known of
//! it stands in its row.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use shared::node::permission::{Action, By};
use shared::node::query::List;
use shared::node::service::caller;
use shared::node::{Error, Principal};
use shared::store::sync_run::SyncRunRow;
use shared::store::{self, Connection};
use shared::wire::Id;
use shared::wire::page::Page;
use shared::wire::run::{Run, RunEvent, RunProgress};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval};

pub use shared::store::sync_run::COLUMNS;

use crate::Secondary;
use crate::sync::{self, Progress, Report};

const MISSING: Error = Error::NotFound("Run does not exist.");

/// A run that has said nothing for so long may be dead.
const QUIET_SECONDS: i64 = 15;
/// How often a run is looked at for who watches it.
const LOOK: Duration = Duration::from_secs(1);
/// After so many looks without news a watcher is told that the connection lives.
const QUIET_LOOKS: u32 = 10;

/// Runs a sync in a task of its own, which goes on when the caller hangs up, as clients of the reference do after ten seconds; the
/// hook after it keeps nobody.
///
/// # Errors
/// [`Error::Forbidden`] but for staff; as [`sync::begin`]; as [`sync::Started::finish`]; as [`Report::into_result`].
pub async fn run(secondary: Arc<Secondary>, who: &Principal, primary_id: Id) -> Result<Report, Error> {
    secondary.node.permit(who, Action::RunSync)?;
    let asked_by = who.username.clone();
    let (tell, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let result =
            match sync::begin(Arc::clone(&secondary), primary_id, &asked_by, Progress::silent()).await {
                Ok(started) => started.finish().await,
                Err(error) => Err(error),
            };
        let report = result.as_ref().ok().cloned();
        drop(tell.send(result));
        if let Some(report) = report {
            super::hook::after(&secondary, &report).await;
        }
    });
    told.await.map_err(|_panicked| Error::Internal("the run ended without a word".to_owned()))??.into_result()
}

/// Begins a run that nobody waits for, and tells its id.
///
/// # Errors
/// [`Error::Forbidden`] but for staff; as [`sync::begin`].
pub async fn begin(secondary: Arc<Secondary>, who: &Principal, primary_id: Id) -> Result<Id, Error> {
    secondary.node.permit(who, Action::RunSync)?;
    let asked_by = who.username.clone();
    let (tell, told) = tokio::sync::oneshot::channel();
    // A task of its own from the beginning: a caller who hangs up leaves no run that does not go on.
    tokio::spawn(async move {
        match sync::begin(Arc::clone(&secondary), primary_id, &asked_by, Progress::silent()).await {
            Err(error) => drop(tell.send(Err(error))),
            Ok(started) => {
                drop(tell.send(Ok(started.run_id())));
                match started.finish().await {
                    Ok(report) => super::hook::after(&secondary, &report).await,
                    // Its row says so too.
                    Err(error) => tracing::warn!(primary = %primary_id, %error, "a sync failed"),
                }
            }
        }
    });
    told.await.map_err(|_panicked| Error::Internal("the run ended without a word".to_owned()))?
}

/// Runs, newest first.
///
/// # Errors
/// [`Error::Forbidden`] but for staff.
pub async fn list(secondary: &Secondary, by: By<'_>, list: List) -> Result<Page<Run>, Error> {
    secondary.node.permit_by(by, Action::ViewRuns)?;
    let running = secondary.node.store.read(store::sync_run::running).await?;
    for row in running {
        bury(secondary, &row).await?;
    }
    secondary
        .node
        .store
        .read(move |conn| {
            let (rows, total) = store::sync_run::list(conn, &list.selection)?;
            list.page(rows, total, store::sync_run::position, |rows| {
                let mut names = HashMap::new();
                rows.into_iter().map(|row| to_wire(conn, row, &mut names)).collect()
            })
        })
        .await
}

/// One run, with what became of each slice.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn view(secondary: &Secondary, by: By<'_>, id: Id) -> Result<Run, Error> {
    secondary.node.permit_by(by, Action::ViewRuns)?;
    in_full(secondary, id).await
}

/// Asks a run to stop, and says how it stands. One that is over stays as it is.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn cancel(secondary: &Secondary, by: By<'_>, id: Id) -> Result<Run, Error> {
    secondary.node.permit_by(by, Action::CancelRun)?;
    secondary.node.store.write(move |conn| store::sync_run::ask_to_cancel(conn, id)).await?;
    in_full(secondary, id).await
}

async fn in_full(secondary: &Secondary, id: Id) -> Result<Run, Error> {
    let row = alive(secondary, id).await?;
    secondary
        .node
        .store
        .read(move |conn| {
            let results = row.results.clone();
            let mut run = to_wire(conn, row, &mut HashMap::new())?;
            run.slices = results.map(|text| serde_json::from_str(&text).unwrap_or_default());
            Ok(run)
        })
        .await
}

/// The row, which says `running` only of a run whose process may live.
async fn alive(secondary: &Secondary, id: Id) -> Result<SyncRunRow, Error> {
    let find = move |conn: &mut Connection| store::sync_run::find(conn, id)?.ok_or(MISSING);
    let row = secondary.node.store.read(find).await?;
    if bury(secondary, &row).await? { secondary.node.store.read(find).await } else { Ok(row) }
}

/// Notes that the process of a run is dead, if it is: its lock ends with it, its row does not.
async fn bury(secondary: &Secondary, row: &SyncRunRow) -> Result<bool, Error> {
    let now = secondary.node.clock.now();
    let last_sign = row.touched_at.unwrap_or(row.started_at);
    let is_quiet = now >= last_sign.plus(chrono::Duration::seconds(QUIET_SECONDS));
    if row.state != "running" || !is_quiet || secondary.node.store.is_run_locked(row.primary_id).await? {
        return Ok(false);
    }
    let id = row.id;
    secondary.node.store.write(move |conn| store::sync_run::interrupt(conn, id, now)).await?;
    Ok(true)
}

fn to_wire(conn: &mut Connection, row: SyncRunRow, names: &mut HashMap<Id, String>) -> Result<Run, Error> {
    let primary = match names.get(&row.primary_id) {
        Some(name) => name.clone(),
        None => store::company::find(conn, row.primary_id)?.map(|company| company.name).unwrap_or_default(),
    };
    names.insert(row.primary_id, primary.clone());
    Ok(Run {
        id: row.id,
        primary_id: row.primary_id,
        primary,
        progress: progress(&row),
        state: row.state,
        asked_by: row.asked_by,
        started_at: row.started_at,
        finished_at: row.finished_at,
        cancel_asked: row.cancel_asked,
        slices_changed: row.slices_changed,
        slices_failed: row.slices_failed,
        grains_added: row.grains_added,
        grains_removed: row.grains_removed,
        payload_bytes: row.payload_bytes,
        error: row.error,
        hook_error: row.hook_error,
        slices: None,
    })
}

fn progress(row: &SyncRunRow) -> RunProgress {
    let left = row.bytes_total.saturating_sub(row.bytes_done);
    let eta = (row.state == "running" && row.bytes_per_second > 0 && left > 0)
        .then(|| left.saturating_add(row.bytes_per_second - 1) / row.bytes_per_second);
    RunProgress {
        slice: row.slice.clone(),
        slices_done: row.slices_done,
        slices_total: row.slices_total,
        grains_done: row.grains_done,
        grains_total: row.grains_total,
        bytes_done: row.bytes_done,
        bytes_total: row.bytes_total,
        bytes_per_second: row.bytes_per_second,
        eta_seconds: eta,
    }
}

/// What a watcher is told.
#[derive(Debug)]
pub enum Seen {
    /// Something has changed.
    Progress(RunEvent),
    /// Nothing has, and the connection lives.
    Nothing,
    /// It is over.
    End(RunEvent),
}

/// Watches a run: how it stands at once, then what changes, then its end. It ends too when the watcher's login does.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn watch(secondary: Arc<Secondary>, who: Principal, id: Id) -> Result<Receiver<Seen>, Error> {
    secondary.node.permit(&who, Action::ViewRuns)?;
    let first = alive(&secondary, id).await?;
    let (sender, receiver) = channel(2);
    tokio::spawn(async move {
        if let Err(error) = look_on(&secondary, &who, first, &sender).await {
            tracing::debug!(run = %id, %error, "nobody is told of a run any more");
        }
    });
    Ok(receiver)
}

async fn look_on(
    secondary: &Secondary,
    who: &Principal,
    mut row: SyncRunRow,
    sender: &Sender<Seen>,
) -> Result<(), Error> {
    let id = row.id;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.tick().await;
    let (mut told, mut quiet) = (None, 0);
    loop {
        let event = event(&row);
        let is_over = row.state != "running";
        let seen = match () {
            () if is_over => Some(Seen::End(event)),
            () if told.as_ref() != Some(&event) => {
                told = Some(event.clone());
                Some(Seen::Progress(event))
            }
            () if quiet >= QUIET_LOOKS => Some(Seen::Nothing),
            () => None,
        };
        quiet = if seen.is_some() { 0 } else { quiet + 1 };
        let is_heard = match seen {
            Some(seen) => sender.send(seen).await.is_ok(),
            None => true,
        };
        if is_over || !is_heard {
            return Ok(());
        }
        tokio::select! {
            () = sender.closed() => return Ok(()),
            _ = looks.tick() => {}
        }
        let (caller, now) = (who.clone(), secondary.node.clock.now());
        let looked = secondary
            .node
            .store
            .read_current(move |conn| {
                caller::require_still_good(conn, &caller, now)?;
                store::sync_run::find(conn, id)?.ok_or(MISSING)
            })
            .await;
        row = match looked {
            Ok(found) if bury(secondary, &found).await.unwrap_or(false) => alive(secondary, id).await?,
            Ok(found) => found,
            // A database that is away for a moment comes back.
            Err(error) if error.is_temporary() => row,
            Err(error) => return Err(error),
        };
    }
}

fn event(row: &SyncRunRow) -> RunEvent {
    RunEvent { run_id: row.id, state: row.state.clone(), progress: progress(row), error: row.error.clone() }
}
