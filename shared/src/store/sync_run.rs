//! On a secondary: every run of a sync, how far it is, and how it ended.

use diesel::prelude::*;

use super::list::{Column, Columns, Kind, Selection, Value, all_of, page_of};
use super::schema::sync_runs;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// Runs of a primary that are kept: years of daily ones, six weeks of hourly ones.
const KEPT: i64 = 1_000;

/// A row of `sync_runs`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = sync_runs)]
#[diesel(treat_none_as_default_value = false)]
pub struct SyncRunRow {
    /// Of this run.
    pub id: Id,
    /// With whom.
    pub primary_id: Id,
    /// Its fencing token.
    pub fence: i64,
    /// `running`, `success`, `failed`, `cancelled` or `interrupted`.
    pub state: String,
    /// Active subscriptions.
    pub slices_total: i64,
    /// How many of them got a new version.
    pub slices_changed: i64,
    /// How many failed.
    pub slices_failed: i64,
    /// Grains that travelled.
    pub grains_added: i64,
    /// Grains that went.
    pub grains_removed: i64,
    /// Bytes of payload text that travelled.
    pub payload_bytes: i64,
    /// Why it failed; empty if it did not.
    pub error: String,
    /// Start.
    pub started_at: Timestamp,
    /// End.
    pub finished_at: Option<Timestamp>,
    /// Who asked for it: a user name, `command line` or `schedule`.
    pub asked_by: String,
    /// Name of the slice that travels, of several the one that began last; empty if none does.
    pub slice: String,
    /// Slices that are done, however.
    pub slices_done: i64,
    /// Grains that have arrived.
    pub grains_done: i64,
    /// Grains that are to arrive, as far as it is known.
    pub grains_total: i64,
    /// Bytes of payload text that have arrived.
    pub bytes_done: i64,
    /// Bytes of payload text that are to arrive, as far as it is known.
    pub bytes_total: i64,
    /// How fast they arrive.
    pub bytes_per_second: i64,
    /// Its last sign of life.
    pub touched_at: Option<Timestamp>,
    /// It is to stop.
    pub cancel_asked: bool,
    /// JSON: what became of each slice; `None` until it is over.
    pub results: Option<String>,
    /// Why the hook after it failed; empty if it did not.
    pub hook_error: String,
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = sync_runs)]
pub struct RunProgress {
    /// Active subscriptions.
    pub slices_total: i64,
    /// Name of the slice that travels, of several the one that began last.
    pub slice: String,
    /// Slices that are done, however.
    pub slices_done: i64,
    /// Grains that have arrived.
    pub grains_done: i64,
    /// Grains that are to arrive, as far as it is known.
    pub grains_total: i64,
    /// Bytes of payload text that have arrived.
    pub bytes_done: i64,
    /// Bytes of payload text that are to arrive, as far as it is known.
    pub bytes_total: i64,
    /// How fast they arrive.
    pub bytes_per_second: i64,
}

/// Adds a run, marks what a dead holder left as interrupted, and forgets what is old.
///
/// # Errors
/// What SQL reports.
pub fn start(conn: &mut Connection, row: &SyncRunRow) -> Result<(), StoreError> {
    diesel::update(
        sync_runs::table
            .filter(sync_runs::primary_id.eq(row.primary_id))
            .filter(sync_runs::state.eq("running")),
    )
    .set((sync_runs::state.eq("interrupted"), sync_runs::finished_at.eq(row.started_at)))
    .execute(conn)?;
    diesel::delete(
        sync_runs::table
            .filter(sync_runs::primary_id.eq(row.primary_id))
            .filter(sync_runs::fence.le(row.fence - KEPT)),
    )
    .execute(conn)?;
    diesel::insert_into(sync_runs::table).values(row).execute(conn)?;
    Ok(())
}

/// A sign of life, with how far the run is; whether it is to stop. A run that somebody else took for dead changes nothing.
///
/// # Errors
/// What SQL reports.
pub fn touch(
    conn: &mut Connection,
    id: Id,
    progress: &RunProgress,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let own = sync_runs::table.filter(sync_runs::id.eq(id)).filter(sync_runs::state.eq("running"));
    diesel::update(own).set((progress, sync_runs::touched_at.eq(now))).execute(conn)?;
    let asked = sync_runs::table.find(id).select(sync_runs::cancel_asked).first(conn).optional()?;
    Ok(asked.unwrap_or_default())
}

/// Whether a run is to stop.
///
/// # Errors
/// What SQL reports.
pub fn is_cancel_asked(conn: &mut Connection, id: Id) -> Result<bool, StoreError> {
    let asked = sync_runs::table.find(id).select(sync_runs::cancel_asked).first(conn).optional()?;
    Ok(asked.unwrap_or_default())
}

/// Asks a run to stop; nothing happens if it is over.
///
/// # Errors
/// What SQL reports.
pub fn ask_to_cancel(conn: &mut Connection, id: Id) -> Result<(), StoreError> {
    let running = sync_runs::table.filter(sync_runs::id.eq(id)).filter(sync_runs::state.eq("running"));
    diesel::update(running).set(sync_runs::cancel_asked.eq(true)).execute(conn)?;
    Ok(())
}

/// Notes that the process of a run is dead.
///
/// # Errors
/// What SQL reports.
pub fn interrupt(conn: &mut Connection, id: Id, now: Timestamp) -> Result<(), StoreError> {
    let running = sync_runs::table.filter(sync_runs::id.eq(id)).filter(sync_runs::state.eq("running"));
    diesel::update(running)
        .set((sync_runs::state.eq("interrupted"), sync_runs::finished_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Writes the outcome, and how far it came.
///
/// # Errors
/// What SQL reports.
pub fn finish(conn: &mut Connection, row: &SyncRunRow, progress: &RunProgress) -> Result<(), StoreError> {
    diesel::update(sync_runs::table.find(row.id))
        .set((
            progress,
            sync_runs::state.eq(&row.state),
            sync_runs::slices_changed.eq(row.slices_changed),
            sync_runs::slices_failed.eq(row.slices_failed),
            sync_runs::grains_added.eq(row.grains_added),
            sync_runs::grains_removed.eq(row.grains_removed),
            sync_runs::payload_bytes.eq(row.payload_bytes),
            sync_runs::error.eq(&row.error),
            sync_runs::finished_at.eq(row.finished_at),
            sync_runs::results.eq(&row.results),
        ))
        .execute(conn)?;
    Ok(())
}

/// Writes why the hook after a run failed.
///
/// # Errors
/// What SQL reports.
pub fn set_hook_error(conn: &mut Connection, id: Id, error: &str) -> Result<(), StoreError> {
    diesel::update(sync_runs::table.find(id)).set(sync_runs::hook_error.eq(error)).execute(conn)?;
    Ok(())
}

/// The run with this id.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, id: Id) -> Result<Option<SyncRunRow>, StoreError> {
    Ok(sync_runs::table.find(id).first(conn).optional()?)
}

/// The newest run with a primary.
///
/// # Errors
/// What SQL reports.
pub fn last(conn: &mut Connection, primary_id: Id) -> Result<Option<SyncRunRow>, StoreError> {
    Ok(sync_runs::table
        .filter(sync_runs::primary_id.eq(primary_id))
        .order(sync_runs::fence.desc())
        .first(conn)
        .optional()?)
}

/// Runs that have not said how they ended: one for each primary at most, if nobody died.
///
/// # Errors
/// What SQL reports.
pub fn running(conn: &mut Connection) -> Result<Vec<SyncRunRow>, StoreError> {
    Ok(sync_runs::table.filter(sync_runs::state.eq("running")).load(conn)?)
}

/// What lists of runs offer.
pub const COLUMNS: Columns = Columns {
    filter: &[ID, PRIMARY_ID, STATE],
    sort: &[STARTED_AT, ID],
    by_default: STARTED_AT.descending(),
    unique: ID,
    includes: &[],
    tagged: false,
    whole: false,
};

const ID: Column = Column::new("id", Kind::Id, "sync_runs.id");
const PRIMARY_ID: Column = Column::new("primary_id", Kind::Id, "sync_runs.primary_id");
const STATE: Column = Column::new("state", Kind::Text, "sync_runs.state");
const STARTED_AT: Column = Column::new("started_at", Kind::Time, "sync_runs.started_at");

/// What a row has in a column of [`COLUMNS`].
pub fn position(row: &SyncRunRow, column: &str) -> Value {
    if column == STARTED_AT.name { Value::Time(row.started_at) } else { Value::Id(row.id) }
}

/// A page of runs, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(conn: &mut Connection, selection: &Selection) -> Result<(Vec<SyncRunRow>, i64), StoreError> {
    let query = || sync_runs::table.into_boxed();
    let page = page_of!(query(), selection).load(conn)?;
    let total = all_of!(query(), selection).count().get_result(conn)?;
    Ok((page, total))
}
