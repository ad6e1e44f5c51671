//! Grains: immutable payloads that belong to the versions from `added_in` up to, not including, `removed_in`.

use std::collections::BTreeMap;

use diesel::prelude::*;

use super::list::{Column, Columns, Kind, Value};
use super::payload::{self, INLINE_BYTES};
use super::schema::grains;
use super::slice::change_draft;
use super::{Connection, StoreError, on_backend};
use crate::wire::{Id, Timestamp};

/// Rows per statement: the sweet spot of both databases, far below their limits on parameters.
pub(super) const BATCH_ROWS: usize = 500;
/// Rows from which on PostgreSQL takes them by COPY.
const COPY_ROWS: usize = 16;

/// A grain without its payload.
#[derive(Debug, Clone, Queryable)]
pub struct GrainRow {
    /// Surrogate key.
    pub row_id: i64,
    /// Whose grain it is.
    pub slice_id: Id,
    /// Also names the content: changed content has a new id.
    pub id: Id,
    /// What it is about; unique in its slice.
    pub grain_key: String,
    /// By habit the file name.
    pub source: String,
    /// `raw`, `b64`, `z64`, `a85` or `z85`.
    pub encoding: String,
    /// Characters of the payload text.
    pub payload_len: i64,
    /// Bytes of the payload text.
    pub payload_bytes: i64,
    /// SHA-256 over id, key, encoding, source and payload text.
    pub digest: Vec<u8>,
    /// First version it belongs to.
    pub added_in: i64,
    /// First version it no longer belongs to.
    pub removed_in: Option<i64>,
    /// When the row was made.
    pub created_at: Timestamp,
}

/// A grain to add, payload and all.
#[derive(Debug, Clone)]
pub struct NewGrain {
    /// Whose grain it is.
    pub slice_id: Id,
    /// Its id.
    pub id: Id,
    /// What it is about.
    pub grain_key: String,
    /// By habit the file name.
    pub source: String,
    /// How the payload text encodes the bytes.
    pub encoding: String,
    /// The text as received.
    pub payload: String,
    /// See [`GrainRow::digest`].
    pub digest: Vec<u8>,
    /// The draft or staged version.
    pub added_in: i64,
    /// Now.
    pub created_at: Timestamp,
}

#[derive(Insertable)]
#[diesel(table_name = grains)]
// Without this SQLite gets one statement a row.
#[diesel(treat_none_as_default_value = false)]
struct Insert<'a> {
    slice_id: Id,
    id: Id,
    grain_key: &'a str,
    source: &'a str,
    encoding: &'a str,
    payload: Option<&'a str>,
    payload_len: i64,
    payload_bytes: i64,
    digest: &'a [u8],
    added_in: i64,
    created_at: Timestamp,
}

impl<'a> Insert<'a> {
    fn of(grain: &'a NewGrain) -> Self {
        Self {
            slice_id: grain.slice_id,
            id: grain.id,
            grain_key: &grain.grain_key,
            source: &grain.source,
            encoding: &grain.encoding,
            payload: (grain.payload.len() <= INLINE_BYTES).then_some(grain.payload.as_str()),
            payload_len: length(grain.payload.chars().count()),
            payload_bytes: length(grain.payload.len()),
            digest: &grain.digest,
            added_in: grain.added_in,
            created_at: grain.created_at,
        }
    }
}

pub(super) fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

type ColumnsOfRow = (
    grains::row_id,
    grains::slice_id,
    grains::id,
    grains::grain_key,
    grains::source,
    grains::encoding,
    grains::payload_len,
    grains::payload_bytes,
    grains::digest,
    grains::added_in,
    grains::removed_in,
    grains::created_at,
);

/// All but the payload.
const COLUMNS_OF_ROW: ColumnsOfRow = (
    grains::row_id,
    grains::slice_id,
    grains::id,
    grains::grain_key,
    grains::source,
    grains::encoding,
    grains::payload_len,
    grains::payload_bytes,
    grains::digest,
    grains::added_in,
    grains::removed_in,
    grains::created_at,
);

/// Rows that belong to a version: added up to it, not yet removed in it. `added_in + 0` keeps planners off the index of
/// additions, which would read the whole slice where `grains_order` finds a row or a page.
macro_rules! at {
    ($slice:expr, $version:expr) => {
        grains::table
            .filter(grains::slice_id.eq($slice))
            .filter((grains::added_in + 0_i64).le($version))
            .filter(grains::removed_in.is_null().or(grains::removed_in.gt($version)))
    };
}

/// Adds grains; the caller keeps a batch under 4 MiB or so.
///
/// # Errors
/// [`StoreError::Conflict`] when an id or key is in the slice already.
pub fn insert(conn: &mut Connection, new: &[NewGrain]) -> Result<(), StoreError> {
    for batch in new.chunks(BATCH_ROWS) {
        let rows: Vec<Insert<'_>> = batch.iter().map(Insert::of).collect();
        match &mut *conn {
            // From so many on COPY is quicker than preparing a statement of so many parameters.
            Connection::Postgres(conn) if rows.len() >= COPY_ROWS => {
                diesel::copy_from(grains::table).from_insertable(&rows).execute(conn)?
            }
            conn => on_backend!(conn, |c| diesel::insert_into(grains::table).values(&rows).execute(c))?,
        };
    }
    for grain in new.iter().filter(|grain| grain.payload.len() > INLINE_BYTES) {
        payload::insert_pieces(conn, grain)?;
    }
    let mut added: BTreeMap<Id, i64> = BTreeMap::new();
    for grain in new {
        *added.entry(grain.slice_id).or_default() += 1;
    }
    for (slice_id, count) in added {
        change_draft(conn, slice_id, count)?;
    }
    Ok(())
}

/// Adds a grain whose payload text of `payload_bytes` comes in pieces; returns its row. See [`finish`].
///
/// # Errors
/// [`StoreError::Conflict`] when an id or key is in the slice already.
pub fn insert_unfinished(
    conn: &mut Connection,
    new: &NewGrain,
    payload_bytes: i64,
) -> Result<i64, StoreError> {
    let row = Insert { payload: None, payload_len: 0, payload_bytes, ..Insert::of(new) };
    diesel::insert_into(grains::table).values(&row).execute(conn)?;
    change_draft(conn, new.slice_id, 1)?;
    Ok(grains::table
        .filter(grains::slice_id.eq(new.slice_id))
        .filter(grains::id.eq(new.id))
        .filter(grains::removed_in.is_null())
        .select(grains::row_id)
        .first(conn)?)
}

/// All pieces are there, of a text whose length nobody knew before.
///
/// # Errors
/// What SQL reports.
pub fn complete(
    conn: &mut Connection,
    row_id: i64,
    payload_len: i64,
    payload_bytes: i64,
    digest: &[u8],
) -> Result<(), StoreError> {
    diesel::update(grains::table.find(row_id))
        .set((
            grains::payload_len.eq(payload_len),
            grains::payload_bytes.eq(payload_bytes),
            grains::digest.eq(digest),
        ))
        .execute(conn)?;
    Ok(())
}

/// All pieces are there: the text has so many characters.
///
/// # Errors
/// What SQL reports.
pub fn finish(conn: &mut Connection, row_id: i64, payload_len: i64) -> Result<(), StoreError> {
    diesel::update(grains::table.find(row_id)).set(grains::payload_len.eq(payload_len)).execute(conn)?;
    Ok(())
}

/// Takes back a grain whose pieces never came.
///
/// # Errors
/// What SQL reports.
pub fn discard(conn: &mut Connection, slice_id: Id, row_id: i64) -> Result<(), StoreError> {
    let gone = diesel::delete(grains::table.find(row_id)).execute(conn)?;
    change_draft(conn, slice_id, -length(gone))
}

/// The grain of this id in a version.
///
/// # Errors
/// What SQL reports.
pub fn find(
    conn: &mut Connection,
    slice_id: Id,
    version: i64,
    id: Id,
) -> Result<Option<GrainRow>, StoreError> {
    Ok(at!(slice_id, version).filter(grains::id.eq(id)).select(COLUMNS_OF_ROW).first(conn).optional()?)
}

/// The grain with this key in a version.
///
/// # Errors
/// What SQL reports.
pub fn find_by_key(
    conn: &mut Connection,
    slice_id: Id,
    version: i64,
    key: &str,
) -> Result<Option<GrainRow>, StoreError> {
    let of_key = || grains::table.filter(grains::slice_id.eq(slice_id)).filter(grains::grain_key.eq(key));
    // One index knows the keys of live rows; what was removed since is found by its removal.
    let live: Option<GrainRow> = of_key()
        .filter(grains::removed_in.is_null())
        .filter((grains::added_in + 0_i64).le(version))
        .select(COLUMNS_OF_ROW)
        .first(conn)
        .optional()?;
    if live.is_some() {
        return Ok(live);
    }
    Ok(of_key()
        .filter(grains::removed_in.gt(version))
        .filter((grains::added_in + 0_i64).le(version))
        .select(COLUMNS_OF_ROW)
        .first(conn)
        .optional()?)
}

/// The live rows with this id, in whatever slice.
///
/// # Errors
/// What SQL reports.
pub fn live(conn: &mut Connection, id: Id) -> Result<Vec<GrainRow>, StoreError> {
    Ok(grains::table
        .filter(grains::id.eq(id))
        .filter(grains::removed_in.is_null())
        .order(grains::slice_id)
        .select(COLUMNS_OF_ROW)
        .load(conn)?)
}

/// Every kept row with this id, whatever its slice and version: live ones first, then the newest.
///
/// # Errors
/// What SQL reports.
pub fn kept(conn: &mut Connection, id: Id) -> Result<Vec<GrainRow>, StoreError> {
    use super::schema::slices;
    let mut rows = live(conn, id)?;
    // By slice and id: removed rows have no index by id alone, and there are few slices.
    let removed: Vec<GrainRow> = grains::table
        .filter(grains::slice_id.eq_any(slices::table.select(slices::id)))
        .filter(grains::id.eq(id))
        .filter(grains::removed_in.is_not_null())
        .order(grains::row_id.desc())
        .select(COLUMNS_OF_ROW)
        .load(conn)?;
    rows.extend(removed);
    Ok(rows)
}

/// The live rows with these keys.
///
/// # Errors
/// What SQL reports.
pub fn live_by_keys(conn: &mut Connection, slice_id: Id, keys: &[&str]) -> Result<Vec<GrainRow>, StoreError> {
    let mut found = Vec::with_capacity(keys.len());
    for batch in keys.chunks(BATCH_ROWS) {
        let batch: Vec<&str> = batch.to_vec();
        found.extend(on_backend!(conn, |c| grains::table
            .filter(grains::slice_id.eq(slice_id))
            .filter(grains::removed_in.is_null())
            .filter(grains::grain_key.eq_any(batch))
            .select(COLUMNS_OF_ROW)
            .load::<GrainRow>(c))?);
    }
    Ok(found)
}

/// Rows of a version in id order, behind `after`; see [`payload::of_rows`].
///
/// # Errors
/// What SQL reports.
pub fn page(
    conn: &mut Connection,
    slice_id: Id,
    version: i64,
    after: Option<Id>,
    limit: i64,
) -> Result<Vec<GrainRow>, StoreError> {
    let mut rows = at!(slice_id, version).select(COLUMNS_OF_ROW).into_boxed();
    if let Some(after) = after {
        rows = rows.filter(grains::id.gt(after));
    }
    Ok(rows.order(grains::id).limit(limit).load(conn)?)
}

/// (id, digest) of a version in id order, behind `after`.
///
/// # Errors
/// What SQL reports.
pub fn index_page(
    conn: &mut Connection,
    slice_id: Id,
    version: i64,
    after: Option<Id>,
    limit: i64,
) -> Result<Vec<(Id, Vec<u8>)>, StoreError> {
    let mut rows = at!(slice_id, version).select((grains::id, grains::digest)).into_boxed();
    if let Some(after) = after {
        rows = rows.filter(grains::id.gt(after));
    }
    Ok(rows.order(grains::id).limit(limit).load(conn)?)
}

/// The rows among `ids` that belong to a version.
///
/// # Errors
/// What SQL reports.
pub fn among(
    conn: &mut Connection,
    slice_id: Id,
    version: i64,
    ids: &[Id],
) -> Result<Vec<GrainRow>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for batch in ids.chunks(BATCH_ROWS) {
        found.extend(
            at!(slice_id, version)
                .filter(grains::id.eq_any(batch.to_vec()))
                .select(COLUMNS_OF_ROW)
                .load::<GrainRow>(conn)?,
        );
    }
    Ok(found)
}

/// Added after `from` and still there in `to`, by (version, id), behind `after`.
///
/// # Errors
/// What SQL reports.
pub fn added_between(
    conn: &mut Connection,
    slice_id: Id,
    from: i64,
    to: i64,
    after: Option<(i64, Id)>,
    limit: i64,
) -> Result<Vec<GrainRow>, StoreError> {
    let mut page: Vec<GrainRow> = Vec::new();
    let mut behind = from;
    // The rest of the cursor's version, then the versions behind it: two seeks in one index instead of a scan.
    if let Some((version, id)) = after {
        behind = version;
        page = at!(slice_id, to)
            .filter(grains::added_in.eq(version))
            .filter(grains::id.gt(id))
            .order(grains::id)
            .limit(limit)
            .select(COLUMNS_OF_ROW)
            .load(conn)?;
    }
    let left = limit.saturating_sub(length(page.len()));
    if left > 0 {
        let rest: Vec<GrainRow> = at!(slice_id, to)
            .filter(grains::added_in.gt(behind))
            .order((grains::added_in, grains::id))
            .limit(left)
            .select(COLUMNS_OF_ROW)
            .load(conn)?;
        page.extend(rest);
    }
    Ok(page)
}

/// What was there in `from` and was removed up to `to`, by (version of removal, id), behind `after`.
///
/// # Errors
/// What SQL reports.
pub fn removed_between(
    conn: &mut Connection,
    slice_id: Id,
    from: i64,
    to: i64,
    after: Option<(i64, Id)>,
    limit: i64,
) -> Result<Vec<GrainRow>, StoreError> {
    let was_there = || {
        grains::table
            .filter(grains::slice_id.eq(slice_id))
            .filter((grains::added_in + 0_i64).le(from))
            .select(COLUMNS_OF_ROW)
    };
    let mut page: Vec<GrainRow> = Vec::new();
    let mut behind = from;
    if let Some((version, id)) = after {
        behind = version;
        page = was_there()
            .filter(grains::removed_in.eq(version))
            .filter(grains::id.gt(id))
            .order(grains::id)
            .limit(limit)
            .load(conn)?;
    }
    let left = limit.saturating_sub(length(page.len()));
    if left > 0 {
        let rest: Vec<GrainRow> = was_there()
            .filter(grains::removed_in.gt(behind))
            .filter(grains::removed_in.le(to))
            .order((grains::removed_in, grains::id))
            .limit(left)
            .load(conn)?;
        page.extend(rest);
    }
    Ok(page)
}

/// Marks grains of the published version as removed in `version`; returns how many were marked.
///
/// # Errors
/// What SQL reports.
pub fn remove(conn: &mut Connection, slice_id: Id, version: i64, ids: &[Id]) -> Result<usize, StoreError> {
    let mut removed = 0;
    for batch in ids.chunks(BATCH_ROWS) {
        // `removed_in + 0` keeps planners off the index of live keys, which would read all of the slice.
        let live: Vec<(i64, i64)> = grains::table
            .filter(grains::slice_id.eq(slice_id))
            .filter(grains::id.eq_any(batch.to_vec()))
            .filter((grains::removed_in + 0_i64).is_null())
            .select((grains::row_id, grains::added_in))
            .load(conn)?;
        // Added and removed within one draft: it never was.
        let (new, old): (Vec<_>, Vec<_>) =
            live.into_iter().partition(|(_row, added_in)| *added_in == version);
        let rows = |of: Vec<(i64, i64)>| of.into_iter().map(|(row, _added_in)| row).collect::<Vec<i64>>();
        removed += diesel::delete(grains::table.filter(grains::row_id.eq_any(rows(new)))).execute(conn)?;
        removed += diesel::update(grains::table.filter(grains::row_id.eq_any(rows(old))))
            .set(grains::removed_in.eq(version))
            .execute(conn)?;
    }
    change_draft(conn, slice_id, -length(removed))?;
    Ok(removed)
}

/// Undoes the removal of a grain in the draft `version`, if its content is `digest`; `false` when there is none.
///
/// # Errors
/// [`StoreError::Conflict`] when its key is taken again.
pub fn restore(
    conn: &mut Connection,
    slice_id: Id,
    version: i64,
    id: Id,
    digest: &[u8],
) -> Result<bool, StoreError> {
    let restored = diesel::update(
        grains::table
            .filter(grains::slice_id.eq(slice_id))
            .filter(grains::id.eq(id))
            .filter(grains::removed_in.eq(version))
            .filter(grains::digest.eq(digest)),
    )
    .set(grains::removed_in.eq(None::<i64>))
    .execute(conn)?;
    change_draft(conn, slice_id, length(restored))?;
    Ok(restored > 0)
}

/// Undoes what was staged for `version`, at most `limit` rows a call; returns how many it touched (0: done).
///
/// # Errors
/// What SQL reports.
pub fn undo(conn: &mut Connection, slice_id: Id, version: i64, limit: i64) -> Result<usize, StoreError> {
    let of_slice = || grains::table.filter(grains::slice_id.eq(slice_id));
    // What was added goes first: it may hold the keys of what comes back.
    let added: Vec<i64> =
        of_slice().filter(grains::added_in.eq(version)).select(grains::row_id).limit(limit).load(conn)?;
    let mut touched = 0;
    for batch in added.chunks(BATCH_ROWS) {
        touched +=
            diesel::delete(grains::table.filter(grains::row_id.eq_any(batch.to_vec()))).execute(conn)?;
    }
    if touched > 0 {
        change_draft(conn, slice_id, -length(touched))?;
        return Ok(touched);
    }
    let removed: Vec<i64> =
        of_slice().filter(grains::removed_in.eq(version)).select(grains::row_id).limit(limit).load(conn)?;
    for batch in removed.chunks(BATCH_ROWS) {
        touched += diesel::update(grains::table.filter(grains::row_id.eq_any(batch.to_vec())))
            .set(grains::removed_in.eq(None::<i64>))
            .execute(conn)?;
    }
    change_draft(conn, slice_id, length(touched))?;
    Ok(touched)
}

/// Removes rows, given with the bytes of their payload texts: the first of them up to about `bytes`, in all. Of a very long
/// payload some pieces go, and the row at a later call. Nobody reads these rows any more.
///
/// # Errors
/// What SQL reports.
pub(super) fn erase(conn: &mut Connection, rows: Vec<(i64, i64)>, bytes: i64) -> Result<(), StoreError> {
    if let Some((row_id, _size)) = rows.first().filter(|(_row, size)| *size > bytes)
        && payload::remove_pieces(conn, *row_id, bytes)?
    {
        return Ok(());
    }
    let mut total = 0_i64;
    let some: Vec<i64> = rows
        .into_iter()
        .enumerate()
        .take_while(|(place, (_row, size))| {
            total = total.saturating_add((*size).max(1));
            *place == 0 || total <= bytes
        })
        .map(|(_place, (row, _size))| row)
        .collect();
    for batch in some.chunks(BATCH_ROWS) {
        diesel::delete(grains::table.filter(grains::row_id.eq_any(batch.to_vec()))).execute(conn)?;
    }
    Ok(())
}

/// What the list of all grains offers: there may be millions, so only what an index answers.
pub const COLUMNS: Columns = Columns {
    filter: &[ID, SLICE_ID, GRAIN_KEY.only_with("slice_id")],
    sort: &[SLICE_ID],
    by_default: SLICE_ID.ascending(),
    unique: ID,
    includes: &[],
    tagged: false,
    whole: false,
};

/// What the list of one slice's grains offers.
pub const COLUMNS_OF_SLICE: Columns = Columns {
    filter: &[ID, GRAIN_KEY],
    sort: &[ID],
    by_default: ID.ascending(),
    unique: ID,
    includes: &[],
    tagged: false,
    whole: false,
};

const ID: Column = Column::new("id", Kind::Id, "grains.id");
const SLICE_ID: Column = Column::new("slice_id", Kind::Id, "grains.slice_id");
const GRAIN_KEY: Column = Column::new("grain_key", Kind::Folded, "grains.grain_key");

/// What a row has in a column of [`COLUMNS`] and [`COLUMNS_OF_SLICE`].
pub fn position(row: &GrainRow, column: &str) -> Value {
    Value::Id(if column == SLICE_ID.name { row.slice_id } else { row.id })
}

/// Which rows of a version, in id order.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// From the end.
    pub descending: bool,
    /// Behind this id.
    pub behind: Option<Id>,
    /// So many rows further on.
    pub offset: i64,
    /// At most so many.
    pub limit: i64,
}

/// Some rows of a version. Two steps: which rows, from the index alone, then the rows.
///
/// # Errors
/// What SQL reports.
pub fn list_at(
    conn: &mut Connection,
    slice_id: Id,
    version: i64,
    stretch: Stretch,
) -> Result<Vec<GrainRow>, StoreError> {
    let Stretch { descending, behind, offset, limit } = stretch;
    let mut rows = at!(slice_id, version).select(grains::row_id).into_boxed();
    rows = match (behind, descending) {
        (Some(id), false) => rows.filter(grains::id.gt(id)),
        (Some(id), true) => rows.filter(grains::id.lt(id)),
        (None, _) => rows,
    };
    rows = if descending { rows.order(grains::id.desc()) } else { rows.order(grains::id.asc()) };
    let wanted: Vec<i64> = rows.offset(offset).limit(limit).load(conn)?;
    let mut page: Vec<GrainRow> = Vec::with_capacity(wanted.len());
    for batch in wanted.chunks(BATCH_ROWS) {
        page.extend(
            grains::table
                .filter(grains::row_id.eq_any(batch.to_vec()))
                .select(COLUMNS_OF_ROW)
                .load::<GrainRow>(conn)?,
        );
    }
    page.sort_unstable_by_key(|row| row.id);
    if descending {
        page.reverse();
    }
    Ok(page)
}
