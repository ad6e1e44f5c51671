//! Stages: a next version of a slice that is made in many transactions, by a sync, a rollback or a publication. While a row stands here,
//! what the tables hold behind the current version belongs to it.

use diesel::prelude::*;

use super::schema::stages;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `stages`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = stages)]
pub struct StageRow {
    /// Whose next version it is.
    pub slice_id: Id,
    /// New for each attempt.
    pub run: Id,
    /// `sync`, `rollback` or `publish`.
    pub purpose: String,
    /// Who asked for it.
    pub owner: String,
    /// A sync: epoch of the version that is fetched.
    pub source_epoch: Option<Id>,
    /// A sync: number of that version at the primary. A rollback: the version that comes back. A publication: the
    /// published one.
    pub source_version: i64,
    /// A sync: digest of that version.
    pub source_digest: Option<Vec<u8>>,
    /// A sync: how far it has come, in the words of the primary; `None`: it cannot go on.
    pub mark: Option<String>,
    /// A sync: the grain whose payload is not whole yet.
    pub unfinished_row: Option<i64>,
    /// Its last sign of life.
    pub touched_at: Timestamp,
}

/// The one of this slice.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, slice_id: Id) -> Result<Option<StageRow>, StoreError> {
    Ok(stages::table.find(slice_id).first(conn).optional()?)
}

/// Begins one, in the place of one that was cut off.
///
/// # Errors
/// What SQL reports.
pub fn begin(conn: &mut Connection, row: &StageRow) -> Result<(), StoreError> {
    diesel::delete(stages::table.find(row.slice_id)).execute(conn)?;
    diesel::insert_into(stages::table).values(row).execute(conn)?;
    Ok(())
}

/// A sign of life; `false` when another run has taken over. Writes the row, so that a rival waits for this transaction.
///
/// # Errors
/// What SQL reports.
pub fn touch(conn: &mut Connection, slice_id: Id, run: Id, now: Timestamp) -> Result<bool, StoreError> {
    let held = diesel::update(stages::table.find(slice_id).filter(stages::run.eq(run)))
        .set(stages::touched_at.eq(now))
        .execute(conn)?;
    Ok(held == 1)
}

/// Notes how far it has come: in the transaction that brings it there.
///
/// # Errors
/// What SQL reports.
pub fn set_mark(
    conn: &mut Connection,
    slice_id: Id,
    mark: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(stages::table.find(slice_id))
        .set((stages::mark.eq(mark), stages::touched_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Notes the grain whose payload is on its way, or that there is none.
///
/// # Errors
/// What SQL reports.
pub fn set_unfinished(conn: &mut Connection, slice_id: Id, row_id: Option<i64>) -> Result<(), StoreError> {
    diesel::update(stages::table.find(slice_id)).set(stages::unfinished_row.eq(row_id)).execute(conn)?;
    Ok(())
}

/// Ends it.
///
/// # Errors
/// What SQL reports.
pub fn end(conn: &mut Connection, slice_id: Id, run: Id) -> Result<(), StoreError> {
    diesel::delete(stages::table.find(slice_id).filter(stages::run.eq(run))).execute(conn)?;
    Ok(())
}

/// Ends it, whosever it is.
///
/// # Errors
/// What SQL reports.
pub fn forget(conn: &mut Connection, slice_id: Id) -> Result<(), StoreError> {
    diesel::delete(stages::table.find(slice_id)).execute(conn)?;
    Ok(())
}
