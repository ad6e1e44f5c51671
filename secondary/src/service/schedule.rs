//! Schedules: when a primary is synced by the server itself.

use shared::node::Error;
use shared::node::permission::{Action, By};
use shared::node::query::List;
use shared::store::schedule::ScheduleRow;
use shared::store::{self, Connection, StoreError};
use shared::wire::Id;
use shared::wire::page::Page;
use shared::wire::schedule::{Schedule, SetSchedule};

pub use shared::store::schedule::COLUMNS;

use crate::Secondary;
use crate::schedule::rhythm::{Rhythm, check_jitter, jittered};

const MISSING: Error = Error::NotFound("This primary has no schedule.");
const NO_PRIMARY: Error = Error::NotFound("Primary does not exist.");

/// Schedules, what is due first before the others.
///
/// # Errors
/// [`Error::Forbidden`] but for staff.
pub async fn list(secondary: &Secondary, by: By<'_>, list: List) -> Result<Page<Schedule>, Error> {
    secondary.node.permit_by(by, Action::ViewSchedules)?;
    let now = secondary.node.clock.now();
    secondary
        .node
        .store
        .read(move |conn| {
            let (rows, total) = store::schedule::list(conn, &list.selection)?;
            list.page(rows, total, store::schedule::position, |rows| {
                rows.into_iter().map(|row| Ok(to_wire(conn, row, now)?)).collect()
            })
        })
        .await
}

/// The schedule of a primary.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn view(secondary: &Secondary, by: By<'_>, primary_id: Id) -> Result<Schedule, Error> {
    secondary.node.permit_by(by, Action::ViewSchedules)?;
    let now = secondary.node.clock.now();
    secondary.node.store.read(move |conn| found(conn, primary_id, now)).await
}

/// Sets the schedule of a primary, in the place of another one.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`] for a primary that is not known, [`Error::BadRequest`] that says what
/// to write.
pub async fn set(
    secondary: &Secondary,
    by: By<'_>,
    primary_id: Id,
    body: SetSchedule,
) -> Result<Schedule, Error> {
    // A period has none.
    let zone = body.zone.filter(|_zone| body.cron.is_some()).unwrap_or_else(|| "UTC".to_owned());
    let rhythm = Rhythm::of(body.cron.as_deref(), &zone, body.period_seconds)?;
    let jitter_seconds = body.jitter_seconds.unwrap_or_default();
    check_jitter(jitter_seconds, &rhythm)?;
    secondary.node.permit_by(by, Action::ChangeSchedules)?;
    let (own, now) = (secondary.node.server_id(), secondary.node.clock.now());
    let next_run_at = jittered(rhythm.first(now)?, jitter_seconds, &secondary.node.random);
    let row = ScheduleRow {
        primary_id,
        cron: body.cron.map(|text| text.trim().to_owned()),
        zone,
        period_seconds: body.period_seconds,
        jitter_seconds,
        paused: body.paused.unwrap_or_default(),
        next_run_at,
        claimed_until: None,
        claim: None,
        failures: 0,
        last_run_id: None,
        last_error: String::new(),
        created_at: now,
        updated_at: now,
    };
    secondary
        .node
        .store
        .write(move |conn| {
            if primary_id == own || store::company::find(conn, primary_id)?.is_none() {
                return Err(NO_PRIMARY);
            }
            store::schedule::set(conn, &row)?;
            found(conn, primary_id, now)
        })
        .await
}

/// Removes the schedule of a primary; a run under way goes on.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn remove(secondary: &Secondary, by: By<'_>, primary_id: Id) -> Result<(), Error> {
    secondary.node.permit_by(by, Action::ChangeSchedules)?;
    secondary
        .node
        .store
        .write(move |conn| if store::schedule::delete(conn, primary_id)? { Ok(()) } else { Err(MISSING) })
        .await
}

/// Pauses the schedule of a primary; a run under way goes on.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn pause(secondary: &Secondary, by: By<'_>, primary_id: Id) -> Result<Schedule, Error> {
    secondary.node.permit_by(by, Action::ChangeSchedules)?;
    let now = secondary.node.clock.now();
    secondary
        .node
        .store
        .write(move |conn| {
            store::schedule::set_paused(conn, primary_id, None, now)?;
            found(conn, primary_id, now)
        })
        .await
}

/// Lets it go on with its next moment from now on: what was missed is not made up for.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn resume(secondary: &Secondary, by: By<'_>, primary_id: Id) -> Result<Schedule, Error> {
    secondary.node.permit_by(by, Action::ChangeSchedules)?;
    let (now, random) = (secondary.node.clock.now(), secondary.node.random.clone());
    secondary
        .node
        .store
        .write(move |conn| {
            let row = store::schedule::find(conn, primary_id)?.ok_or(MISSING)?;
            // One that was not paused keeps its moment.
            if row.paused {
                let next = Rhythm::of_row(&row)?.next(now, now)?;
                let next = jittered(next, row.jitter_seconds, &random);
                store::schedule::set_paused(conn, primary_id, Some(next), now)?;
            }
            found(conn, primary_id, now)
        })
        .await
}

fn found(conn: &mut Connection, primary_id: Id, now: shared::wire::Timestamp) -> Result<Schedule, Error> {
    let row = store::schedule::find(conn, primary_id)?.ok_or(MISSING)?;
    Ok(to_wire(conn, row, now)?)
}

fn to_wire(
    conn: &mut Connection,
    row: ScheduleRow,
    now: shared::wire::Timestamp,
) -> Result<Schedule, StoreError> {
    let primary = store::company::find(conn, row.primary_id)?.map(|company| company.name).unwrap_or_default();
    Ok(Schedule {
        primary_id: row.primary_id,
        primary,
        cron: row.cron,
        zone: row.zone,
        period_seconds: row.period_seconds,
        jitter_seconds: row.jitter_seconds,
        paused: row.paused,
        running: row.claimed_until.is_some_and(|until| until > now),
        next_run_at: row.next_run_at,
        failures: row.failures,
        last_run_id: row.last_run_id,
        last_error: row.last_error,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
