//! Tags: labels that a node's staff put on slices for its own grouping.

use diesel::prelude::*;

use super::list::{Column, Columns, Kind, Selection, Value, all_of, page_of};
use super::schema::{slice_tags, tags};
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `tags`.
#[derive(Debug, Clone, Queryable)]
pub struct TagRow {
    /// Local to this node.
    pub id: i64,
    /// Normalised, unique.
    pub name: String,
    /// May be empty.
    pub description: String,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A tag to add; the database chooses the id.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = tags)]
pub struct NewTag {
    /// Normalised.
    pub name: String,
    /// May be empty.
    pub description: String,
    /// Now.
    pub created_at: Timestamp,
    /// Now.
    pub updated_at: Timestamp,
}

/// Adds a tag and returns the row.
///
/// # Errors
/// [`StoreError::Conflict`] when the name exists.
pub fn insert(conn: &mut Connection, new: &NewTag) -> Result<TagRow, StoreError> {
    diesel::insert_into(tags::table).values(new).execute(conn)?;
    find_by_name(conn, &new.name)?
        .ok_or_else(|| StoreError::Internal("the tag just added is gone".to_owned()))
}

/// The tag with this id.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, id: i64) -> Result<Option<TagRow>, StoreError> {
    Ok(tags::table.find(id).first(conn).optional()?)
}

/// Takes the row for writing until the transaction ends.
///
/// # Errors
/// What SQL reports.
pub fn find_for_update(conn: &mut Connection, id: i64) -> Result<Option<TagRow>, StoreError> {
    match conn {
        // BEGIN IMMEDIATE has locked out every other writer.
        Connection::Sqlite(conn) => Ok(tags::table.find(id).first(conn).optional()?),
        Connection::Postgres(conn) => Ok(tags::table.find(id).for_update().first(conn).optional()?),
    }
}

/// The tag of this normalised name.
///
/// # Errors
/// What SQL reports.
pub fn find_by_name(conn: &mut Connection, name: &str) -> Result<Option<TagRow>, StoreError> {
    Ok(tags::table.filter(tags::name.eq(name)).first(conn).optional()?)
}

/// What lists of tags offer.
pub const COLUMNS: Columns = Columns {
    filter: LISTED,
    sort: SORTED,
    by_default: NAME.ascending(),
    unique: ID,
    includes: &[],
    tagged: false,
    whole: false,
};

const ID: Column = Column::new("id", Kind::Number, "tags.id");
const NAME: Column = Column::new("name", Kind::Folded, "tags.name");
const LISTED: &[Column] = &[
    ID,
    NAME,
    Column::new("created_at", Kind::Time, "tags.created_at"),
    Column::new("updated_at", Kind::Time, "tags.updated_at"),
    Column::new("description", Kind::Text, "tags.description"),
];
/// Not by the description: it may be long, and a cursor holds what is sorted by.
const SORTED: &[Column] = match LISTED {
    [sorted @ .., _description] => sorted,
    [] => LISTED,
};

/// What a row has in a column of [`COLUMNS`].
pub fn position(row: &TagRow, column: &str) -> Value {
    match column {
        "name" => Value::Text(row.name.clone()),
        "created_at" => Value::Time(row.created_at),
        "updated_at" => Value::Time(row.updated_at),
        _ => Value::Number(row.id),
    }
}

/// A page of tags, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(conn: &mut Connection, selection: &Selection) -> Result<(Vec<TagRow>, i64), StoreError> {
    let query = || tags::table.into_boxed();
    let page = page_of!(query(), selection).load(conn)?;
    Ok((page, all_of!(query(), selection).count().get_result(conn)?))
}

/// Writes name and description.
///
/// # Errors
/// [`StoreError::Conflict`] when the name exists.
pub fn update(conn: &mut Connection, row: &TagRow) -> Result<(), StoreError> {
    diesel::update(tags::table.find(row.id))
        .set((
            tags::name.eq(&row.name),
            tags::description.eq(&row.description),
            tags::updated_at.eq(row.updated_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// Removes a tag and takes it off all slices; `false` when there was none.
///
/// # Errors
/// What SQL reports.
pub fn delete(conn: &mut Connection, id: i64) -> Result<bool, StoreError> {
    Ok(diesel::delete(tags::table.find(id)).execute(conn)? > 0)
}

/// Puts a tag, whose row is held, on a slice; again changes nothing.
///
/// # Errors
/// [`StoreError::Reference`] when there is no such slice.
pub fn assign(conn: &mut Connection, tag_id: i64, slice_id: Id) -> Result<(), StoreError> {
    let known: i64 = slice_tags::table.find((slice_id, tag_id)).count().get_result(conn)?;
    if known == 0 {
        diesel::insert_into(slice_tags::table)
            .values((slice_tags::slice_id.eq(slice_id), slice_tags::tag_id.eq(tag_id)))
            .execute(conn)?;
    }
    Ok(())
}

/// Takes a tag off a slice; `false` when it was not on it.
///
/// # Errors
/// What SQL reports.
pub fn unassign(conn: &mut Connection, tag_id: i64, slice_id: Id) -> Result<bool, StoreError> {
    Ok(diesel::delete(slice_tags::table.find((slice_id, tag_id))).execute(conn)? > 0)
}
