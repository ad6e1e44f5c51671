//! The sync log, on both nodes.

use diesel::prelude::*;

use super::schema::activity;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `activity`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = activity)]
// Without this SQLite gets one statement a row.
#[diesel(treat_none_as_default_value = false)]
pub struct ActivityRow {
    /// Local to this node.
    pub id: i64,
    /// Made by us before the insert, to find the row again without RETURNING.
    pub uid: Id,
    /// Whom it concerns.
    pub company_id: Id,
    /// Which subscription, if it concerns one.
    pub sub_id: Option<Id>,
    /// Whether it went well.
    pub success: bool,
    /// What happened.
    pub message: String,
    /// Why not, if it failed.
    pub error: String,
    /// Nanoseconds.
    pub duration: i64,
    /// When it was recorded here.
    pub created_at: Timestamp,
}

/// A record to add.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = activity)]
pub struct NewActivity {
    /// A fresh uuid.
    pub uid: Id,
    /// Whom it concerns.
    pub company_id: Id,
    /// Which subscription, if it concerns one.
    pub sub_id: Option<Id>,
    /// Whether it went well.
    pub success: bool,
    /// What happened.
    pub message: String,
    /// Why not, if it failed.
    pub error: String,
    /// Nanoseconds.
    pub duration: i64,
    /// Now.
    pub created_at: Timestamp,
}

/// Adds a record and returns the row.
///
/// # Errors
/// What SQL reports.
pub fn insert(conn: &mut Connection, new: &NewActivity) -> Result<ActivityRow, StoreError> {
    diesel::insert_into(activity::table).values(new).execute(conn)?;
    Ok(activity::table.filter(activity::uid.eq(new.uid)).first(conn)?)
}

/// The record with this id.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, id: i64) -> Result<Option<ActivityRow>, StoreError> {
    Ok(activity::table.find(id).first(conn).optional()?)
}

/// Records, newest first, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(conn: &mut Connection, offset: i64, limit: i64) -> Result<(Vec<ActivityRow>, i64), StoreError> {
    let page = activity::table.order(activity::id.desc()).offset(offset).limit(limit).load(conn)?;
    Ok((page, activity::table.count().get_result(conn)?))
}
