//! Changing and removing slices of a primary.

use super::slice::{editable, in_full, unknown_type};
use crate::failpoint::{Failpoint, reach};
use crate::node::body::{Rules, indexable, no_nul};
use crate::node::permission::Action;
use crate::node::{Error, Node, Principal};
use crate::store::{self, Connection, StoreError};
use crate::wire::Id;
use crate::wire::slice::{SLICE_TYPES, Slice, UpdateSlice};

/// Grains removed in one transaction (design D7: under 4 MiB or 100 ms).
const PURGE_ROWS: i64 = 2_000;
/// Payload removed in one transaction.
const PURGE_BYTES: i64 = 4 * 1024 * 1024;

/// Changes what the body names. Name, type and `allow_sync` change at once; metadata wait in the draft, as grains do.
///
/// # Errors
/// [`Error::Invalid`], [`Error::BadRequest`], [`Error::Forbidden`], [`Error::ForbiddenMember`] for what is computed,
/// [`Error::WrongServerRole`], [`Error::NotFound`], [`Error::Conflict`], [`Error::Locked`] by somebody else.
pub async fn update(node: &Node, who: &Principal, id: Id, body: UpdateSlice) -> Result<Slice, Error> {
    check(&body)?;
    let scope = node.permit(who, Action::UpdateSlice)?;
    for (member, is_named) in [
        ("content_hash", body.content_hash.is_some()),
        ("content_count", body.content_count.is_some()),
        ("content_date", body.content_date.is_some()),
    ] {
        if is_named {
            return Err(Error::ForbiddenMember(member));
        }
    }
    let (now, who) = (node.clock.now(), who.clone());
    node.store
        .write(move |conn| {
            let row = editable(conn, id, &who.username, now)?;
            let name = body.name.value().map_or(row.name.as_str(), |name| name.trim());
            let slice_type = body.slice_type.value().unwrap_or(&row.slice_type);
            if name != row.name || *slice_type != row.slice_type {
                if store::slice::find_by_name(conn, name)?.is_some_and(|other| other.id != id) {
                    return Err(Error::Conflict("Slice name already exists.".to_owned()));
                }
                store::slice::rename(conn, id, name, slice_type, now)?;
            }
            if let Some(allow_sync) = body.allow_sync.value().copied() {
                // Closing keeps the caller's own lock, which is no longer what closes the slice; opening ends it.
                let lock = row.lock_owner.as_deref().zip(row.lock_expires_at);
                let lock = lock.filter(|(_owner, until)| !allow_sync && now < *until);
                store::slice::set_lock(conn, id, allow_sync, lock, now)?;
            }
            if body.metadata.is_some() {
                let pairs: Vec<(String, String)> =
                    body.metadata.value().cloned().unwrap_or_default().into_iter().collect();
                store::metadata::replace(conn, id, row.current_version + 1, &pairs)?;
            }
            in_full(conn, &who, scope, id, now)
        })
        .await
}

fn check(body: &UpdateSlice) -> Result<(), Error> {
    let mut rules = Rules::default();
    rules.patched_name("Name", &body.name, 3);
    rules.not_null("SliceType", &body.slice_type);
    rules.not_null("AllowSync", &body.allow_sync);
    rules.check()?;
    if body.slice_type.value().is_some_and(|kind| !SLICE_TYPES.contains(&kind.as_str())) {
        return Err(unknown_type());
    }
    for (key, value) in body.metadata.value().into_iter().flatten() {
        indexable("Metadata", key)?;
        no_nul("Metadata", value)?;
    }
    Ok(())
}

/// Removes a slice with all it holds. In one step it is gone for everybody; its grains follow in small ones, so that
/// others can write meanwhile. What a killed process left of it goes with the next removal, of whatever slice.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::WrongServerRole`], [`Error::NotFound`], [`Error::Conflict`] while somebody subscribes
/// to it, [`Error::Locked`] by somebody else.
pub async fn delete(node: &Node, who: &Principal, id: Id) -> Result<(), Error> {
    node.permit(who, Action::DeleteSlice)?;
    let (now, by) = (node.clock.now(), who.username.clone());
    node.store
        .write(move |conn| {
            match editable(conn, id, &by, now) {
                // A removal that was cut off, asked for again.
                Err(Error::NotFound(_)) if store::slice::retired(conn)?.contains(&id) => Ok(()),
                Err(error) => Err(error),
                Ok(row) => {
                    refuse_subscribed(conn, row.id)?;
                    Ok(store::slice::retire(conn, row.id, now)?)
                }
            }
        })
        .await?;
    reach(Failpoint::SliceRetired);
    purge(node).await
}

fn refuse_subscribed(conn: &mut Connection, id: Id) -> Result<(), Error> {
    let subscribers = store::subscription::companies_of_slice(conn, id)?.len();
    if subscribers > 0 {
        return Err(Error::Conflict(format!(
            "companies that subscribe to this slice: {subscribers}; delete the subscriptions first"
        )));
    }
    Ok(())
}

/// Removes what retired slices hold.
///
/// # Errors
/// What the store reports.
pub async fn purge(node: &Node) -> Result<(), Error> {
    let retired = node.store.read(store::slice::retired).await?;
    for id in retired {
        loop {
            let is_gone = node
                .store
                .write(move |conn| -> Result<bool, StoreError> {
                    store::slice::purge(conn, id, PURGE_ROWS, PURGE_BYTES)
                })
                .await?;
            if is_gone {
                break;
            }
            reach(Failpoint::SlicePurging);
        }
    }
    Ok(())
}
