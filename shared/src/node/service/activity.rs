//! The sync log: partners write their own records, staff read them all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::node::body::{Rules, no_nul};
use crate::node::permission::Action;
use crate::node::query::List;
use crate::node::{Error, Node, Principal};
use crate::store::activity::{ActivityRow, NewActivity};
use crate::store::{self, Connection};
use crate::wire::Id;
use crate::wire::activity::{Activity, CreateActivity};
use crate::wire::page::Page;
use crate::wire::subscription::Subscription;

pub use crate::store::activity::COLUMNS;

const MISSING: Error = Error::NotFound("Activity does not exist.");

/// Adds a record of the caller's company; of any for staff.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`] for another's company or subscription (gap S12).
pub async fn create(node: &Node, who: &Principal, body: CreateActivity) -> Result<Activity, Error> {
    let mut rules = Rules::default();
    rules.required("CompanyID", !body.company_id.is_nil());
    rules.required("Message", !body.message.is_empty());
    rules.check()?;
    no_nul("Message", &body.message)?;
    no_nul("Error", &body.error)?;
    let scope = node.permit(who, Action::RecordActivity)?;
    scope.admits_company(body.company_id)?;
    let report = super::receiver::Report::of(node, who, &body);
    let new = NewActivity {
        uid: node.random.id(),
        company_id: body.company_id,
        sub_id: body.sub_id.given(),
        success: body.success,
        message: body.message,
        error: body.error,
        duration: body.duration,
        created_at: node.clock.now(),
    };
    node.store
        .write(move |conn| {
            if let (Some(sub_id), Some(own)) = (new.sub_id, scope.company())
                && store::subscription::find(conn, sub_id)?.is_none_or(|sub| sub.company_id != own)
            {
                return Err(Error::Forbidden);
            }
            if let Some(report) = report {
                report.take(conn, new.created_at)?;
            }
            Ok(to_wire(store::activity::insert(conn, &new)?))
        })
        .await
}

/// Records, newest first.
///
/// # Errors
/// [`Error::Forbidden`] but for staff.
pub async fn list(node: &Node, who: &Principal, list: List) -> Result<Page<Activity>, Error> {
    node.permit(who, Action::ListActivity)?;
    node.store
        .read(move |conn| {
            let (rows, total) = store::activity::list(conn, &list.selection)?;
            list.page(rows, total, store::activity::position, |rows| {
                let mut records: Vec<Activity> = rows.into_iter().map(to_wire).collect();
                if list.includes("subscription") {
                    embed_subscriptions(conn, &mut records)?;
                }
                Ok(records)
            })
        })
        .await
}

/// One record.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn view(node: &Node, who: &Principal, id: i64) -> Result<Activity, Error> {
    node.permit(who, Action::ViewActivity)?;
    node.store.read(move |conn| store::activity::find(conn, id)?.map(to_wire).ok_or(MISSING)).await
}

/// Removes a record.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn delete(node: &Node, who: &Principal, id: i64) -> Result<(), Error> {
    node.permit(who, Action::DeleteActivity)?;
    node.store.write(move |conn| if store::activity::delete(conn, id)? { Ok(()) } else { Err(MISSING) }).await
}

/// The subscriptions that records tell of, where these still exist.
fn embed_subscriptions(conn: &mut Connection, records: &mut [Activity]) -> Result<(), Error> {
    let mut found: HashMap<Id, Option<Subscription>> = HashMap::new();
    for record in records.iter_mut().filter(|record| !record.sub_id.is_nil()) {
        let subscription = match found.entry(record.sub_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let row = store::subscription::find(conn, record.sub_id)?;
                unknown.insert(row.map(super::subscription::to_wire))
            }
        };
        record.subscription.clone_from(subscription);
    }
    Ok(())
}

fn to_wire(row: ActivityRow) -> Activity {
    Activity {
        id: row.id,
        company_id: row.company_id,
        sub_id: row.sub_id.unwrap_or_default(),
        success: row.success,
        message: row.message,
        error: row.error,
        duration: row.duration,
        created_at: Some(row.created_at),
        subscription: None,
    }
}
