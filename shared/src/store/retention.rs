//! Versions that go: which are kept, and the removal of what only the others had.

use diesel::dsl::{max, min};
use diesel::prelude::*;

use super::schema::{grains, slice_metadata, slice_versions, stages, version_leases};
use super::{Connection, StoreError, grain};
use crate::wire::{Id, Timestamp};

/// What keeps a version.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// So many of the newest, at least.
    pub newest: i64,
    /// Those made since then, [`young_most`](Self::young_most) at most.
    pub young_since: Timestamp,
    /// See [`young_since`](Self::young_since).
    pub young_most: i64,
    /// Those that were the published one since then: somebody may have begun to read them.
    pub current_since: Timestamp,
}

/// Slices with more versions than so many.
///
/// # Errors
/// What SQL reports.
pub fn crowded(conn: &mut Connection, newest: i64) -> Result<Vec<Id>, StoreError> {
    use diesel::dsl::count_star;
    Ok(slice_versions::table
        .group_by(slice_versions::slice_id)
        .having(count_star().gt(newest))
        .select(slice_versions::slice_id)
        .load(conn)?)
}

/// All slices that have versions.
///
/// # Errors
/// What SQL reports.
pub fn all(conn: &mut Connection) -> Result<Vec<Id>, StoreError> {
    Ok(slice_versions::table.select(slice_versions::slice_id).distinct().load(conn)?)
}

/// Forgets the versions of a slice, whose row is held, that nothing keeps; returns how many. From then on nobody reads
/// them, and [`collect`] removes what only they had.
///
/// # Errors
/// What SQL reports.
pub fn forget_versions(
    conn: &mut Connection,
    slice_id: Id,
    kept: &Kept,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let of_slice = || slice_versions::table.filter(slice_versions::slice_id.eq(slice_id));
    let nth_newest = |conn: &mut Connection, nth: i64| {
        of_slice()
            .order(slice_versions::version.desc())
            .offset(nth.saturating_sub(1).max(0))
            .select(slice_versions::version)
            .first::<i64>(conn)
            .optional()
    };
    let Some(newest) = nth_newest(conn, kept.newest)? else { return Ok(0) };
    let young: Option<i64> = of_slice()
        .filter(slice_versions::created_at.ge(kept.young_since))
        .select(min(slice_versions::version))
        .first(conn)?;
    let young = young.max(nth_newest(conn, kept.young_most)?).filter(|_first| young.is_some());
    // The last one before then was the published one until the next was made.
    let current: Option<i64> = of_slice()
        .filter(slice_versions::created_at.le(kept.current_since))
        .select(max(slice_versions::version))
        .first(conn)?;
    let leased: Option<i64> = version_leases::table
        .filter(version_leases::slice_id.eq(slice_id))
        .filter(version_leases::expires_at.gt(now))
        .select(min(version_leases::version))
        .first(conn)?;
    // A rollback under way reads the version that is to come back.
    let coming_back: Option<i64> = stages::table
        .find(slice_id)
        .filter(stages::source_epoch.is_null())
        .select(stages::source_version)
        .first(conn)
        .optional()?;
    let floor = [young, leased, coming_back].into_iter().flatten().fold(newest, i64::min);
    // Nothing is older than then: all may be read.
    let Some(floor) = current.map(|current| current.min(floor)) else { return Ok(0) };
    diesel::delete(
        version_leases::table
            .filter(version_leases::slice_id.eq(slice_id))
            .filter(version_leases::version.lt(floor)),
    )
    .execute(conn)?;
    Ok(diesel::delete(of_slice().filter(slice_versions::version.lt(floor))).execute(conn)?)
}

/// Removes rows that no version of the slice has any more, `rows` and about `bytes` of payload at most; `true` when none
/// is left.
///
/// # Errors
/// What SQL reports.
pub fn collect(conn: &mut Connection, slice_id: Id, rows: i64, bytes: i64) -> Result<bool, StoreError> {
    let oldest: Option<i64> = slice_versions::table
        .filter(slice_versions::slice_id.eq(slice_id))
        .select(min(slice_versions::version))
        .first(conn)?;
    // A slice that is being removed has none, and is removed by others.
    let Some(oldest) = oldest else { return Ok(true) };
    let found: Vec<(i64, i64)> = grains::table
        .filter(grains::slice_id.eq(slice_id))
        .filter(grains::removed_in.le(oldest))
        .select((grains::row_id, grains::payload_bytes))
        .limit(rows)
        .load(conn)?;
    if !found.is_empty() {
        grain::erase(conn, found, bytes)?;
        return Ok(false);
    }
    diesel::delete(
        slice_metadata::table
            .filter(slice_metadata::slice_id.eq(slice_id))
            .filter(slice_metadata::removed_in.le(oldest)),
    )
    .execute(conn)?;
    Ok(true)
}

/// Keeps a version, whose slice's row is held, until `until`, but never for longer than since `longest`; `false` when the version
/// is gone.
///
/// # Errors
/// What SQL reports.
pub fn lease(
    conn: &mut Connection,
    slice_id: Id,
    version: i64,
    (now, until): (Timestamp, Timestamp),
    longest: Timestamp,
) -> Result<bool, StoreError> {
    if !super::version::exists(conn, slice_id, version)? {
        return Ok(false);
    }
    // A lease that ended long ago is somebody else's.
    diesel::delete(
        version_leases::table
            .filter(version_leases::slice_id.eq(slice_id))
            .filter(version_leases::expires_at.lt(longest)),
    )
    .execute(conn)?;
    let renewed = diesel::update(
        version_leases::table.find((slice_id, version)).filter(version_leases::since.gt(longest)),
    )
    .set(version_leases::expires_at.eq(until))
    .execute(conn)?;
    if renewed == 0 && lease_of(conn, slice_id, version)?.is_none() {
        diesel::insert_into(version_leases::table)
            .values((
                version_leases::slice_id.eq(slice_id),
                version_leases::version.eq(version),
                version_leases::since.eq(now),
                version_leases::expires_at.eq(until),
            ))
            .execute(conn)?;
    }
    Ok(true)
}

/// Until when a version is leased.
///
/// # Errors
/// What SQL reports.
pub fn lease_of(conn: &mut Connection, slice_id: Id, version: i64) -> Result<Option<Timestamp>, StoreError> {
    Ok(version_leases::table
        .find((slice_id, version))
        .select(version_leases::expires_at)
        .first(conn)
        .optional()?)
}
