//! Versions of a slice: which there are, how two differ, and bringing one back. A version that comes back is published
//! anew as the next one, so receivers get it as any other change.

use std::collections::{BTreeSet, HashMap};

use crate::node::permission::Action;
use crate::node::query::List;
use crate::node::{Error, Node, Principal};
use crate::store::grain::GrainRow;
use crate::store::version::VersionRow;
use crate::store::{self, Connection, StoreError};
use crate::wire::Id;
use crate::wire::history::{Change, Comparison, GrainChange, Keys, MAX_KEYS, MetadataChange, Version};
use crate::wire::page::Page;

pub use super::rollback::{rollback, rollback_as};

pub use crate::store::version::COLUMNS;

/// Rows read at a time.
const PAGE_ROWS: i64 = 5_000;

/// Published versions, newest first.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::WrongServerRole`], [`Error::NotFound`].
pub async fn versions(
    node: &Node,
    who: &Principal,
    slice_id: Id,
    list: List,
) -> Result<Page<Version>, Error> {
    node.permit(who, Action::ViewVersions)?;
    versions_of(node, slice_id, list).await
}

/// The same for whoever is at this machine.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn versions_of(node: &Node, slice_id: Id, list: List) -> Result<Page<Version>, Error> {
    node.store
        .read(move |conn| {
            let slice = store::slice::find(conn, slice_id)?.ok_or(super::slice::MISSING)?;
            let (rows, total) = store::version::published(conn, slice_id, &list.selection)?;
            list.page(rows, total, store::version::position, |rows| {
                let versions = rows.into_iter().map(|row| Version {
                    number: row.version,
                    published_at: row.content_date,
                    content_count: row.grain_count,
                    payload_bytes: row.payload_bytes,
                    content_hash: row.content_hash,
                    digest: data_encoding::HEXLOWER.encode(&row.digest),
                    current: row.version == slice.current_version,
                });
                Ok(versions.collect())
            })
        })
        .await
}

/// A version that was published and is kept. Version 0, the slice just made, was not.
pub(super) fn published_version(
    conn: &mut Connection,
    slice_id: Id,
    number: i64,
) -> Result<VersionRow, Error> {
    store::version::find(conn, slice_id, number)?
        .filter(|row| row.content_date.is_some())
        .ok_or(Error::NotFound("Version does not exist, or is no longer kept."))
}

/// How version `to` (the published one, if not said) differs from `from`: counts, and the first [`MAX_KEYS`] keys of
/// each kind.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::WrongServerRole`], [`Error::NotFound`].
pub async fn compare(
    node: &Node,
    who: &Principal,
    slice_id: Id,
    from: i64,
    to: Option<i64>,
) -> Result<Comparison, Error> {
    node.permit(who, Action::ViewVersions)?;
    compare_of(node, slice_id, from, to).await
}

/// The same for whoever is at this machine.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn compare_of(node: &Node, slice_id: Id, from: i64, to: Option<i64>) -> Result<Comparison, Error> {
    let (mut added, mut removed, mut replaced) = (First::default(), First::default(), First::default());
    let difference = differences(node, slice_id, from, to, |found| {
        match found.change {
            Change::Added => added.add(found.grain_key),
            Change::Removed => removed.add(found.grain_key),
            Change::Replaced => replaced.add(found.grain_key),
        }
        Ok::<(), Error>(())
    })
    .await?;
    Ok(Comparison {
        from,
        to: difference.to,
        added: added.into(),
        removed: removed.into(),
        replaced: replaced.into(),
        metadata: difference.metadata,
    })
}

/// Counts keys and keeps the first of them.
#[derive(Default)]
struct First {
    count: i64,
    keys: BTreeSet<String>,
}

impl First {
    fn add(&mut self, key: String) {
        self.count += 1;
        self.keys.insert(key);
        if self.keys.len() > MAX_KEYS {
            self.keys.pop_last();
        }
    }
}

impl From<First> for Keys {
    fn from(first: First) -> Self {
        Self { count: first.count, keys: first.keys.into_iter().collect() }
    }
}

/// What [`differences`] has to tell besides grains.
pub struct Difference {
    /// The version compared to.
    pub to: i64,
    /// Metadata that differ, by key.
    pub metadata: Vec<MetadataChange>,
}

/// Tells `each` every grain by which version `to` (the published one, if not said) differs from `from`, in no
/// particular order. What it holds in memory is the keys that `from` alone has or had replaced.
///
/// # Errors
/// [`Error::NotFound`]; what `each` returns.
pub async fn differences<E: From<Error>>(
    node: &Node,
    slice_id: Id,
    from: i64,
    to: Option<i64>,
    mut each: impl FnMut(GrainChange) -> Result<(), E>,
) -> Result<Difference, E> {
    let (to, metadata) = node
        .store
        .read(move |conn| {
            let slice = store::slice::find(conn, slice_id)?.ok_or(super::slice::MISSING)?;
            let to = to.unwrap_or(slice.current_version);
            for number in [from, to] {
                published_version(conn, slice_id, number)?;
            }
            Ok::<_, Error>((to, metadata(conn, slice_id, from, to)?))
        })
        .await?;
    let mut gone: HashMap<String, (Id, Vec<u8>)> = HashMap::new();
    let mut only_from = OneSided::of(slice_id, to, from);
    while let Some(rows) = only_from.page(node).await? {
        gone.extend(rows.into_iter().map(|row| (row.grain_key, (row.id, row.digest))));
    }
    let mut only_to = OneSided::of(slice_id, from, to);
    while let Some(rows) = only_to.page(node).await? {
        for row in rows {
            let change = match gone.remove(&row.grain_key) {
                // Removed and brought back: another row of the same grain.
                Some((_id, digest)) if digest == row.digest => continue,
                Some((id, _digest)) => (Change::Replaced, Some(id)),
                None => (Change::Added, None),
            };
            each(GrainChange {
                change: change.0,
                grain_key: row.grain_key,
                from: change.1,
                to: Some(row.id),
            })?;
        }
    }
    for (grain_key, (id, _digest)) in gone {
        each(GrainChange { change: Change::Removed, grain_key, from: Some(id), to: None })?;
    }
    Ok(Difference { to, metadata })
}

/// Rows of one version that do not belong to another, page by page: versions never change, so the pages are one
/// snapshot.
pub(super) struct OneSided {
    slice_id: Id,
    without: i64,
    with: i64,
    after: Option<(i64, Id)>,
    limit: i64,
}

impl OneSided {
    /// Rows of `with` that are not rows of `without`.
    pub fn of(slice_id: Id, without: i64, with: i64) -> Self {
        Self { slice_id, without, with, after: None, limit: PAGE_ROWS }
    }

    /// The same, fewer at a time.
    pub fn by(self, limit: i64) -> Self {
        Self { limit, ..self }
    }

    /// The next rows; `None` when there are no more.
    pub async fn page(&mut self, node: &Node) -> Result<Option<Vec<GrainRow>>, Error> {
        let (slice_id, without, with) = (self.slice_id, self.without, self.with);
        let (after, limit) = (self.after, self.limit);
        let rows = node
            .store
            .read(move |conn| {
                if without <= with {
                    store::grain::added_between(conn, slice_id, without, with, after, limit)
                } else {
                    store::grain::removed_between(conn, slice_id, with, without, after, limit)
                }
            })
            .await?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.go_on_after(last);
        Ok(Some(rows))
    }

    /// Where the next page begins: behind `row`, if not all of the last one was used.
    pub fn go_on_after(&mut self, row: &GrainRow) {
        let place = if self.without <= self.with { Some(row.added_in) } else { row.removed_in };
        self.after = place.map(|version| (version, row.id));
    }
}

fn metadata(
    conn: &mut Connection,
    slice_id: Id,
    from: i64,
    to: i64,
) -> Result<Vec<MetadataChange>, StoreError> {
    let mut new: HashMap<String, String> = store::metadata::at(conn, slice_id, to)?.into_iter().collect();
    let mut changes = Vec::new();
    for (key, value) in store::metadata::at(conn, slice_id, from)? {
        match new.remove(&key) {
            Some(same) if same == value => {}
            other => changes.push(MetadataChange { key, from: Some(value), to: other }),
        }
    }
    changes.extend(new.into_iter().map(|(key, value)| MetadataChange { key, from: None, to: Some(value) }));
    changes.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(changes)
}
