//! Grains: staff edit the draft of a primary; companies read published versions.

use super::slice::{editable, shown_version, to_wire as slice_to_wire};
use crate::crypto::set_hash::grain_digest;
use crate::node::body::{Rules, indexable, no_nul};
use crate::node::permission::Action;
use crate::node::query::List;
use crate::node::{Error, Node, Principal};
use crate::payload::{Encoding, MAX_UNPACKED_BYTES, UnknownEncoding};
use crate::store::grain::{GrainRow, NewGrain, Stretch};
use crate::store::list::{Selection, Value};
use crate::store::slice::SliceRow;
use crate::store::{self, Connection, StoreError};
use crate::wire::grain::{CreateGrain, Grain};
use crate::wire::page::Page;
use crate::wire::{Id, Timestamp};

pub use crate::store::grain::{COLUMNS, COLUMNS_OF_SLICE};

const MISSING: Error = Error::NotFound("Grain does not exist.");
/// Payload bytes in one page of a list: the rest of the page comes without, as nobody could hold it.
const MAX_LIST_BYTES: i64 = 64 * 1024 * 1024;

/// Adds a grain to the draft; with `replace` in the place of the one with the same key.
///
/// # Errors
/// [`Error::Invalid`], [`Error::BadRequest`], [`Error::Forbidden`], [`Error::WrongServerRole`], [`Error::Locked`],
/// [`Error::Conflict`] for an id or key that is taken.
pub async fn create(node: &Node, who: &Principal, body: CreateGrain, replace: bool) -> Result<Grain, Error> {
    let mut rules = Rules::default();
    rules.required("SliceID", !body.slice_id.is_nil());
    rules.required("Key", !body.grain_key.is_empty());
    rules.required("Encoding", !body.encoding.is_empty());
    rules.required("Payload", !body.payload.is_empty());
    rules.check()?;
    let encoding: Encoding =
        body.encoding.parse().map_err(|error: UnknownEncoding| Error::BadRequest(error.to_string()))?;
    // As it will be stored: a few characters grow with the change of case.
    indexable("grain_key", &body.grain_key.to_lowercase())?;
    no_nul("source", &body.source)?;
    no_nul("payload", &body.payload)?;
    require_fits(&body.payload)?;
    node.permit(who, Action::CreateGrain)?;
    let body = require_readable(body, encoding).await?;
    let now = node.clock.now();
    let id = body.id.given().unwrap_or_else(|| node.random.id());
    let echoed_length = body.payload_len;
    let by = who.username.clone();
    node.store
        .write(move |conn| {
            let slice = editable(conn, body.slice_id, &by, now).map_err(|error| match error {
                Error::NotFound(_) => Error::NotFound("unknown slice"),
                other => other,
            })?;
            let new = new_grain(body, id, slice.current_version + 1, now);
            add_to_draft(conn, &slice, &new, replace)?;
            Ok(Grain {
                id,
                slice_id: Some(new.slice_id),
                grain_key: new.grain_key,
                source: new.source,
                encoding: new.encoding,
                payload_len: echoed_length,
                payload: None,
                created_at: Some(now),
                slice: None,
            })
        })
        .await
}

/// A payload that a receiver can unpack; the body comes back.
async fn require_readable(body: CreateGrain, encoding: Encoding) -> Result<CreateGrain, Error> {
    if encoding == Encoding::Raw {
        return Ok(body);
    }
    // It may take a second.
    let checked =
        tokio::task::spawn_blocking(move || encoding.check(&body.payload, MAX_UNPACKED_BYTES).map(|()| body));
    checked
        .await
        .map_err(|error| Error::Internal(error.to_string()))?
        .map_err(|error| Error::BadRequest(format!("payload: {error}")))
}

/// A text that a receiver will take.
///
/// # Errors
/// [`Error::BadRequest`] naming the limit.
pub(super) fn require_fits(payload: &str) -> Result<(), Error> {
    let limit = store::payload::MAX_TEXT_BYTES;
    if payload.len() > limit {
        return Err(Error::BadRequest(format!(
            "the payload's text has {} bytes, at most {limit} are taken: split the content into several grains",
            payload.len()
        )));
    }
    Ok(())
}

fn new_grain(body: CreateGrain, id: Id, draft: i64, now: Timestamp) -> NewGrain {
    let grain_key = body.grain_key.to_lowercase();
    NewGrain {
        slice_id: body.slice_id,
        id,
        digest: grain_digest(id, &grain_key, &body.encoding, &body.source, &body.payload).to_vec(),
        grain_key,
        source: body.source,
        encoding: body.encoding,
        payload: body.payload,
        added_in: draft,
        created_at: now,
    }
}

fn add_to_draft(conn: &mut Connection, slice: &SliceRow, new: &NewGrain, replace: bool) -> Result<(), Error> {
    let draft = slice.current_version + 1;
    if let Some(old) = store::grain::find_by_key(conn, slice.id, draft, &new.grain_key)? {
        if !replace {
            return Err(Error::Conflict(format!(
                "the slice has a grain with key \"{}\" already: delete it or use ?replace=yes",
                new.grain_key
            )));
        }
        store::grain::remove(conn, slice.id, draft, &[old.id])?;
    }
    // An id names content (spec §1), so on a primary it may live only once.
    if !store::grain::live(conn, new.id)?.is_empty() {
        return Err(Error::Conflict("Grain id already exists: changed content needs a new id.".to_owned()));
    }
    // The same grain, removed and added again within one draft: nothing happened.
    if store::grain::restore(conn, slice.id, draft, new.id, &new.digest)? {
        return Ok(());
    }
    Ok(store::grain::insert(conn, std::slice::from_ref(new))?)
}

/// Removes a grain from the draft.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::WrongServerRole`], [`Error::NotFound`], [`Error::Locked`].
pub async fn delete(node: &Node, who: &Principal, id: Id) -> Result<(), Error> {
    node.permit(who, Action::DeleteGrain)?;
    let (now, by) = (node.clock.now(), who.username.clone());
    node.store
        .write(move |conn| {
            let live = store::grain::live(conn, id)?.into_iter().next().ok_or(MISSING)?;
            let slice = editable(conn, live.slice_id, &by, now)?;
            match store::grain::remove(conn, slice.id, slice.current_version + 1, &[id])? {
                0 => Err(MISSING),
                _ => Ok(()),
            }
        })
        .await
}

/// One grain by id with payload and slice. Companies may also read what an earlier version of a slice they subscribe
/// to had: a sync that started with that version still finds it.
///
/// # Errors
/// [`Error::NoAccessToSlice`], for a company also if there is none; [`Error::NotFound`].
pub async fn view(node: &Node, who: &Principal, id: Id) -> Result<Grain, Error> {
    let scope = node.permit(who, Action::ViewGrain)?;
    let (now, who) = (node.clock.now(), who.clone());
    node.store
        .read(move |conn| {
            for row in store::grain::kept(conn, id)? {
                let Some(view) = store::slice::view(conn, row.slice_id)? else { continue };
                match scope.admits_slice(conn, row.slice_id) {
                    Err(Error::NoAccessToSlice) => continue,
                    other => other?,
                }
                if row.added_in > shown_version(conn, &who, &view.0)? {
                    continue;
                }
                let payload = store::payload::of_row(conn, &row)?;
                let mut grain = to_wire(row, Some(payload));
                let mut slice = slice_to_wire(view, now);
                slice.version = None;
                grain.slice = Some(slice);
                return Ok(grain);
            }
            // Whether another company has it, or a draft, is nothing that a company may learn.
            Err(scope.unless_own(Error::NoAccessToSlice, MISSING))
        })
        .await
}

/// One grain by slice and key; the zero value where there is none, which the reference's `add` depends on.
///
/// # Errors
/// [`Error::Forbidden`] but for staff.
pub async fn view_by_key(
    node: &Node,
    who: &Principal,
    slice_id: Id,
    key: String,
    with_payload: bool,
) -> Result<Grain, Error> {
    node.permit(who, Action::FindGrainByKey)?;
    let who = who.clone();
    node.store
        .read(move |conn| {
            let Some(slice) = store::slice::find(conn, slice_id)? else { return Ok(Grain::default()) };
            let shown = shown_version(conn, &who, &slice)?;
            let Some(row) = store::grain::find_by_key(conn, slice_id, shown, &key.to_lowercase())? else {
                return Ok(Grain::default());
            };
            let payload = if with_payload { Some(store::payload::of_row(conn, &row)?) } else { None };
            Ok(to_wire(row, payload))
        })
        .await
}

/// Grains of all slices the caller may read, by slice and id.
///
/// # Errors
/// [`Error::Forbidden`] for a machine.
pub async fn list(
    node: &Node,
    who: &Principal,
    list: List,
    with_payload: bool,
) -> Result<Page<Grain>, Error> {
    let scope = node.permit(who, Action::ListGrains)?;
    let who = who.clone();
    node.store
        .read(move |conn| {
            let wanted = Wanted::of(&list.selection);
            let mut shown = Vec::new();
            for (row, published) in store::slice::sizes(conn, scope.company())? {
                if wanted.slice.is_none_or(|id| id == row.id) {
                    shown.push(Shown::of(conn, &who, &row, published)?);
                }
            }
            if list.selection.order.first().is_some_and(|first| first.descending) {
                shown.reverse();
            }
            page(conn, &shown, &wanted, &list, with_payload)
        })
        .await
}

/// Grains of one slice, by id.
///
/// # Errors
/// [`Error::Forbidden`] for a machine, [`Error::NotFound`], [`Error::NoAccessToSlice`].
pub async fn list_by_slice(
    node: &Node,
    who: &Principal,
    slice_id: Id,
    list: List,
    with_payload: bool,
) -> Result<Page<Grain>, Error> {
    let scope = node.permit(who, Action::ListGrains)?;
    let who = who.clone();
    node.store
        .read(move |conn| {
            scope.admits_slice(conn, slice_id)?;
            let (row, published) = store::slice::view(conn, slice_id)?.ok_or(super::slice::MISSING)?;
            let shown = [Shown::of(conn, &who, &row, published.grain_count)?];
            page(conn, &shown, &Wanted::of(&list.selection), &list, with_payload)
        })
        .await
}

/// A slice in the version that the caller sees.
struct Shown {
    id: Id,
    version: i64,
    count: i64,
}

impl Shown {
    fn of(
        conn: &mut Connection,
        who: &Principal,
        row: &SliceRow,
        published: i64,
    ) -> Result<Self, StoreError> {
        let version = shown_version(conn, who, row)?;
        let is_draft = version > row.current_version;
        let count = if is_draft { published.saturating_add(row.draft_change) } else { published };
        Ok(Self { id: row.id, version, count })
    }
}

/// What a filter of grains asks for.
#[derive(Default)]
struct Wanted {
    slice: Option<Id>,
    id: Option<Id>,
    key: Option<String>,
    /// Two values of one column: nothing has both.
    nothing: bool,
}

impl Wanted {
    fn of(selection: &Selection) -> Self {
        let mut wanted = Self::default();
        for (column, value) in &selection.filter {
            match (column.name, value) {
                ("slice_id", Value::Id(id)) => {
                    wanted.nothing |= wanted.slice.replace(*id).is_some_and(|old| old != *id);
                }
                ("id", Value::Id(id)) => {
                    wanted.nothing |= wanted.id.replace(*id).is_some_and(|old| old != *id);
                }
                (_, Value::Text(key)) => {
                    wanted.nothing |= wanted.key.replace(key.clone()).is_some_and(|old| old != *key);
                }
                _ => {}
            }
        }
        wanted
    }

    /// The grains of one slice that are asked for by name; `None` when all are.
    fn find(&self, conn: &mut Connection, slice: &Shown) -> Result<Option<Vec<GrainRow>>, Error> {
        let found = match (self.id, &self.key) {
            (Some(id), _) => store::grain::find(conn, slice.id, slice.version, id)?,
            (None, Some(key)) => store::grain::find_by_key(conn, slice.id, slice.version, key)?,
            (None, None) => return Ok(None),
        };
        let has_key = |row: &GrainRow| self.key.as_ref().is_none_or(|key| *key == row.grain_key);
        Ok(Some(found.into_iter().filter(has_key).collect()))
    }
}

/// A page of the grains of `slices`, which are in the order of the list.
fn page(
    conn: &mut Connection,
    slices: &[Shown],
    wanted: &Wanted,
    list: &List,
    with_payload: bool,
) -> Result<Page<Grain>, Error> {
    let mut rows = Vec::new();
    let mut total = 0;
    if wanted.nothing {
        return list.page(rows, total, store::grain::position, |rows| page_to_wire(conn, rows, with_payload));
    }
    let selection = &list.selection;
    let (descending, after) = (selection.order.iter().any(|order| order.descending), cursor(selection));
    let mut offset = selection.offset;
    for slice in slices {
        if let Some(found) = wanted.find(conn, slice)? {
            total += i64::try_from(found.len()).unwrap_or(i64::MAX);
            rows.extend(found);
            continue;
        }
        total += slice.count;
        let is_passed = |slice_id: Id| if descending { slice.id > slice_id } else { slice.id < slice_id };
        let left =
            selection.limit.saturating_add(1).saturating_sub(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        let (in_slice, behind) = after;
        if left <= 0 || in_slice.is_some_and(is_passed) {
            continue;
        }
        // Whole slices are skipped by their counters.
        if offset >= slice.count {
            offset -= slice.count;
            continue;
        }
        let behind = behind.filter(|_id| in_slice.is_none_or(|slice_id| slice_id == slice.id));
        let stretch = Stretch { descending, behind, offset, limit: left };
        rows.extend(read(conn, slice, stretch)?);
        offset = 0;
    }
    list.page(rows, total, store::grain::position, |rows| page_to_wire(conn, rows, with_payload))
}

/// A stretch of a slice, from the end that is nearer.
fn read(conn: &mut Connection, slice: &Shown, stretch: Stretch) -> Result<Vec<GrainRow>, StoreError> {
    if stretch.behind.is_some() || stretch.offset <= slice.count / 2 {
        return store::grain::list_at(conn, slice.id, slice.version, stretch);
    }
    let behind_it = slice.count.saturating_sub(stretch.offset).saturating_sub(stretch.limit);
    let limit = stretch.limit.saturating_add(behind_it.min(0));
    let from_the_end =
        Stretch { descending: !stretch.descending, behind: None, offset: behind_it.max(0), limit };
    let mut rows = store::grain::list_at(conn, slice.id, slice.version, from_the_end)?;
    rows.reverse();
    Ok(rows)
}

/// Where the page before ended: its slice, if the list goes over several, and the grain.
fn cursor(selection: &Selection) -> (Option<Id>, Option<Id>) {
    let id = |value: Option<&Value>| match value {
        Some(Value::Id(id)) => Some(*id),
        _ => None,
    };
    match selection.after.as_deref() {
        Some([slice_id, grain_id]) => (id(Some(slice_id)), id(Some(grain_id))),
        Some([grain_id]) => (None, id(Some(grain_id))),
        _ => (None, None),
    }
}

fn page_to_wire(conn: &mut Connection, rows: Vec<GrainRow>, with_payload: bool) -> Result<Vec<Grain>, Error> {
    if !with_payload {
        return Ok(rows.into_iter().map(|row| to_wire(row, None)).collect());
    }
    let bytes: i64 = rows.iter().map(|row| row.payload_bytes).sum();
    if bytes > MAX_LIST_BYTES {
        return Err(Error::BadRequest(format!(
            "this page holds {bytes} bytes of payload: ask for a smaller pagesize, or for each grain by its id"
        )));
    }
    let rows = store::payload::of_rows(conn, rows)?;
    Ok(rows.into_iter().map(|(row, payload)| to_wire(row, Some(payload))).collect())
}

/// As it crosses the wire, without its slice.
pub fn to_wire(row: GrainRow, payload: Option<String>) -> Grain {
    Grain {
        id: row.id,
        slice_id: Some(row.slice_id),
        grain_key: row.grain_key,
        source: row.source,
        encoding: row.encoding,
        payload_len: row.payload_len,
        payload,
        created_at: Some(row.created_at),
        slice: None,
    }
}
