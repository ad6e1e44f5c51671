//! On a secondary: every run of a sync, and how it ended.

use diesel::prelude::*;

use super::schema::sync_runs;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `sync_runs`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = sync_runs)]
pub struct SyncRunRow {
    /// Of this run.
    pub id: Id,
    /// With whom.
    pub primary_id: Id,
    /// Its fencing token.
    pub fence: i64,
    /// `running`, `success`, `error` or `interrupted`.
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
}

/// Adds a run, and marks what a dead holder left as interrupted.
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
    diesel::insert_into(sync_runs::table).values(row).execute(conn)?;
    Ok(())
}

/// Writes the outcome.
///
/// # Errors
/// What SQL reports.
pub fn finish(conn: &mut Connection, row: &SyncRunRow) -> Result<(), StoreError> {
    diesel::update(sync_runs::table.find(row.id))
        .set((
            sync_runs::state.eq(&row.state),
            sync_runs::slices_total.eq(row.slices_total),
            sync_runs::slices_changed.eq(row.slices_changed),
            sync_runs::slices_failed.eq(row.slices_failed),
            sync_runs::grains_added.eq(row.grains_added),
            sync_runs::grains_removed.eq(row.grains_removed),
            sync_runs::payload_bytes.eq(row.payload_bytes),
            sync_runs::error.eq(&row.error),
            sync_runs::finished_at.eq(row.finished_at),
        ))
        .execute(conn)?;
    Ok(())
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
