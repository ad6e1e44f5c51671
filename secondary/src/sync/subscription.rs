//! Taking over what the primary says we subscribe to. The primary rules its own rows and no others; a subscription that
//! is switched off here stays off.

use std::collections::HashSet;

use shared::node::Error;
use shared::node::service::version;
use shared::store::activity::NewActivity;
use shared::store::company::name_key;
use shared::store::slice::SliceRow;
use shared::store::subscription::SubscriptionRow;
use shared::store::{self, Connection, StoreError};
use shared::wire::slice::{SLICE_TYPES, Slice};
use shared::wire::subscription::Subscription;
use shared::wire::{Id, Timestamp};

use super::Run;
use crate::service::partner;

/// An active subscription.
pub(super) struct Wanted {
    /// Its id.
    pub sub_id: Id,
    /// The slice as the primary describes it.
    pub slice: Slice,
    /// Why it cannot be synced, if so.
    pub refused: Option<String>,
}

/// Active subscriptions here that the primary no longer lists: their last copy stays, and nothing renews it.
///
/// # Errors
/// What the store reports.
pub(super) async fn no_longer_offered(
    run: &Run,
    remote: &HashSet<Id>,
) -> Result<Vec<(Id, Id, String)>, Error> {
    let primary_id = run.primary_id;
    let local = run
        .secondary
        .node
        .store
        .read(move |conn| -> Result<_, StoreError> {
            let mut found = Vec::new();
            for sub in store::subscription::of_company(conn, primary_id)?.into_iter().filter(|sub| sub.active)
            {
                let name =
                    store::slice::find(conn, sub.slice_id)?.map(|slice| slice.name).unwrap_or_default();
                found.push((sub.id, sub.slice_id, name));
            }
            Ok(found)
        })
        .await?;
    Ok(local.into_iter().filter(|(id, ..)| !remote.contains(id)).collect())
}

/// Notes which subscriptions the primary no longer lists, switched on here or not: staff may remove what they brought.
///
/// # Errors
/// What the store reports; [`Error::SyncRunning`] when a newer run took over.
pub(super) async fn note_gone(run: &Run, remote: HashSet<Id>) -> Result<(), Error> {
    let (primary_id, now) = (run.primary_id, run.secondary.node.clock.now());
    let local =
        run.secondary.node.store.read(move |conn| store::subscription::of_company(conn, primary_id)).await?;
    let gone: Vec<Id> =
        local.iter().filter(|sub| !sub.gone && !remote.contains(&sub.id)).map(|sub| sub.id).collect();
    // The usual case writes nothing.
    if gone.is_empty() {
        return Ok(());
    }
    partner::write_fenced(&run.secondary, primary_id, run.fence, move |conn| {
        for id in gone {
            store::subscription::set_gone(conn, id, true, now)?;
        }
        Ok(())
    })
    .await
}

/// Writes the remote list into our tables and returns what is to be synced.
///
/// # Errors
/// [`Error::Upstream`] for a subscription without its slice; what the store reports.
pub(super) async fn take_over(run: &Run, remote: Vec<Subscription>) -> Result<Vec<Wanted>, Error> {
    let mut wanted = Vec::new();
    for sub in remote {
        let Some(slice) = sub.slice.clone().filter(|slice| slice.id == sub.slice_id) else {
            return Err(Error::Upstream(format!("subscription {} comes without its slice", sub.id)));
        };
        let (sub_id, wanted_there) = (sub.id, sub.active);
        let taken = match refuse_unfit(&slice) {
            Some(_) if !wanted_there => Taken::Inactive,
            Some(why) => Taken::Refused(sub_id, why),
            // One subscription that cannot be taken over must not keep the others from it.
            None => match take_over_despite_rivals(run, &sub, &slice).await {
                Err(Error::Store(StoreError::Conflict(_) | StoreError::Reference(_))) => {
                    Taken::Refused(sub_id, "its names or ids clash with what is here already".to_owned())
                }
                other => other?,
            },
        };
        match taken {
            Taken::Active(sub_id) => wanted.push(Wanted { sub_id, slice, refused: None }),
            Taken::Refused(..) if !wanted_there => {}
            Taken::Refused(sub_id, why) => wanted.push(Wanted { sub_id, slice, refused: Some(why) }),
            Taken::Inactive => {}
        }
    }
    Ok(wanted)
}

/// What no primary of ours would send: it would end up in tables, files and terminals here.
pub(super) fn refuse_unfit(slice: &Slice) -> Option<String> {
    let name = &slice.slice_name;
    if name.is_empty() || name.chars().count() > 255 || name.chars().any(char::is_control) {
        return Some("its name is empty, too long or holds control characters".to_owned());
    }
    if !SLICE_TYPES.contains(&slice.slice_type.as_str()) {
        return Some("its slice-type is unknown".to_owned());
    }
    None
}

enum Taken {
    Active(Id),
    Inactive,
    Refused(Id, String),
}

/// A name that was free a moment ago may be taken by the run of another primary: then another one is free.
async fn take_over_despite_rivals(run: &Run, sub: &Subscription, slice: &Slice) -> Result<Taken, Error> {
    for _attempt in 0..3 {
        match take_over_one(run, sub.clone(), slice.clone()).await {
            Err(Error::Store(StoreError::Conflict(_))) => {}
            other => return other,
        }
    }
    take_over_one(run, sub.clone(), slice.clone()).await
}

async fn take_over_one(run: &Run, sub: Subscription, slice: Slice) -> Result<Taken, Error> {
    let node = &run.secondary.node;
    let (primary_id, fence, now) = (run.primary_id, run.fence, node.clock.now());
    let (epoch, uid) = (node.random.id(), node.random.id());
    let unchanged = {
        let (sub, slice) = (sub.clone(), slice.clone());
        node.store.read(move |conn| is_known(conn, primary_id, &sub, &slice)).await?
    };
    // The usual case costs no write transaction.
    if let Some(active) = unchanged {
        return Ok(if active { Taken::Active(sub.id) } else { Taken::Inactive });
    }
    // A list that was read before a newer run began is no news any more.
    partner::write_fenced(&run.secondary, primary_id, fence, move |conn| {
        if let Some(why) = take_over_slice(conn, primary_id, &slice, epoch, now)? {
            return Ok(Taken::Refused(sub.id, why));
        }
        Ok(take_over_subscription(conn, primary_id, &sub, uid, now)?)
    })
    .await
}

/// `Some(active)` if everything the primary says is here already.
fn is_known(
    conn: &mut Connection,
    primary_id: Id,
    sub: &Subscription,
    slice: &Slice,
) -> Result<Option<bool>, StoreError> {
    let Some(local) = store::subscription::find(conn, sub.id)? else { return Ok(None) };
    let Some(known) = store::slice::find(conn, slice.id)? else { return Ok(None) };
    let same = local.company_id == primary_id
        && local.slice_id == slice.id
        && sub.active == local.offered
        && !local.gone
        && known.primary_id == Some(primary_id)
        && (known.name == slice.slice_name
            || known.name.starts_with(&format!("{} ({})", slice.slice_name, slice.id)))
        && known.slice_type == slice.slice_type;
    Ok(same.then_some(local.is_live()))
}

/// Adds or renames the slice; a sentence if it is another's.
fn take_over_slice(
    conn: &mut Connection,
    primary_id: Id,
    slice: &Slice,
    epoch: Id,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let local = store::slice::find(conn, slice.id)?;
    if local.as_ref().is_some_and(|local| local.primary_id != Some(primary_id)) {
        return Ok(Some(format!("slice id {} belongs to another primary here", slice.id)));
    }
    let name = free_name(&slice.slice_name, slice.id, |name| {
        Ok(store::slice::find_by_name(conn, name)?.is_some_and(|other| other.id != slice.id))
    })?;
    match local {
        Some(local) if local.name == name && local.slice_type == slice.slice_type => {}
        Some(local) => store::slice::rename(conn, local.id, &name, &slice.slice_type, now)?,
        None => {
            let row = SliceRow {
                draft_change: 0,
                id: slice.id,
                name_key: name_key(&name),
                name,
                slice_type: slice.slice_type.clone(),
                primary_id: Some(primary_id),
                epoch,
                current_version: 0,
                allow_sync: true,
                lock_owner: None,
                lock_expires_at: None,
                sync_status: "none".to_owned(),
                last_sync_attempt: None,
                last_good_sync: None,
                created_at: now,
                updated_at: now,
            };
            store::slice::insert(conn, &row)?;
            store::version::insert(conn, &version::empty(slice.id, now))?;
        }
    }
    Ok(None)
}

/// As the reference makes names unique; another primary may have taken even that name.
fn free_name(
    name: &str,
    id: Id,
    mut is_taken: impl FnMut(&str) -> Result<bool, StoreError>,
) -> Result<String, StoreError> {
    let mut candidate = name.to_owned();
    let mut round = 1;
    while is_taken(&candidate)? {
        candidate = if round == 1 { format!("{name} ({id})") } else { format!("{name} ({id}) {round}") };
        round += 1;
    }
    Ok(candidate)
}

fn take_over_subscription(
    conn: &mut Connection,
    primary_id: Id,
    sub: &Subscription,
    uid: Id,
    now: Timestamp,
) -> Result<Taken, StoreError> {
    let mut local = store::subscription::find(conn, sub.id)?;
    if local.as_ref().is_some_and(|local| local.company_id != primary_id) {
        return Ok(Taken::Refused(
            sub.id,
            format!("subscription id {} belongs to another primary here", sub.id),
        ));
    }
    if local.as_ref().is_some_and(|local| local.slice_id != sub.slice_id) {
        return Ok(Taken::Refused(sub.id, format!("subscription {} was for another slice", sub.id)));
    }
    if local.is_none() {
        // Deleted and made anew there: the same pair under a new id (gap B11).
        local = store::subscription::find_pair(conn, sub.slice_id, primary_id)?;
        if let Some(old) = &local {
            store::subscription::set_id(conn, old.id, sub.id, now)?;
        }
    }
    let Some(local) = local else {
        let base: String = printable(&sub.name).take(255).collect();
        let name =
            free_name(&base, sub.id, |name| Ok(store::subscription::find_by_name(conn, name)?.is_some()))?;
        let row = SubscriptionRow {
            id: sub.id,
            slice_id: sub.slice_id,
            company_id: primary_id,
            name_key: name_key(&name),
            name,
            description: printable(&sub.description).take(1_000).collect(),
            active: true,
            offered: sub.active,
            created_at: now,
            updated_at: now,
            gone: false,
        };
        store::subscription::insert(conn, &row)?;
        return Ok(if row.is_live() { Taken::Active(sub.id) } else { Taken::Inactive });
    };
    if local.gone {
        store::subscription::set_gone(conn, sub.id, false, now)?;
    }
    if local.offered != sub.active {
        store::subscription::set_offered(conn, sub.id, sub.active, now)?;
    }
    if local.offered && !sub.active {
        let record = NewActivity {
            uid,
            company_id: primary_id,
            sub_id: Some(sub.id),
            success: false,
            message: "deactivated by primary".to_owned(),
            error: String::new(),
            duration: 0,
            created_at: now,
        };
        store::activity::insert(conn, &record)?;
    }
    Ok(if local.active && sub.active { Taken::Active(sub.id) } else { Taken::Inactive })
}

/// Without what PostgreSQL cannot keep and a terminal should not get.
fn printable(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|c| !c.is_control())
}
