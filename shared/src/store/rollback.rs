//! Rollbacks under way: while a row stands here, its slice's draft belongs to it.

use diesel::prelude::*;

use super::schema::rollbacks;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `rollbacks`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = rollbacks)]
pub struct RollbackRow {
    /// Whose draft it fills.
    pub slice_id: Id,
    /// New for each attempt.
    pub run: Id,
    /// The version to come back.
    pub version: i64,
    /// Who asked for it.
    pub owner: String,
    /// Its last sign of life.
    pub touched_at: Timestamp,
}

/// The one of this slice.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, slice_id: Id) -> Result<Option<RollbackRow>, StoreError> {
    Ok(rollbacks::table.find(slice_id).first(conn).optional()?)
}

/// Begins one, in the place of one that was cut off.
///
/// # Errors
/// What SQL reports.
pub fn begin(conn: &mut Connection, row: &RollbackRow) -> Result<(), StoreError> {
    diesel::delete(rollbacks::table.find(row.slice_id)).execute(conn)?;
    diesel::insert_into(rollbacks::table).values(row).execute(conn)?;
    Ok(())
}

/// A sign of life; `false` when another run has taken over. Writes the row, so that a rival waits for this transaction.
///
/// # Errors
/// What SQL reports.
pub fn touch(conn: &mut Connection, slice_id: Id, run: Id, now: Timestamp) -> Result<bool, StoreError> {
    let held = diesel::update(rollbacks::table.find(slice_id).filter(rollbacks::run.eq(run)))
        .set(rollbacks::touched_at.eq(now))
        .execute(conn)?;
    Ok(held == 1)
}

/// Ends it.
///
/// # Errors
/// What SQL reports.
pub fn end(conn: &mut Connection, slice_id: Id, run: Id) -> Result<(), StoreError> {
    diesel::delete(rollbacks::table.find(slice_id).filter(rollbacks::run.eq(run))).execute(conn)?;
    Ok(())
}
