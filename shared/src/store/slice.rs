//! Slices: the unit of subscription, locking and syncing.

use diesel::dsl::count_star;
use diesel::prelude::*;

use super::count::{self, Counted};
use super::list::{Column, Columns, Kind, Selection, Value, all_of, page_of};
use super::schema::{grains, slice_tags, slice_versions, slices, subscriptions, tags};
use super::{Connection, StoreError, grain};
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
    /// Grains that the next version has more than the published one, as it stands.
    pub draft_change: i64,
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

/// What lists of slices offer.
pub const COLUMNS: Columns = Columns {
    filter: LISTED,
    sort: LISTED,
    by_default: NAME.ascending(),
    unique: ID,
    includes: &[],
    tagged: true,
    // The reference's command line never asks for a second page.
    whole: true,
};

const ID: Column = Column::new("id", Kind::Id, "slices.id");
const NAME: Column = Column::new("name", Kind::Folded, "slices.name_key");
const LISTED: &[Column] = &[
    ID,
    NAME,
    Column::new("slice_type", Kind::Text, "slices.slice_type"),
    Column::new("content_hash", Kind::Text, "slice_versions.content_hash"),
    Column::new("content_count", Kind::Number, "slice_versions.grain_count"),
    Column::new(
        "content_date",
        Kind::Time,
        "coalesce(slice_versions.content_date, '0001-01-01T00:00:00.000000Z')",
    ),
    Column::new("sync_status", Kind::Text, "slices.sync_status"),
    Column::new(
        "last_sync_attempt",
        Kind::Time,
        "coalesce(slices.last_sync_attempt, '0001-01-01T00:00:00.000000Z')",
    ),
    Column::new(
        "last_good_sync",
        Kind::Time,
        "coalesce(slices.last_good_sync, '0001-01-01T00:00:00.000000Z')",
    ),
    Column::new("created_at", Kind::Time, "slices.created_at"),
    Column::new("updated_at", Kind::Time, "slices.updated_at"),
];

/// What a row has in a column of [`COLUMNS`].
pub fn position((row, published): &SliceView, column: &str) -> Value {
    match column {
        "name" => Value::Text(row.name_key.clone()),
        "slice_type" => Value::Text(row.slice_type.clone()),
        "content_hash" => Value::Text(published.content_hash.clone()),
        "content_count" => Value::Number(published.grain_count),
        "content_date" => Value::Time(published.content_date.unwrap_or_default()),
        "sync_status" => Value::Text(row.sync_status.clone()),
        "last_sync_attempt" => Value::Time(row.last_sync_attempt.unwrap_or_default()),
        "last_good_sync" => Value::Time(row.last_good_sync.unwrap_or_default()),
        "created_at" => Value::Time(row.created_at),
        "updated_at" => Value::Time(row.updated_at),
        _ => Value::Id(row.id),
    }
}

/// A page of slices (only those with an active subscription of `subscriber`, if given, and with these tags), and how
/// many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(
    conn: &mut Connection,
    subscriber: Option<Id>,
    tagged: &Tagged,
    selection: &Selection,
) -> Result<(Vec<SliceView>, i64), StoreError> {
    macro_rules! query {
        ($select:expr) => {{
            let mut query = with_published!().select($select).into_boxed();
            if let Some(company) = subscriber {
                query = query.filter(slices::id.eq_any(subscribed_by(company)));
            }
            if !tagged.any.is_empty() {
                query = query.filter(slices::id.eq_any(with_tag(tagged.any.clone())));
            }
            for name in &tagged.all {
                query = query.filter(slices::id.eq_any(with_tag(vec![name.clone()])));
            }
            query
        }};
    }
    let page = page_of!(query!((slices::all_columns, PUBLISHED)), selection).load(conn)?;
    let is_all = subscriber.is_none() && tagged.any.is_empty() && tagged.all.is_empty();
    let total = if is_all && selection.filter.is_empty() {
        count::of(conn, Counted::Slices)?
    } else {
        all_of!(query!(count_star()), selection).get_result(conn)?
    };
    Ok((page, total))
}

/// Every slice in id order (only those with an active subscription of `subscriber`, if given) with the number of
/// grains in its published version.
///
/// # Errors
/// What SQL reports.
pub fn sizes(conn: &mut Connection, subscriber: Option<Id>) -> Result<Vec<(SliceRow, i64)>, StoreError> {
    let mut query = with_published!().select((slices::all_columns, slice_versions::grain_count)).into_boxed();
    if let Some(company) = subscriber {
        query = query.filter(slices::id.eq_any(subscribed_by(company)));
    }
    Ok(query.order(slices::id).load(conn)?)
}

/// Ids of slices to which a company actively subscribes.
#[diesel::dsl::auto_type]
fn subscribed_by(company: Id) -> _ {
    subscriptions::table
        .filter(subscriptions::company_id.eq(company))
        .filter(subscriptions::active.eq(true))
        .filter(subscriptions::offered.eq(true))
        .select(subscriptions::slice_id)
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
        .set((
            slices::current_version.eq(version),
            slices::draft_change.eq(0_i64),
            slices::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(switched == 1)
}

/// Notes that the next version has `by` grains more.
pub(super) fn change_draft(conn: &mut Connection, id: Id, by: i64) -> Result<(), StoreError> {
    if by != 0 {
        diesel::update(slices::table.find(id))
            .set(slices::draft_change.eq(slices::draft_change + by))
            .execute(conn)?;
    }
    Ok(())
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

/// Ids of slices that have one of these tags.
#[diesel::dsl::auto_type]
fn with_tag(names: Vec<String>) -> _ {
    slice_tags::table.inner_join(tags::table).filter(tags::name.eq_any(names)).select(slice_tags::slice_id)
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
    grain::erase(conn, found, bytes)?;
    Ok(false)
}
