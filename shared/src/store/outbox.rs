//! On a secondary: records of the sync log that the primary has not taken yet.

use diesel::prelude::*;

use super::schema::outbox;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// Records that are kept for a primary: the oldest go first.
const KEPT: i64 = 1_000;

/// A row of `outbox`.
#[derive(Debug, Clone, Queryable)]
pub struct OutboxRow {
    /// They are delivered in this order.
    pub id: i64,
    /// To whom.
    pub primary_id: Id,
    /// JSON.
    pub record: String,
    /// How often the primary failed to take it.
    pub attempts: i64,
    /// When it happened.
    pub created_at: Timestamp,
}

/// Adds records for a primary, and drops the oldest where there are too many.
///
/// # Errors
/// [`StoreError::Reference`] when the primary's company is unknown.
pub fn add(
    conn: &mut Connection,
    primary_id: Id,
    records: Vec<String>,
    now: Timestamp,
) -> Result<(), StoreError> {
    for record in records {
        diesel::insert_into(outbox::table)
            .values((
                outbox::primary_id.eq(primary_id),
                outbox::record.eq(record),
                outbox::attempts.eq(0),
                outbox::created_at.eq(now),
            ))
            .execute(conn)?;
    }
    let oldest_kept: Option<i64> = outbox::table
        .filter(outbox::primary_id.eq(primary_id))
        .order(outbox::id.desc())
        .offset(KEPT - 1)
        .select(outbox::id)
        .first(conn)
        .optional()?;
    if let Some(id) = oldest_kept {
        diesel::delete(outbox::table.filter(outbox::primary_id.eq(primary_id)).filter(outbox::id.lt(id)))
            .execute(conn)?;
    }
    Ok(())
}

/// The first records for a primary behind `after`, in their order.
///
/// # Errors
/// What SQL reports.
pub fn page(
    conn: &mut Connection,
    primary_id: Id,
    after: i64,
    limit: i64,
) -> Result<Vec<OutboxRow>, StoreError> {
    Ok(outbox::table
        .filter(outbox::primary_id.eq(primary_id))
        .filter(outbox::id.gt(after))
        .order(outbox::id)
        .limit(limit)
        .load(conn)?)
}

/// Removes records: the primary has them, or never will.
///
/// # Errors
/// What SQL reports.
pub fn remove(conn: &mut Connection, ids: &[i64]) -> Result<(), StoreError> {
    diesel::delete(outbox::table.filter(outbox::id.eq_any(ids.to_vec()))).execute(conn)?;
    Ok(())
}

/// Removes what is older than `before`.
///
/// # Errors
/// What SQL reports.
pub fn expire(conn: &mut Connection, primary_id: Id, before: Timestamp) -> Result<(), StoreError> {
    diesel::delete(
        outbox::table.filter(outbox::primary_id.eq(primary_id)).filter(outbox::created_at.lt(before)),
    )
    .execute(conn)?;
    Ok(())
}

/// Counts a failure of the primary.
///
/// # Errors
/// What SQL reports.
pub fn count_attempt(conn: &mut Connection, id: i64) -> Result<(), StoreError> {
    diesel::update(outbox::table.find(id)).set(outbox::attempts.eq(outbox::attempts + 1)).execute(conn)?;
    Ok(())
}
