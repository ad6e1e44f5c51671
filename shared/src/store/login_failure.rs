//! How often a password was wrong, by whatever is counted.

use diesel::prelude::*;

use super::schema::login_failures;
use super::{Connection, StoreError};
use crate::wire::Timestamp;

/// A row of `login_failures`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = login_failures)]
pub struct FailuresRow {
    /// A keyed hash of what is counted for.
    pub id: Vec<u8>,
    /// Since `first_at`.
    pub failures: i64,
    /// Time of the first.
    pub first_at: Timestamp,
    /// Time of the last.
    pub last_at: Timestamp,
}

/// What has been counted.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, id: &[u8]) -> Result<Option<FailuresRow>, StoreError> {
    Ok(login_failures::table.find(id).first(conn).optional()?)
}

/// The same, and nobody else counts there until the transaction ends. Without a row there is one afterwards.
///
/// # Errors
/// What SQL reports.
pub fn find_for_update(
    conn: &mut Connection,
    id: &[u8],
    now: Timestamp,
) -> Result<Option<FailuresRow>, StoreError> {
    let empty = FailuresRow { id: id.to_vec(), failures: 0, first_at: now, last_at: now };
    super::on_backend!(&mut *conn, |c| diesel::insert_into(login_failures::table)
        .values(&empty)
        .on_conflict_do_nothing()
        .execute(c))?;
    match conn {
        // BEGIN IMMEDIATE has locked out every other writer.
        Connection::Sqlite(conn) => Ok(login_failures::table.find(id).first(conn).optional()?),
        Connection::Postgres(conn) => {
            Ok(login_failures::table.find(id).for_update().first(conn).optional()?)
        }
    }
}

/// Writes what was counted.
///
/// # Errors
/// What SQL reports.
pub fn put(conn: &mut Connection, row: &FailuresRow) -> Result<(), StoreError> {
    super::on_backend!(conn, |c| diesel::insert_into(login_failures::table)
        .values(row)
        .on_conflict(login_failures::id)
        .do_update()
        .set((
            login_failures::failures.eq(row.failures),
            login_failures::first_at.eq(row.first_at),
            login_failures::last_at.eq(row.last_at),
        ))
        .execute(c))?;
    Ok(())
}

/// Forgets what was counted.
///
/// # Errors
/// What SQL reports.
pub fn forget(conn: &mut Connection, id: &[u8]) -> Result<(), StoreError> {
    diesel::delete(login_failures::table.find(id)).execute(conn)?;
    Ok(())
}

/// Removes at most `most` of the counts that began before `before`. Rows that others are counting in stay for another time:
/// nobody waits for this.
///
/// # Errors
/// What SQL reports.
pub fn forget_before(conn: &mut Connection, before: Timestamp, most: i64) -> Result<(), StoreError> {
    let old = login_failures::table
        .filter(login_failures::first_at.lt(before))
        .select(login_failures::id)
        .limit(most);
    let ids: Vec<Vec<u8>> = match conn {
        Connection::Sqlite(conn) => old.load(conn)?,
        Connection::Postgres(conn) => old.for_update().skip_locked().load(conn)?,
    };
    diesel::delete(login_failures::table.filter(login_failures::id.eq_any(ids))).execute(conn)?;
    Ok(())
}
