//! On a secondary: when each primary is synced by the server itself. Several servers may share a database: whoever claims a row
//! runs it.

use diesel::prelude::*;

use super::list::{Column, Columns, Kind, Selection, Value, all_of, page_of};
use super::schema::schedules;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `schedules`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = schedules)]
#[diesel(treat_none_as_default_value = false)]
pub struct ScheduleRow {
    /// With whom.
    pub primary_id: Id,
    /// A cron expression, if it is no period.
    pub cron: Option<String>,
    /// What the expression's hours are meant in: a name of the IANA database.
    pub zone: String,
    /// Seconds between two runs, if it is no cron expression.
    pub period_seconds: Option<i64>,
    /// Each run may come so much later, by chance.
    pub jitter_seconds: i64,
    /// Nothing runs.
    pub paused: bool,
    /// When it is due.
    pub next_run_at: Timestamp,
    /// A server runs it, and says so again before this moment.
    pub claimed_until: Option<Timestamp>,
    /// Which server.
    pub claim: Option<Id>,
    /// Failures one after the other.
    pub failures: i64,
    /// The run that it began last.
    pub last_run_id: Option<Id>,
    /// Why that failed; empty if it did not.
    pub last_error: String,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When somebody last changed it.
    pub updated_at: Timestamp,
}

/// What a schedule knows after a run.
#[derive(Debug, Clone)]
pub struct Settled {
    /// When it is due again.
    pub next_run_at: Timestamp,
    /// Failures one after the other.
    pub failures: i64,
    /// The run that it began; `None` if none began.
    pub run_id: Option<Id>,
    /// Why it failed; empty if it did not.
    pub error: String,
}

/// The schedule of a primary.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, primary_id: Id) -> Result<Option<ScheduleRow>, StoreError> {
    Ok(schedules::table.find(primary_id).first(conn).optional()?)
}

/// Sets the schedule of a primary, in the place of another one. A run under way goes on, and settles nothing.
///
/// # Errors
/// [`StoreError::Reference`] when the primary's company is unknown.
pub fn set(conn: &mut Connection, row: &ScheduleRow) -> Result<(), StoreError> {
    diesel::delete(schedules::table.find(row.primary_id)).execute(conn)?;
    diesel::insert_into(schedules::table).values(row).execute(conn)?;
    Ok(())
}

/// Pauses a schedule, or lets it go on at a moment; `false` when there is none.
///
/// # Errors
/// What SQL reports.
pub fn set_paused(
    conn: &mut Connection,
    primary_id: Id,
    resumed: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let row = schedules::table.find(primary_id);
    let changed = match resumed {
        None => diesel::update(row)
            .set((schedules::paused.eq(true), schedules::updated_at.eq(now)))
            .execute(conn)?,
        Some(next_run_at) => diesel::update(row)
            .set((
                schedules::paused.eq(false),
                schedules::next_run_at.eq(next_run_at),
                schedules::failures.eq(0),
                schedules::updated_at.eq(now),
            ))
            .execute(conn)?,
    };
    Ok(changed > 0)
}

/// Removes the schedule of a primary; `false` when there was none.
///
/// # Errors
/// What SQL reports.
pub fn delete(conn: &mut Connection, primary_id: Id) -> Result<bool, StoreError> {
    Ok(diesel::delete(schedules::table.find(primary_id)).execute(conn)? > 0)
}

/// Claims what is due first for a server, until a moment; `None` when nothing is.
///
/// # Errors
/// What SQL reports.
pub fn claim(
    conn: &mut Connection,
    claim: Id,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<ScheduleRow>, StoreError> {
    let due: Vec<Id> = schedules::table
        .filter(schedules::paused.eq(false))
        .filter(schedules::next_run_at.le(now))
        .filter(schedules::claimed_until.is_null().or(schedules::claimed_until.le(now)))
        .order((schedules::next_run_at, schedules::primary_id))
        .select(schedules::primary_id)
        .limit(100)
        .load(conn)?;
    for primary_id in due {
        // Asked once more by whoever changes the row: another server may have been faster.
        let free = schedules::table
            .filter(schedules::primary_id.eq(primary_id))
            .filter(schedules::paused.eq(false))
            .filter(schedules::next_run_at.le(now))
            .filter(schedules::claimed_until.is_null().or(schedules::claimed_until.le(now)));
        let claimed = diesel::update(free)
            .set((schedules::claim.eq(claim), schedules::claimed_until.eq(until)))
            .execute(conn)?;
        if claimed == 1 {
            return find(conn, primary_id);
        }
    }
    Ok(None)
}

/// Says that a server still runs what it claimed.
///
/// # Errors
/// What SQL reports.
pub fn renew(conn: &mut Connection, primary_id: Id, claim: Id, until: Timestamp) -> Result<(), StoreError> {
    diesel::update(
        schedules::table.filter(schedules::primary_id.eq(primary_id)).filter(schedules::claim.eq(claim)),
    )
    .set(schedules::claimed_until.eq(until))
    .execute(conn)?;
    Ok(())
}

/// Ends a claim. Nothing happens when it is another server's by now, or the schedule was set anew.
///
/// # Errors
/// What SQL reports.
pub fn settle(conn: &mut Connection, primary_id: Id, claim: Id, settled: &Settled) -> Result<(), StoreError> {
    let own =
        || schedules::table.filter(schedules::primary_id.eq(primary_id)).filter(schedules::claim.eq(claim));
    if let Some(run_id) = settled.run_id {
        diesel::update(own()).set(schedules::last_run_id.eq(run_id)).execute(conn)?;
    }
    diesel::update(own())
        .set((
            schedules::claim.eq(None::<Id>),
            schedules::claimed_until.eq(None::<Timestamp>),
            schedules::next_run_at.eq(settled.next_run_at),
            schedules::failures.eq(settled.failures),
            schedules::last_error.eq(&settled.error),
        ))
        .execute(conn)?;
    Ok(())
}

/// What lists of schedules offer.
pub const COLUMNS: Columns = Columns {
    filter: &[PRIMARY_ID, PAUSED],
    sort: &[NEXT_RUN_AT, PRIMARY_ID],
    by_default: NEXT_RUN_AT.ascending(),
    unique: PRIMARY_ID,
    includes: &[],
    tagged: false,
    whole: false,
};

const PRIMARY_ID: Column = Column::new("primary_id", Kind::Id, "schedules.primary_id");
const PAUSED: Column = Column::new("paused", Kind::Bool, "schedules.paused");
const NEXT_RUN_AT: Column = Column::new("next_run_at", Kind::Time, "schedules.next_run_at");

/// What a row has in a column of [`COLUMNS`].
pub fn position(row: &ScheduleRow, column: &str) -> Value {
    if column == NEXT_RUN_AT.name { Value::Time(row.next_run_at) } else { Value::Id(row.primary_id) }
}

/// A page of schedules, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(conn: &mut Connection, selection: &Selection) -> Result<(Vec<ScheduleRow>, i64), StoreError> {
    let query = || schedules::table.into_boxed();
    let page = page_of!(query(), selection).load(conn)?;
    let total = all_of!(query(), selection).count().get_result(conn)?;
    Ok((page, total))
}
