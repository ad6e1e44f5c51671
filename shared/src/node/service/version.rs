//! What a version of a slice amounts to: counts and hashes, from the version before it and what changed since.

use crate::crypto::content_hash::ContentHash;
use crate::crypto::set_hash::SetHash;
use crate::store::slice::SliceRow;
use crate::store::version::VersionRow;
use crate::store::{self, Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// Rows read at a time.
const PAGE: i64 = 5_000;

/// Counts and set hash of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Grains.
    pub grain_count: i64,
    /// Bytes of their payload texts.
    pub payload_bytes: i64,
    /// `LtHash16` over grains and metadata.
    pub set_hash: SetHash,
    /// Whether it differs from the version before.
    pub changed: bool,
}

/// Version 0 of a new slice: empty and never published.
pub fn empty(slice_id: Id, now: Timestamp) -> VersionRow {
    let set_hash = SetHash::default();
    VersionRow {
        slice_id,
        version: 0,
        grain_count: 0,
        payload_bytes: 0,
        content_hash: String::new(),
        ids_hash: String::new(),
        digest: set_hash.digest().to_vec(),
        set_hash: set_hash.to_bytes(),
        content_date: None,
        source_epoch: None,
        source_version: None,
        created_at: now,
    }
}

/// Measures `base.version + 1` as it stands in the tables, in O(changes).
///
/// # Errors
/// What the store reports; [`StoreError::Internal`] when the stored set hash is damaged.
pub fn measure(conn: &mut Connection, base: &VersionRow) -> Result<Measured, StoreError> {
    let (slice_id, from, to) = (base.slice_id, base.version, base.version + 1);
    let mut measured = Measured {
        grain_count: base.grain_count,
        payload_bytes: base.payload_bytes,
        set_hash: SetHash::from_bytes(&base.set_hash)
            .ok_or_else(|| StoreError::Internal(format!("the set hash of slice {slice_id} is damaged")))?,
        changed: false,
    };
    let mut after = None;
    loop {
        let page = store::grain::removed_between(conn, slice_id, from, to, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some((to, last.id));
        for row in &page {
            measured.set_hash.remove_grain(&row.digest);
            measured.grain_count -= 1;
            measured.payload_bytes -= row.payload_bytes;
            measured.changed = true;
        }
    }
    let mut after = None;
    loop {
        let page = store::grain::added_between(conn, slice_id, from, to, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some((last.added_in, last.id));
        for row in &page {
            measured.set_hash.add_grain(&row.digest);
            measured.grain_count += 1;
            measured.payload_bytes += row.payload_bytes;
            measured.changed = true;
        }
    }
    measure_metadata(conn, base, &mut measured)?;
    Ok(measured)
}

/// Grains in the published version of `slice`, or in its draft: from the counters, not by counting.
///
/// # Errors
/// What the store reports.
pub fn count(conn: &mut Connection, slice: &SliceRow, version: i64) -> Result<i64, StoreError> {
    match store::version::find(conn, slice.id, slice.current_version)? {
        Some(base) if version > base.version => Ok(measure(conn, &base)?.grain_count),
        Some(base) => Ok(base.grain_count),
        None => Ok(0),
    }
}

fn measure_metadata(
    conn: &mut Connection,
    base: &VersionRow,
    measured: &mut Measured,
) -> Result<(), StoreError> {
    let old = store::metadata::at(conn, base.slice_id, base.version)?;
    let new = store::metadata::at(conn, base.slice_id, base.version + 1)?;
    for (key, value) in old.iter().filter(|pair| !new.contains(pair)) {
        measured.set_hash.remove_pair(key, value);
        measured.changed = true;
    }
    for (key, value) in new.iter().filter(|pair| !old.contains(pair)) {
        measured.set_hash.add_pair(key, value);
        measured.changed = true;
    }
    Ok(())
}

/// The reference's hashes of a version, over ids only and over ids and metadata: O(n), in pages.
///
/// # Errors
/// What the store reports.
pub fn content_hashes(
    conn: &mut Connection,
    slice_id: Id,
    version: i64,
) -> Result<(String, String), StoreError> {
    let mut hash = ContentHash::new();
    let mut after = None;
    loop {
        let page = store::grain::index_page(conn, slice_id, version, after, PAGE)?;
        let Some((last, _digest)) = page.last() else { break };
        after = Some(*last);
        for (id, _digest) in &page {
            hash.id(*id);
        }
    }
    let metadata = store::metadata::at(conn, slice_id, version)?;
    Ok(hash.finish(metadata.iter().map(|(key, value)| (key.as_str(), value.as_str()))))
}
