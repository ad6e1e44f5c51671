//! Key/value metadata of slices, versioned like grains.

use diesel::prelude::*;

use super::schema::slice_metadata;
use super::{Connection, StoreError};
use crate::wire::Id;

#[derive(Insertable)]
#[diesel(table_name = slice_metadata)]
struct NewPair<'a> {
    slice_id: Id,
    key: &'a str,
    value: &'a str,
    added_in: i64,
}

/// Rows that belong to a version: added up to it, not yet removed in it.
macro_rules! at {
    ($slice:expr, $version:expr) => {
        slice_metadata::table
            .filter(slice_metadata::slice_id.eq($slice))
            .filter(slice_metadata::added_in.le($version))
            .filter(slice_metadata::removed_in.is_null().or(slice_metadata::removed_in.gt($version)))
    };
}

/// The pairs of a version, in byte order of their keys.
///
/// # Errors
/// What SQL reports.
pub fn at(conn: &mut Connection, slice_id: Id, version: i64) -> Result<Vec<(String, String)>, StoreError> {
    Ok(at!(slice_id, version)
        .order(slice_metadata::key)
        .select((slice_metadata::key, slice_metadata::value))
        .load(conn)?)
}

/// Makes `pairs` the metadata of `version`, which must not be published yet.
///
/// # Errors
/// What SQL reports.
pub fn replace(
    conn: &mut Connection,
    slice_id: Id,
    version: i64,
    pairs: &[(String, String)],
) -> Result<(), StoreError> {
    let old = at(conn, slice_id, version)?;
    for (key, _gone) in old.iter().filter(|pair| !pairs.contains(pair)) {
        let row = || {
            slice_metadata::table
                .filter(slice_metadata::slice_id.eq(slice_id))
                .filter(slice_metadata::key.eq(key))
        };
        // Added and removed within one draft: it never was.
        diesel::delete(row().filter(slice_metadata::added_in.eq(version))).execute(conn)?;
        diesel::update(row().filter(slice_metadata::removed_in.is_null()))
            .set(slice_metadata::removed_in.eq(version))
            .execute(conn)?;
    }
    for (key, value) in pairs.iter().filter(|pair| !old.contains(pair)) {
        diesel::insert_into(slice_metadata::table)
            .values(NewPair { slice_id, key, value, added_in: version })
            .execute(conn)?;
    }
    Ok(())
}

/// Undoes what was staged for `version`.
///
/// # Errors
/// What SQL reports.
pub fn undo(conn: &mut Connection, slice_id: Id, version: i64) -> Result<(), StoreError> {
    let of_slice = || slice_metadata::table.filter(slice_metadata::slice_id.eq(slice_id));
    diesel::delete(of_slice().filter(slice_metadata::added_in.eq(version))).execute(conn)?;
    diesel::update(of_slice().filter(slice_metadata::removed_in.eq(version)))
        .set(slice_metadata::removed_in.eq(None::<i64>))
        .execute(conn)?;
    Ok(())
}
