//! The sync log, on both nodes.

use diesel::prelude::*;

use super::count::{self, Counted};
use super::list::{Column, Columns, Kind, Order, Selection, Value, all_of, page_of};
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

/// What lists of records offer.
pub const COLUMNS: Columns = Columns {
    filter: LISTED,
    sort: SORTED,
    by_default: Order { column: ID, descending: true },
    unique: ID,
    includes: &["subscription"],
    tagged: false,
    whole: false,
};

const ID: Column = Column::new("id", Kind::Number, "activity.id");
const CREATED_AT: Column = Column::new("created_at", Kind::Time, "activity.created_at");
const LISTED: &[Column] = &[
    ID,
    Column::new("company_id", Kind::Id, "activity.company_id"),
    Column::new("sub_id", Kind::Id, "activity.sub_id"),
    Column::new("success", Kind::Bool, "activity.success"),
    Column::new("message", Kind::Text, "activity.message"),
    Column::new("error", Kind::Text, "activity.error"),
    Column::new("duration", Kind::Number, "activity.duration"),
    CREATED_AT,
];

/// The log may be long: by what has an index.
const SORTED: &[Column] = &[ID, CREATED_AT];

/// What a row has in a column of [`COLUMNS`].
pub fn position(row: &ActivityRow, column: &str) -> Value {
    if column == CREATED_AT.name { Value::Time(row.created_at) } else { Value::Number(row.id) }
}

/// A page of records, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(conn: &mut Connection, selection: &Selection) -> Result<(Vec<ActivityRow>, i64), StoreError> {
    let query = || activity::table.into_boxed();
    let page = page_of!(query(), selection).load(conn)?;
    let total = if selection.filter.is_empty() {
        count::of(conn, Counted::Activity)?
    } else {
        all_of!(query(), selection).count().get_result(conn)?
    };
    Ok((page, total))
}

/// Removes a record; `false` when there was none.
///
/// # Errors
/// What SQL reports.
pub fn delete(conn: &mut Connection, id: i64) -> Result<bool, StoreError> {
    Ok(diesel::delete(activity::table.find(id)).execute(conn)? > 0)
}
