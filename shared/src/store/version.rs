//! Versions of slices: what was published, and what hashes it had.

use diesel::prelude::*;

use super::list::{Column, Columns, Kind, Order, Selection, Value, all_of, page_of};
use super::schema::{grains, slice_metadata, slice_versions, slices};
use super::slice::SliceRow;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `slice_versions`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = slice_versions)]
pub struct VersionRow {
    /// Of which slice.
    pub slice_id: Id,
    /// 0 is the empty slice just made; each publication adds one.
    pub version: i64,
    /// Grains in it.
    pub grain_count: i64,
    /// Bytes of their payload texts.
    pub payload_bytes: i64,
    /// The reference's SHA-1 over ids and metadata; empty for nothing.
    pub content_hash: String,
    /// The same over ids only.
    pub ids_hash: String,
    /// `LtHash16` state over grains and metadata.
    pub set_hash: Vec<u8>,
    /// SHA-256 of `set_hash`.
    pub digest: Vec<u8>,
    /// When the primary published it; `None`: never.
    pub content_date: Option<Timestamp>,
    /// On a secondary: the primary's epoch.
    pub source_epoch: Option<Id>,
    /// On a secondary: the primary's version.
    pub source_version: Option<i64>,
    /// When the row was made here.
    pub created_at: Timestamp,
}

/// Adds a version.
///
/// # Errors
/// [`StoreError::Conflict`] when it exists.
pub fn insert(conn: &mut Connection, row: &VersionRow) -> Result<(), StoreError> {
    diesel::insert_into(slice_versions::table).values(row).execute(conn)?;
    Ok(())
}

/// One version.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, slice_id: Id, version: i64) -> Result<Option<VersionRow>, StoreError> {
    Ok(slice_versions::table.find((slice_id, version)).first(conn).optional()?)
}

/// Whether a version is kept.
///
/// # Errors
/// What SQL reports.
pub fn exists(conn: &mut Connection, slice_id: Id, version: i64) -> Result<bool, StoreError> {
    let row = slice_versions::table.find((slice_id, version));
    Ok(diesel::select(diesel::dsl::exists(row)).get_result(conn)?)
}

/// Corrects what the primary says of a version whose content is the same.
///
/// # Errors
/// What SQL reports.
pub fn set_source(
    conn: &mut Connection,
    slice_id: Id,
    version: i64,
    source: (Id, i64),
    content_date: Option<Timestamp>,
) -> Result<(), StoreError> {
    diesel::update(slice_versions::table.find((slice_id, version)))
        .set((
            slice_versions::source_epoch.eq(source.0),
            slice_versions::source_version.eq(source.1),
            slice_versions::content_date.eq(content_date),
        ))
        .execute(conn)?;
    Ok(())
}

/// Publishes what is published once more, under a number that is higher by `by`; the draft stays the next one. Numbers in between
/// may have been given to something else that nobody here knows of.
///
/// # Errors
/// What SQL reports.
pub fn skip(conn: &mut Connection, slice: &SliceRow, by: i64, now: Timestamp) -> Result<(), StoreError> {
    let (id, version, draft) = (slice.id, slice.current_version + by, slice.current_version + 1);
    let base = find(conn, id, slice.current_version)?
        .ok_or_else(|| StoreError::Internal(format!("slice {id} has no current version")))?;
    insert(conn, &VersionRow { version, created_at: now, ..base })?;
    diesel::update(grains::table.filter(grains::slice_id.eq(id)).filter(grains::added_in.eq(draft)))
        .set(grains::added_in.eq(draft + by))
        .execute(conn)?;
    diesel::update(grains::table.filter(grains::slice_id.eq(id)).filter(grains::removed_in.eq(draft)))
        .set(grains::removed_in.eq(draft + by))
        .execute(conn)?;
    let pairs = || slice_metadata::table.filter(slice_metadata::slice_id.eq(id));
    diesel::update(pairs().filter(slice_metadata::added_in.eq(draft)))
        .set(slice_metadata::added_in.eq(draft + by))
        .execute(conn)?;
    diesel::update(pairs().filter(slice_metadata::removed_in.eq(draft)))
        .set(slice_metadata::removed_in.eq(draft + by))
        .execute(conn)?;
    diesel::update(slices::table.find(id))
        .set((slices::current_version.eq(version), slices::updated_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// What lists of versions offer.
pub const COLUMNS: Columns = Columns {
    filter: &[NUMBER],
    sort: &[NUMBER],
    by_default: Order { column: NUMBER, descending: true },
    unique: NUMBER,
    includes: &[],
    tagged: false,
    whole: false,
};

const NUMBER: Column = Column::new("number", Kind::Number, "slice_versions.version");

/// What a row has in a column of [`COLUMNS`].
pub fn position(row: &VersionRow, _number: &str) -> Value {
    Value::Number(row.version)
}

/// A page of published versions, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn published(
    conn: &mut Connection,
    slice_id: Id,
    selection: &Selection,
) -> Result<(Vec<VersionRow>, i64), StoreError> {
    // Version 0 is the slice just made: nobody published it.
    let rows = || {
        slice_versions::table
            .filter(slice_versions::slice_id.eq(slice_id))
            .filter(slice_versions::content_date.is_not_null())
            .into_boxed()
    };
    let page = page_of!(rows(), selection).load(conn)?;
    Ok((page, all_of!(rows(), selection).count().get_result(conn)?))
}
