//! Slices: the unit of subscription, locking and syncing.

use diesel::prelude::*;

use super::grain::BATCH_ROWS;
use super::schema::{grains, slice_tags, slice_versions, slices, subscriptions, tags};
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `slices`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = slices)]
pub struct SliceRow {
    /// The same on primary and secondary.
    pub id: Id,
    /// As written.
    pub name: String,
    /// In lower case: unique ignoring case.
    pub name_key: String,
    /// One of the reference's eight.
    pub slice_type: String,
    /// On a secondary: the primary it comes from.
    pub primary_id: Option<Id>,
    /// New when the slice is made anew, so that version numbers of an earlier life mean nothing.
    pub epoch: Id,
    /// The published version; the draft is the next one.
    pub current_version: i64,
    /// `false`: the publisher is editing.
    pub allow_sync: bool,
    /// User name of who locked it.
    pub lock_owner: Option<String>,
    /// When that lock ends by itself.
    pub lock_expires_at: Option<Timestamp>,
    /// `none`, `updating`, `success` or `error`.
    pub sync_status: String,
    /// On a secondary: start of the last sync that had work to do.
    pub last_sync_attempt: Option<Timestamp>,
    /// On a secondary: end of the last one that succeeded.
    pub last_good_sync: Option<Timestamp>,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What a list of slices shows of the published version.
#[derive(Debug, Clone, Queryable)]
pub struct Published {
    /// Its number.
    pub version: i64,
    /// Grains in it.
    pub grain_count: i64,
    /// Bytes of their payload texts.
    pub payload_bytes: i64,
    /// The reference's SHA-1 over ids and metadata.
    pub content_hash: String,
    /// The same over ids only.
    pub ids_hash: String,
    /// SHA-256 of the set hash.
    pub digest: Vec<u8>,
    /// `None`: never published.
    pub content_date: Option<Timestamp>,
}

/// A slice with its published version.
pub type SliceView = (SliceRow, Published);

type PublishedColumns = (
    slice_versions::version,
    slice_versions::grain_count,
    slice_versions::payload_bytes,
    slice_versions::content_hash,
    slice_versions::ids_hash,
    slice_versions::digest,
    slice_versions::content_date,
);

const PUBLISHED: PublishedColumns = (
    slice_versions::version,
    slice_versions::grain_count,
    slice_versions::payload_bytes,
    slice_versions::content_hash,
    slice_versions::ids_hash,
    slice_versions::digest,
    slice_versions::content_date,
);

/// The published version of each slice: one definition of "current".
macro_rules! with_published {
    () => {
        slices::table.inner_join(slice_versions::table.on(
            slice_versions::slice_id.eq(slices::id).and(slice_versions::version.eq(slices::current_version)),
        ))
    };
}

/// `current_version` of a slice that is being deleted: no version has it, so nobody reads anything of the slice.
const RETIRED: i64 = -1;

/// The slices that there are: those that are being deleted are none.
macro_rules! living {
    () => {
        slices::table.filter(slices::current_version.gt(RETIRED))
    };
}

/// Adds a slice. Its version must be added in the same transaction (see [`super::version::insert`]).
///
/// # Errors
/// [`StoreError::Conflict`] when id or name exist.
pub fn insert(conn: &mut Connection, row: &SliceRow) -> Result<(), StoreError> {
    diesel::insert_into(slices::table).values(row).execute(conn)?;
    Ok(())
}

/// The slice with this id.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, id: Id) -> Result<Option<SliceRow>, StoreError> {
    Ok(living!().filter(slices::id.eq(id)).first(conn).optional()?)
}

/// The slice with this id and its published version.
///
/// # Errors
/// What SQL reports.
pub fn view(conn: &mut Connection, id: Id) -> Result<Option<SliceView>, StoreError> {
    Ok(with_published!()
        .filter(slices::id.eq(id))
        .select((slices::all_columns, PUBLISHED))
        .first(conn)
        .optional()?)
}

/// The slice of this name, ignoring case.
///
/// # Errors
/// What SQL reports.
pub fn find_by_name(conn: &mut Connection, name: &str) -> Result<Option<SliceRow>, StoreError> {
    Ok(living!().filter(slices::name_key.eq(super::company::name_key(name))).first(conn).optional()?)
}

/// Slices in the order of their names (only those with an active subscription of `subscriber`, if given), and how
/// many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(
    conn: &mut Connection,
    subscriber: Option<Id>,
    offset: i64,
    limit: i64,
) -> Result<(Vec<SliceView>, i64), StoreError> {
    let mut rows = with_published!().select((slices::all_columns, PUBLISHED)).into_boxed();
    let mut all = living!().count().into_boxed();
    if let Some(company) = subscriber {
        let subscribed = || {
            subscriptions::table
                .filter(subscriptions::company_id.eq(company))
                .filter(subscriptions::active.eq(true))
                .filter(subscriptions::offered.eq(true))
                .select(subscriptions::slice_id)
        };
        rows = rows.filter(slices::id.eq_any(subscribed()));
        all = all.filter(slices::id.eq_any(subscribed()));
    }
    let page = rows.order((slices::name_key, slices::id)).offset(offset).limit(limit).load(conn)?;
    Ok((page, all.get_result(conn)?))
}

/// Takes the row for writing until the transaction ends: on PostgreSQL two editors of one draft queue here.
///
/// # Errors
/// What SQL reports.
pub fn find_for_update(conn: &mut Connection, id: Id) -> Result<Option<SliceRow>, StoreError> {
    match conn {
        // BEGIN IMMEDIATE has locked out every other writer.
        Connection::Sqlite(conn) => Ok(living!().filter(slices::id.eq(id)).first(conn).optional()?),
        Connection::Postgres(conn) => {
            Ok(living!().filter(slices::id.eq(id)).for_update().first(conn).optional()?)
        }
    }
}

/// Opens or closes the slice for sync, with or without a lock's owner and end.
///
/// # Errors
/// What SQL reports.
pub fn set_lock(
    conn: &mut Connection,
    id: Id,
    allow_sync: bool,
    lock: Option<(&str, Timestamp)>,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(slices::table.find(id))
        .set((
            slices::allow_sync.eq(allow_sync),
            slices::lock_owner.eq(lock.map(|(owner, _until)| owner)),
            slices::lock_expires_at.eq(lock.map(|(_owner, until)| until)),
            slices::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Makes `version` the published one, if `from` still is: the switch.
///
/// # Errors
/// What SQL reports.
pub fn switch(
    conn: &mut Connection,
    id: Id,
    from: i64,
    version: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let switched = diesel::update(slices::table.find(id).filter(slices::current_version.eq(from)))
        .set((slices::current_version.eq(version), slices::updated_at.eq(now)))
        .execute(conn)?;
    Ok(switched == 1)
}

/// Notes the outcome of a sync attempt on a secondary.
///
/// # Errors
/// What SQL reports.
pub fn set_sync_status(
    conn: &mut Connection,
    id: Id,
    status: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let target = slices::table.find(id);
    match status {
        "updating" => diesel::update(target)
            .set((
                slices::sync_status.eq(status),
                slices::last_sync_attempt.eq(now),
                slices::updated_at.eq(now),
            ))
            .execute(conn)?,
        "success" => diesel::update(target)
            .set((slices::sync_status.eq(status), slices::last_good_sync.eq(now), slices::updated_at.eq(now)))
            .execute(conn)?,
        _ => diesel::update(target)
            .set((slices::sync_status.eq(status), slices::updated_at.eq(now)))
            .execute(conn)?,
    };
    Ok(())
}

/// Writes name and type, as the primary now says.
///
/// # Errors
/// [`StoreError::Conflict`] when the name exists.
pub fn rename(
    conn: &mut Connection,
    id: Id,
    name: &str,
    slice_type: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(slices::table.find(id))
        .set((
            slices::name.eq(name),
            slices::name_key.eq(super::company::name_key(name)),
            slices::slice_type.eq(slice_type),
            slices::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Which tags the slices of a list must have.
#[derive(Debug, Clone, Default)]
pub struct Tagged {
    /// At least one of these, if any is named.
    pub any: Vec<String>,
    /// Every one of these.
    pub all: Vec<String>,
}

/// Slices with certain tags, in the order of their names, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn list_tagged(
    conn: &mut Connection,
    tagged: &Tagged,
    offset: i64,
    limit: i64,
) -> Result<(Vec<SliceView>, i64), StoreError> {
    let with = |names: Vec<String>| {
        slice_tags::table
            .inner_join(tags::table)
            .filter(tags::name.eq_any(names))
            .select(slice_tags::slice_id)
    };
    let mut rows = with_published!().select((slices::all_columns, PUBLISHED)).into_boxed();
    let mut all = living!().count().into_boxed();
    if !tagged.any.is_empty() {
        rows = rows.filter(slices::id.eq_any(with(tagged.any.clone())));
        all = all.filter(slices::id.eq_any(with(tagged.any.clone())));
    }
    for name in &tagged.all {
        rows = rows.filter(slices::id.eq_any(with(vec![name.clone()])));
        all = all.filter(slices::id.eq_any(with(vec![name.clone()])));
    }
    let page = rows.order((slices::name_key, slices::id)).offset(offset).limit(limit).load(conn)?;
    Ok((page, all.get_result(conn)?))
}

/// Slices that have a tag, in the order of their names.
///
/// # Errors
/// What SQL reports.
pub fn of_tag(conn: &mut Connection, tag_id: i64) -> Result<Vec<SliceView>, StoreError> {
    let with_tag = slice_tags::table.filter(slice_tags::tag_id.eq(tag_id)).select(slice_tags::slice_id);
    Ok(with_published!()
        .filter(slices::id.eq_any(with_tag))
        .select((slices::all_columns, PUBLISHED))
        .order((slices::name_key, slices::id))
        .load(conn)?)
}

/// Takes a slice, whose row is held, out of everybody's sight and frees its name. [`purge`] removes what it holds.
///
/// # Errors
/// What SQL reports.
pub fn retire(conn: &mut Connection, id: Id, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(slices::table.find(id))
        .set((
            slices::current_version.eq(RETIRED),
            // No name ends with a line end.
            slices::name_key.eq(format!("deleted {id}\n")),
            slices::allow_sync.eq(false),
            slices::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Slices that are retired and not gone yet.
///
/// # Errors
/// What SQL reports.
pub fn retired(conn: &mut Connection) -> Result<Vec<Id>, StoreError> {
    Ok(slices::table
        .filter(slices::current_version.eq(RETIRED))
        .order(slices::id)
        .select(slices::id)
        .load(conn)?)
}

/// Removes some of the grains of a retired slice, `rows` and about `bytes` of payload at most, and with the last of them
/// the slice; `true` when it is gone.
///
/// # Errors
/// What SQL reports.
pub fn purge(conn: &mut Connection, id: Id, rows: i64, bytes: i64) -> Result<bool, StoreError> {
    // Somebody else may have removed the last of it, and a new slice may have its id.
    let retired = slices::table.find(id).filter(slices::current_version.eq(RETIRED)).select(slices::id);
    let held: Option<Id> = match conn {
        Connection::Sqlite(conn) => retired.first(conn).optional()?,
        Connection::Postgres(conn) => retired.for_update().first(conn).optional()?,
    };
    if held.is_none() {
        return Ok(true);
    }
    let found: Vec<(i64, i64)> = grains::table
        .filter(grains::slice_id.eq(id))
        .select((grains::row_id, grains::payload_bytes))
        .limit(rows)
        .load(conn)?;
    if found.is_empty() {
        // With its versions and metadata.
        diesel::delete(slices::table.find(id)).execute(conn)?;
        return Ok(true);
    }
    let mut total = 0_i64;
    let some: Vec<i64> = found
        .into_iter()
        .take_while(|(_row, size)| {
            let is_first = total == 0;
            total = total.saturating_add((*size).max(1));
            is_first || total <= bytes
        })
        .map(|(row, _size)| row)
        .collect();
    for batch in some.chunks(BATCH_ROWS) {
        diesel::delete(grains::table.filter(grains::row_id.eq_any(batch.to_vec()))).execute(conn)?;
    }
    Ok(false)
}
