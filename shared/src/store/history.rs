//! Bringing back what an earlier version had.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::grain::{BATCH_ROWS, GrainRow};
use super::payload::INLINE_BYTES;
use super::schema::{grain_chunks, grains};
use super::{Connection, StoreError, on_backend};
use crate::wire::Id;

/// Adds removed grains to `version` again, as they were: the texts of their payloads never leave the database. The
/// caller keeps a batch under 4 MiB or so.
///
/// # Errors
/// [`StoreError::Conflict`] when an id or key is in the slice already.
pub fn bring_back(conn: &mut Connection, version: i64, rows: &[GrainRow]) -> Result<(), StoreError> {
    for batch in rows.chunks(BATCH_ROWS) {
        let keys: Vec<i64> = batch.iter().map(|row| row.row_id).collect();
        on_backend!(conn, |c| diesel::insert_into(grains::table)
            .values(grains::table.filter(grains::row_id.eq_any(keys)).select((
                grains::slice_id,
                grains::id,
                grains::grain_key,
                grains::source,
                grains::encoding,
                grains::payload,
                grains::payload_len,
                grains::payload_bytes,
                grains::digest,
                version.into_sql::<BigInt>(),
                grains::created_at,
            )))
            .into_columns((
                grains::slice_id,
                grains::id,
                grains::grain_key,
                grains::source,
                grains::encoding,
                grains::payload,
                grains::payload_len,
                grains::payload_bytes,
                grains::digest,
                grains::added_in,
                grains::created_at,
            ))
            .execute(c))?;
    }
    let long = |row: &&GrainRow| usize::try_from(row.payload_bytes).is_ok_and(|bytes| bytes > INLINE_BYTES);
    for row in rows.iter().filter(long) {
        copy_pieces(conn, version, row)?;
    }
    Ok(())
}

fn copy_pieces(conn: &mut Connection, version: i64, row: &GrainRow) -> Result<(), StoreError> {
    let copy: i64 = grains::table
        .filter(grains::slice_id.eq(row.slice_id))
        .filter(grains::id.eq(row.id))
        .filter(grains::added_in.eq(version))
        .select(grains::row_id)
        .first(conn)?;
    on_backend!(conn, |c| diesel::insert_into(grain_chunks::table)
        .values(grain_chunks::table.filter(grain_chunks::grain_row.eq(row.row_id)).select((
            copy.into_sql::<BigInt>(),
            grain_chunks::seq,
            grain_chunks::data,
        )))
        .into_columns((grain_chunks::grain_row, grain_chunks::seq, grain_chunks::data))
        .execute(c))?;
    Ok(())
}

/// One of `ids` that lives in another slice now, if any does.
///
/// # Errors
/// What SQL reports.
pub fn live_elsewhere(conn: &mut Connection, slice_id: Id, ids: &[Id]) -> Result<Option<Id>, StoreError> {
    for batch in ids.chunks(BATCH_ROWS) {
        let found = grains::table
            .filter(grains::id.eq_any(batch.to_vec()))
            .filter(grains::removed_in.is_null())
            .filter(grains::slice_id.ne(slice_id))
            .select(grains::id)
            .first(conn)
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
