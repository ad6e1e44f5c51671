//! Removing what a primary no longer offers.

use shared::node::Error;
use shared::node::permission::{Action, By};
use shared::node::service::slice_edit;
use shared::store::{self, Connection};
use shared::wire::Id;

use crate::Secondary;

const MISSING: Error = Error::NotFound("Slice does not exist.");

/// Removes a received slice with all it holds, and the subscriptions that brought it. Nothing must bring it back unasked: so its
/// primary must have ceased to offer it, or must be switched off here.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`], [`Error::Conflict`] while it is offered, [`Error::SyncRunning`]
/// while its primary is synced.
pub async fn delete(secondary: &Secondary, by: By<'_>, id: Id) -> Result<(), Error> {
    let node = &secondary.node;
    node.permit_by(by, Action::DeleteSlice)?;
    let found = node.store.read(move |conn| store::slice::find(conn, id)).await?;
    let primary_id = found.and_then(|slice| slice.primary_id);
    // A run that began before would go on with it.
    let _lock = match primary_id {
        Some(primary_id) => Some(node.store.try_run_lock(primary_id).await?.ok_or(Error::SyncRunning)?),
        None => None,
    };
    let now = node.clock.now();
    node.store
        .write(move |conn| {
            if store::slice::find_for_update(conn, id)?.is_none() {
                // A removal that was cut off, asked for again.
                return if store::slice::retired(conn)?.contains(&id) { Ok(()) } else { Err(MISSING) };
            }
            refuse_offered(conn, id)?;
            for sub in store::subscription::of_slice(conn, id)? {
                store::subscription::delete(conn, sub.id)?;
            }
            store::stage::forget(conn, id)?;
            Ok(store::slice::retire(conn, id, now)?)
        })
        .await?;
    slice_edit::purge(node).await
}

fn refuse_offered(conn: &mut Connection, id: Id) -> Result<(), Error> {
    for sub in store::subscription::of_slice(conn, id)?.into_iter().filter(|sub| !sub.gone) {
        let company = store::company::find(conn, sub.company_id)?;
        if let Some(company) = company.filter(|company| company.active) {
            return Err(Error::Conflict(format!(
                "\"{}\" still offers this slice: ask its publisher to end the subscription and sync once more, or switch \
                 that company off here first",
                company.name
            )));
        }
    }
    Ok(())
}
