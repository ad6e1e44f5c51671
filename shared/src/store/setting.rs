//! The one row that says who this node is.

use diesel::prelude::*;

use super::schema::settings;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// The row of `settings`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = settings)]
pub struct SettingRow {
    /// Always 1.
    pub id: i64,
    /// `primary` or `secondary`.
    pub server_role: String,
    /// The company that owns this node.
    pub server_id: Id,
    /// Tells a wrong root key from a damaged ring.
    pub root_key_check: Vec<u8>,
    /// When the node was made.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
    /// Rises with every change of the key rings.
    pub ring_epoch: i64,
}

/// The row; `None` before `init`.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection) -> Result<Option<SettingRow>, StoreError> {
    Ok(settings::table.find(1).first(conn).optional()?)
}

/// Takes the row for writing until the transaction ends: decisions about the node as a whole queue here.
///
/// # Errors
/// What SQL reports.
pub fn hold(conn: &mut Connection) -> Result<(), StoreError> {
    if let Connection::Postgres(conn) = conn {
        settings::table.for_update().load::<SettingRow>(conn)?;
    }
    Ok(())
}

/// Keeps the rings as they are until the transaction ends, and tells their epoch: whoever changes them takes the row with
/// [`hold`]. Take it before any other row.
///
/// # Errors
/// What SQL reports.
pub fn hold_rings(conn: &mut Connection) -> Result<i64, StoreError> {
    if let Connection::Postgres(conn) = conn {
        return Ok(settings::table.select(settings::ring_epoch).for_share().first(conn)?);
    }
    ring_epoch(conn)
}

/// Which state of the key rings is in force.
///
/// # Errors
/// What SQL reports.
pub fn ring_epoch(conn: &mut Connection) -> Result<i64, StoreError> {
    Ok(settings::table.select(settings::ring_epoch).first(conn)?)
}

/// Notes that the rings changed: every server reads them anew before its next answer.
///
/// # Errors
/// What SQL reports.
pub fn raise_ring_epoch(conn: &mut Connection) -> Result<(), StoreError> {
    raise_ring_epoch_by(conn, 1)
}

/// The same, beyond what servers may have seen of another copy of the database.
///
/// # Errors
/// What SQL reports.
pub fn raise_ring_epoch_by(conn: &mut Connection, by: i64) -> Result<(), StoreError> {
    diesel::update(settings::table).set(settings::ring_epoch.eq(settings::ring_epoch + by)).execute(conn)?;
    Ok(())
}

/// Writes the row.
///
/// # Errors
/// [`StoreError::Conflict`] when the node has one.
pub fn insert(conn: &mut Connection, row: &SettingRow) -> Result<(), StoreError> {
    diesel::insert_into(settings::table).values(row).execute(conn)?;
    Ok(())
}
