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

/// Writes the row.
///
/// # Errors
/// [`StoreError::Conflict`] when the node has one.
pub fn insert(conn: &mut Connection, row: &SettingRow) -> Result<(), StoreError> {
    diesel::insert_into(settings::table).values(row).execute(conn)?;
    Ok(())
}
