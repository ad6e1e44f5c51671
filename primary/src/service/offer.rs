//! What a company may sync.

use std::collections::HashMap;

use shared::node::permission::{Action, Scope};
use shared::node::service::retention::COLLECTED;
use shared::node::service::{receiver, slice, subscription};
use shared::node::{Error, Node, Principal};
use shared::store::slice::SliceRow;
use shared::store::version::VersionRow;
use shared::store::{self, Connection, StoreError};
use shared::wire::Id;
use shared::wire::subscription::Subscription;

/// The version of a slice that was asked for, the published one if none was.
///
/// # Errors
/// [`Error::NotFound`] for one that is not published; [`Error::Gone`] for one that is no longer kept.
pub(super) fn version_of(
    conn: &mut Connection,
    slice: &SliceRow,
    number: Option<i64>,
) -> Result<VersionRow, Error> {
    let number = number.unwrap_or(slice.current_version);
    // The draft is nobody's but the publisher's.
    if !(0..=slice.current_version).contains(&number) {
        return Err(Error::NotFound("version does not exist"));
    }
    store::version::find(conn, slice.id, number)?.ok_or(COLLECTED)
}

/// What was just read of a version is whole only if nobody has begun to collect it.
///
/// # Errors
/// [`Error::Gone`].
pub(super) fn require_kept(conn: &mut Connection, slice_id: Id, version: i64) -> Result<(), Error> {
    if store::version::exists(conn, slice_id, version)? { Ok(()) } else { Err(COLLECTED) }
}

/// The reference's web-socket stub.
///
/// # Errors
/// [`Error::Forbidden`] for an ordinary user.
pub fn socket(node: &Node, who: &Principal) -> Result<(), Error> {
    node.permit(who, Action::OpenSyncSocket).map(drop)
}

/// The caller's company's subscriptions with their slices. A Go receiver gets the hash over ids only: with metadata in
/// it, its every sync fails (gap B1). And it gets the closed slices last: its run ends at the first that fails (gap B3).
///
/// # Errors
/// What the store reports.
pub async fn subscriptions(
    node: &Node,
    who: &Principal,
    is_go_client: bool,
) -> Result<Option<Vec<Subscription>>, Error> {
    node.permit(who, Action::ListOffers)?;
    let (now, company_id) = (node.clock.now(), who.company_id);
    let subs = node
        .store
        .read(move |conn| -> Result<_, StoreError> {
            let rows = store::subscription::of_company(conn, company_id)?;
            // What it has told, so that it tells again what was lost on its way.
            let received = if is_go_client { HashMap::new() } else { receiver::named(conn, company_id)? };
            let mut subs = Vec::with_capacity(rows.len());
            for row in rows {
                let view = store::slice::view(conn, row.slice_id)?;
                let mut sub = subscription::to_wire(row);
                sub.received = received.get(&sub.slice_id).copied();
                sub.slice = view.map(|view| {
                    let ids_hash = view.1.ids_hash.clone();
                    let mut slice = slice::to_wire(view, now);
                    if is_go_client {
                        slice.content_hash = ids_hash;
                    }
                    slice
                });
                subs.push(sub);
            }
            Ok(subs)
        })
        .await?;
    let told = |sub: &Subscription| {
        let version = sub.slice.as_ref().and_then(|slice| slice.version.as_ref());
        (sub.slice_id, version.filter(|_version| is_go_client).map(|version| version.number))
    };
    receiver::note_asked(node, who, subs.iter().map(told).collect()).await;
    let without_version = |mut sub: Subscription| {
        if let Some(slice) = sub.slice.as_mut().filter(|_slice| is_go_client) {
            slice.version = None;
        }
        sub
    };
    let mut subs: Vec<Subscription> = subs.into_iter().map(without_version).collect();
    if is_go_client {
        subs.sort_by_key(|sub| sub.slice.as_ref().is_some_and(|slice| !slice.allow_sync));
    }
    Ok((!subs.is_empty()).then_some(subs))
}

/// The slice, if the caller's company actively subscribes to it and it is open.
pub(super) fn open_slice(
    conn: &mut Connection,
    node: &Node,
    scope: Scope,
    id: Id,
) -> Result<SliceRow, Error> {
    // First: who may not read it does not learn whether it is there.
    scope.admits_slice(conn, id)?;
    let row = store::slice::find(conn, id)?.ok_or(Error::NotFound("Slice not found."))?;
    if !slice::allows_sync(&row, node.clock.now()) {
        return Err(Error::PublisherEditing);
    }
    Ok(row)
}
