//! Slices: staff see drafts and all slices, companies the published versions of what they actively subscribe to.

use std::collections::BTreeMap;

use chrono::Duration;

use super::held_draft::{is_held, refuse_while_held};
use super::version;
use crate::node::body::{Rules, indexable, no_nul};
use crate::node::permission::{Action, Scope};
use crate::node::query::List;
use crate::node::{Error, Node, Principal};
use crate::store::company::name_key;
pub use crate::store::slice::Tagged;
use crate::store::slice::{SliceRow, SliceView};
use crate::store::{self, Connection, StoreError};
use crate::wire::page::Page;
use crate::wire::server::ServerRole;
use crate::wire::slice::{CreateSlice, MetadataPair, SLICE_TYPES, Slice, VersionId};
use crate::wire::user::Role;
use crate::wire::{Id, Timestamp};

pub use crate::store::slice::COLUMNS;

pub(super) const MISSING: Error = Error::NotFound("Slice not found.");
/// A forgotten lock ends by itself.
const LOCK_LIFE: Duration = Duration::hours(1);

/// Adds an empty slice; its metadata waits in the draft for the first publication.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`], [`Error::WrongServerRole`], [`Error::Conflict`].
pub async fn create(node: &Node, who: &Principal, body: CreateSlice) -> Result<Slice, Error> {
    check(&body)?;
    node.permit(who, Action::CreateSlice)?;
    insert(node, body).await
}

fn check(body: &CreateSlice) -> Result<(), Error> {
    let mut rules = Rules::default();
    rules.name("Name", body.name.trim(), 3);
    rules.required("SliceType", !body.slice_type.is_empty());
    rules.check()?;
    if !SLICE_TYPES.contains(&body.slice_type.as_str()) {
        return Err(unknown_type());
    }
    for (key, value) in &body.metadata {
        indexable("Metadata", key)?;
        no_nul("Metadata", value)?;
    }
    Ok(())
}

/// Adds a slice whose rights the caller has settled; used by the command line too.
///
/// # Errors
/// [`Error::Invalid`], [`Error::WrongServerRole`], [`Error::Conflict`].
pub async fn insert(node: &Node, body: CreateSlice) -> Result<Slice, Error> {
    check(&body)?;
    node.require_role(ServerRole::Primary)?;
    let now = node.clock.now();
    let name = body.name.trim().to_owned();
    let row = SliceRow {
        id: body.id.given().unwrap_or_else(|| node.random.id()),
        name_key: name_key(&name),
        name,
        slice_type: body.slice_type,
        primary_id: None,
        epoch: node.random.id(),
        current_version: 0,
        allow_sync: body.allow_sync,
        lock_owner: None,
        lock_expires_at: None,
        sync_status: "none".to_owned(),
        last_sync_attempt: None,
        last_good_sync: None,
        created_at: now,
        updated_at: now,
        draft_change: 0,
    };
    let pairs: Vec<(String, String)> = body.metadata.into_iter().collect();
    node.store
        .write(move |conn| {
            if store::slice::find(conn, row.id)?.is_some() {
                return Err(Error::Conflict("Slice id already exists.".to_owned()));
            }
            if store::slice::find_by_name(conn, &row.name)?.is_some() {
                return Err(Error::Conflict("Slice name already exists.".to_owned()));
            }
            store::slice::insert(conn, &row)?;
            store::version::insert(conn, &version::empty(row.id, now))?;
            store::metadata::replace(conn, row.id, 1, &pairs)?;
            let view = store::slice::view(conn, row.id)?.ok_or(MISSING)?;
            let mut slice = to_wire(view, now);
            slice.metadata = metadata(conn, row.id, 1)?;
            Ok(slice)
        })
        .await
}

/// One slice with metadata and subscribers.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NoAccessToSlice`].
pub async fn view(node: &Node, who: &Principal, id: Id) -> Result<Slice, Error> {
    let scope = node.permit(who, Action::ViewSlice)?;
    let (now, who) = (node.clock.now(), who.clone());
    node.store.read(move |conn| in_full(conn, &who, scope, id, now)).await
}

/// One slice by its name, ignoring case.
///
/// # Errors
/// [`Error::NotFound`], also for a slice that the caller may not read.
pub async fn view_by_name(node: &Node, who: &Principal, name: String) -> Result<Slice, Error> {
    let scope = node.permit(who, Action::ViewSlice)?;
    let (now, who) = (node.clock.now(), who.clone());
    node.store
        .read(move |conn| {
            let row = store::slice::find_by_name(conn, &name)?.ok_or(MISSING)?;
            // Whether a name exists is no business of a company that does not subscribe to it.
            in_full(conn, &who, scope, row.id, now).map_err(|error| match error {
                Error::NoAccessToSlice => MISSING,
                other => other,
            })
        })
        .await
}

pub(super) fn in_full(
    conn: &mut Connection,
    who: &Principal,
    scope: Scope,
    id: Id,
    now: Timestamp,
) -> Result<Slice, Error> {
    // First: who may not read it does not learn whether it is there.
    scope.admits_slice(conn, id)?;
    let view = store::slice::view(conn, id)?.ok_or(MISSING)?;
    embed(conn, who, scope, view, now)
}

pub(super) fn embed(
    conn: &mut Connection,
    who: &Principal,
    scope: Scope,
    view: SliceView,
    now: Timestamp,
) -> Result<Slice, Error> {
    let (id, shown) = (view.0.id, shown_version(conn, who, &view.0)?);
    let mut slice = to_wire(view, now);
    slice.metadata = metadata(conn, id, shown)?;
    let mut rows = Vec::new();
    for company_id in store::subscription::companies_of_slice(conn, id)? {
        if scope.admits_company(company_id).is_ok()
            && let Some(row) = store::company::find(conn, company_id)?
        {
            rows.push(row);
        }
    }
    slice.companies = if rows.is_empty() { None } else { Some(super::company::embed(conn, rows)?) };
    Ok(slice)
}

/// Slices by name: all for staff, what he actively subscribes to for a company admin.
///
/// # Errors
/// [`Error::Forbidden`] for a machine.
pub async fn list(node: &Node, who: &Principal, list: List, tagged: Tagged) -> Result<Page<Slice>, Error> {
    let scope = node.permit(who, Action::ListSlices)?;
    if !(tagged.any.is_empty() && tagged.all.is_empty()) {
        node.permit(who, Action::FindSlicesByTag)?;
    }
    let (now, who) = (node.clock.now(), who.clone());
    node.store
        .read(move |conn| {
            let (views, total) = store::slice::list(conn, scope.company(), &tagged, &list.selection)?;
            let mut page = list.page(views, total, store::slice::position, |views| {
                views.into_iter().map(|view| embed(conn, &who, scope, view, now)).collect()
            })?;
            // The reference sends [] here, and null everywhere else.
            page.data.get_or_insert_default();
            Ok(page)
        })
        .await
}

/// The metadata as a list of pairs.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NoAccessToSlice`].
pub async fn view_metadata(node: &Node, who: &Principal, id: Id) -> Result<Option<Vec<MetadataPair>>, Error> {
    let scope = node.permit(who, Action::ViewSlice)?;
    let who = who.clone();
    node.store
        .read(move |conn| {
            scope.admits_slice(conn, id)?;
            let row = store::slice::find(conn, id)?.ok_or(MISSING)?;
            let shown = shown_version(conn, &who, &row)?;
            let pairs = store::metadata::at(conn, id, shown)?;
            let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| MetadataPair { key, value }).collect();
            Ok((!pairs.is_empty()).then_some(pairs))
        })
        .await
}

/// In the reference's words, with what there is.
pub(super) fn unknown_type() -> Error {
    Error::BadRequest(format!("invalid slice-type: use one of {}", SLICE_TYPES.join(", ")))
}

/// Closes the slice for sync and takes it for editing, for an hour at most. A super admin takes over anybody's lock.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::WrongServerRole`], [`Error::NotFound`], [`Error::Locked`] by somebody else.
pub async fn lock(node: &Node, who: &Principal, id: Id) -> Result<(), Error> {
    node.permit(who, Action::LockSlice)?;
    lock_for(node, &who.username, who.role == Role::SuperAdmin, id).await
}

/// Opens it again. Changes that were not published stay in the draft. A super admin may open anybody's lock.
///
/// # Errors
/// As [`lock`].
pub async fn unlock(node: &Node, who: &Principal, id: Id) -> Result<(), Error> {
    node.permit(who, Action::LockSlice)?;
    let by = if who.role == Role::SuperAdmin { None } else { Some(who.username.clone()) };
    unlock_as(node, by, id).await
}

/// Locks in the name of `by`; used by the command line too.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Locked`].
pub async fn lock_as(node: &Node, by: &str, id: Id) -> Result<(), Error> {
    lock_for(node, by, false, id).await
}

async fn lock_for(node: &Node, by: &str, takes_over: bool, id: Id) -> Result<(), Error> {
    let (now, by) = (node.clock.now(), by.to_owned());
    node.store
        .write(move |conn| {
            let row = if takes_over {
                let row = find_for_update(conn, id)?;
                // A run's is nobody's lock, to be taken over: it has written half of the draft.
                refuse_while_held(conn, id, now)?;
                row
            } else {
                editable(conn, id, &by, now)?
            };
            // A slice that was closed before stays so when the lock has run out.
            Ok(store::slice::set_lock(conn, id, row.allow_sync, Some((&by, now.plus(LOCK_LIFE))), now)?)
        })
        .await
}

fn find_for_update(conn: &mut Connection, id: Id) -> Result<SliceRow, Error> {
    store::slice::find_for_update(conn, id)?.ok_or(MISSING)
}

/// Unlocks in the name of `by`, or whoever's lock it is; used by the command line too.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Locked`].
pub async fn unlock_as(node: &Node, by: Option<String>, id: Id) -> Result<(), Error> {
    let now = node.clock.now();
    node.store
        .write(move |conn| {
            match by {
                Some(by) => editable(conn, id, &by, now)?,
                None => find_for_update(conn, id)?,
            };
            Ok(store::slice::set_lock(conn, id, true, None, now)?)
        })
        .await
}

/// The slice, taken for writing, unless somebody else holds its lock or fills its draft.
pub(super) fn editable(conn: &mut Connection, id: Id, by: &str, now: Timestamp) -> Result<SliceRow, Error> {
    let row = find_for_update(conn, id)?;
    match (&row.lock_owner, row.lock_expires_at) {
        (Some(owner), Some(until)) if owner != by && now < until => {
            Err(Error::Locked { owner: owner.clone(), until })
        }
        _ => {
            refuse_while_held(conn, id, now)?;
            Ok(row)
        }
    }
}

/// Staff of a primary read the draft, as with the reference; companies the published version. On a secondary the
/// next version is what a sync has staged so far, which nobody reads.
/// While a run fills the draft, nobody does.
pub(super) fn shown_version(
    conn: &mut Connection,
    who: &Principal,
    row: &SliceRow,
) -> Result<i64, StoreError> {
    let reads_drafts = who.role.is_staff() && row.primary_id.is_none();
    let is_shown = reads_drafts && !is_held(conn, row.id)?;
    Ok(if is_shown { row.current_version + 1 } else { row.current_version })
}

fn metadata(
    conn: &mut Connection,
    id: Id,
    version: i64,
) -> Result<Option<BTreeMap<String, String>>, StoreError> {
    let pairs = store::metadata::at(conn, id, version)?;
    Ok((!pairs.is_empty()).then(|| pairs.into_iter().collect()))
}

/// Whether a sync may read the slice now: neither closed nor locked.
pub fn allows_sync(row: &SliceRow, now: Timestamp) -> bool {
    row.allow_sync && row.lock_expires_at.is_none_or(|until| now >= until)
}

/// As it crosses the wire, without metadata and companies.
pub fn to_wire((row, published): SliceView, now: Timestamp) -> Slice {
    Slice {
        id: row.id,
        allow_sync: allows_sync(&row, now),
        slice_name: row.name,
        slice_type: row.slice_type,
        content_hash: published.content_hash,
        content_count: published.grain_count,
        content_date: published.content_date,
        sync_status: row.sync_status,
        last_sync_attempt: row.last_sync_attempt,
        last_good_sync: row.last_good_sync,
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
        metadata: None,
        companies: None,
        version: Some(VersionId {
            epoch: row.epoch,
            number: published.version,
            digest: data_encoding::HEXLOWER.encode(&published.digest),
        }),
    }
}

/// The slice with this id or, ignoring case, this name: how commands name one.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn find(node: &Node, id_or_name: String) -> Result<SliceRow, Error> {
    node.store
        .read(move |conn| {
            let by_id = match id_or_name.parse() {
                Ok(id) => store::slice::find(conn, id)?,
                Err(_not_an_id) => None,
            };
            let found = match by_id {
                Some(row) => Some(row),
                None => store::slice::find_by_name(conn, &id_or_name)?,
            };
            found.ok_or(MISSING)
        })
        .await
}
