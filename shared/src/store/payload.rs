//! Payload texts of grains: short ones in their row, long ones in pieces, so that no large text is one value.

use diesel::prelude::*;

use super::grain::{BATCH_ROWS, GrainRow, NewGrain, length};
use super::schema::{grain_chunks, grains};
use super::{Connection, StoreError};
use crate::wire::sync::PIECE_BYTES;

/// Longest payload text that is taken: what travels is one JSON line a grain (see `client::Lines`).
pub const MAX_TEXT_BYTES: usize = 64 * 1024 * 1024;
/// Payload texts up to this size stay in the row.
pub(super) const INLINE_BYTES: usize = 64 * 1024;

/// Adds the pieces of a grain's payload that does not fit into its row.
pub(super) fn insert_pieces(conn: &mut Connection, grain: &NewGrain) -> Result<(), StoreError> {
    let row: i64 = grains::table
        .filter(grains::slice_id.eq(grain.slice_id))
        .filter(grains::id.eq(grain.id))
        .filter(grains::removed_in.is_null())
        .select(grains::row_id)
        .first(conn)?;
    for (seq, piece) in (0_i64..).zip(grain.payload.as_bytes().chunks(PIECE_BYTES)) {
        insert_piece(conn, row, seq, piece)?;
    }
    Ok(())
}

/// Adds a piece of a payload text: [`PIECE_BYTES`], or the rest.
///
/// # Errors
/// [`StoreError::Conflict`] when it is there.
pub fn insert_piece(conn: &mut Connection, row_id: i64, seq: i64, data: &[u8]) -> Result<(), StoreError> {
    diesel::insert_into(grain_chunks::table)
        .values((grain_chunks::grain_row.eq(row_id), grain_chunks::seq.eq(seq), grain_chunks::data.eq(data)))
        .execute(conn)?;
    Ok(())
}

/// A piece of a payload text that does not stand in its row.
///
/// # Errors
/// What SQL reports.
pub fn piece(conn: &mut Connection, row_id: i64, seq: i64) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(grain_chunks::table.find((row_id, seq)).select(grain_chunks::data).first(conn).optional()?)
}

/// A part of a row's payload text: the whole, if it stands in its row, or a piece. `None` behind the last.
///
/// # Errors
/// What SQL reports.
pub fn part(conn: &mut Connection, row: &GrainRow, seq: i64) -> Result<Option<Vec<u8>>, StoreError> {
    if usize::try_from(row.payload_bytes).is_ok_and(|bytes| bytes > INLINE_BYTES) {
        return piece(conn, row.row_id, seq);
    }
    if seq == 0 { Ok(Some(of_row(conn, row)?.into_bytes())) } else { Ok(None) }
}

/// How many pieces are there.
///
/// # Errors
/// What SQL reports.
pub fn count_pieces(conn: &mut Connection, row_id: i64) -> Result<i64, StoreError> {
    Ok(grain_chunks::table.filter(grain_chunks::grain_row.eq(row_id)).count().get_result(conn)?)
}

/// Removes the last pieces of a payload text, about `bytes`; `false` when there is none.
///
/// # Errors
/// What SQL reports.
pub(super) fn remove_pieces(conn: &mut Connection, row_id: i64, bytes: i64) -> Result<bool, StoreError> {
    let most = bytes / length(PIECE_BYTES);
    let last: Vec<i64> = grain_chunks::table
        .filter(grain_chunks::grain_row.eq(row_id))
        .order(grain_chunks::seq.desc())
        .select(grain_chunks::seq)
        .limit(most.max(1))
        .load(conn)?;
    let pieces = grain_chunks::table.filter(grain_chunks::grain_row.eq(row_id));
    Ok(diesel::delete(pieces.filter(grain_chunks::seq.eq_any(last))).execute(conn)? > 0)
}

/// The payload text of a row.
///
/// # Errors
/// What SQL reports; [`StoreError::Internal`] when pieces are missing.
pub fn of_row(conn: &mut Connection, row: &GrainRow) -> Result<String, StoreError> {
    let inline: Option<String> = grains::table.find(row.row_id).select(grains::payload).first(conn)?;
    match inline {
        Some(text) => Ok(text),
        None => chunked_payload(conn, row),
    }
}

fn chunked_payload(conn: &mut Connection, row: &GrainRow) -> Result<String, StoreError> {
    let mut bytes = Vec::with_capacity(usize::try_from(row.payload_bytes).unwrap_or_default());
    let mut seq = 0_i64;
    while let Some(piece) = piece(conn, row.row_id, seq)? {
        bytes.extend_from_slice(&piece);
        seq += 1;
    }
    let damaged =
        || StoreError::Internal(format!("the payload of grain {} is damaged in the database", row.id));
    if length(bytes.len()) != row.payload_bytes {
        return Err(damaged());
    }
    String::from_utf8(bytes).map_err(|_not_text| damaged())
}

/// Adds the payload texts to rows; small ones are read in one statement.
///
/// # Errors
/// What SQL reports.
pub fn of_rows(conn: &mut Connection, rows: Vec<GrainRow>) -> Result<Vec<(GrainRow, String)>, StoreError> {
    let mut texts = std::collections::HashMap::with_capacity(rows.len());
    let keys: Vec<i64> = rows.iter().map(|row| row.row_id).collect();
    for batch in keys.chunks(BATCH_ROWS) {
        let found: Vec<(i64, Option<String>)> = grains::table
            .filter(grains::row_id.eq_any(batch.to_vec()))
            .select((grains::row_id, grains::payload))
            .load(conn)?;
        texts.extend(found);
    }
    rows.into_iter()
        .map(|row| {
            let text = match texts.remove(&row.row_id).flatten() {
                Some(text) => text,
                None => chunked_payload(conn, &row)?,
            };
            Ok((row, text))
        })
        .collect()
}
