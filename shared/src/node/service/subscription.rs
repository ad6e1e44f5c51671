//! Subscriptions: staff of a primary make them, both parties see them.

use crate::node::body::{Rules, no_nul};
use crate::node::query::offset;
use crate::node::{Error, Node, Principal};
use crate::store::company::name_key;
use crate::store::subscription::SubscriptionRow;
use crate::store::{self, Connection};
use crate::wire::page::{Page, Paging};
use crate::wire::server::ServerRole;
use crate::wire::subscription::{CreateSubscription, Subscription};
use crate::wire::{Id, Timestamp};

const MISSING: Error = Error::NotFound("Subscription does not exist.");

/// Adds a subscription.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`], [`Error::WrongServerRole`], [`Error::Conflict`].
pub async fn create(node: &Node, who: &Principal, body: CreateSubscription) -> Result<Subscription, Error> {
    check(&body)?;
    who.require_staff()?;
    insert(node, body).await
}

fn check(body: &CreateSubscription) -> Result<(), Error> {
    let mut rules = Rules::default();
    rules.required("SliceID", !body.slice_id.is_nil());
    rules.required("CompanyID", !body.company_id.is_nil());
    rules.name("Name", body.name.trim(), 3);
    rules.check()?;
    no_nul("Name", &body.name)?;
    no_nul("Description", &body.description)
}

/// Adds a subscription whose rights the caller has settled; used by the command line too.
///
/// # Errors
/// [`Error::Invalid`], [`Error::WrongServerRole`], [`Error::Conflict`], [`Error::BadRequest`] for an unknown slice or
/// company.
pub async fn insert(node: &Node, body: CreateSubscription) -> Result<Subscription, Error> {
    check(&body)?;
    node.require_role(ServerRole::Primary)?;
    let now = node.clock.now();
    let name = body.name.trim().to_owned();
    let row = SubscriptionRow {
        id: body.id.given().unwrap_or_else(|| node.random.id()),
        slice_id: body.slice_id,
        company_id: body.company_id,
        name_key: name_key(&name),
        name,
        description: body.description,
        active: body.active,
        offered: true,
        created_at: now,
        updated_at: now,
    };
    node.store
        .write(move |conn| {
            if store::slice::find(conn, row.slice_id)?.is_none() {
                return Err(Error::BadRequest("unknown slice".to_owned()));
            }
            if store::company::find(conn, row.company_id)?.is_none() {
                return Err(Error::BadRequest("unknown company".to_owned()));
            }
            if store::subscription::find(conn, row.id)?.is_some() {
                return Err(Error::Conflict("Subscription id already exists.".to_owned()));
            }
            if store::subscription::find_by_name(conn, &row.name)?.is_some() {
                return Err(Error::Conflict("Subscription name already exists.".to_owned()));
            }
            if store::subscription::find_pair(conn, row.slice_id, row.company_id)?.is_some() {
                return Err(Error::Conflict("the company subscribes to this slice already".to_owned()));
            }
            store::subscription::insert(conn, &row)?;
            Ok(to_wire(row))
        })
        .await
}

/// One subscription with company and slice.
///
/// # Errors
/// [`Error::Forbidden`] for another company's, [`Error::NotFound`].
pub async fn view(node: &Node, who: &Principal, id: Id) -> Result<Subscription, Error> {
    who.require_company_admin()?;
    let (now, who) = (node.clock.now(), who.clone());
    node.store
        .read(move |conn| {
            let row = store::subscription::find(conn, id)?.ok_or(MISSING)?;
            who.require_company(row.company_id)?;
            embed(conn, row, now)
        })
        .await
}

/// One subscription by its name, ignoring case.
///
/// # Errors
/// [`Error::NotFound`], also for another company's.
pub async fn view_by_name(node: &Node, who: &Principal, name: String) -> Result<Subscription, Error> {
    who.require_company_admin()?;
    let (now, who) = (node.clock.now(), who.clone());
    node.store
        .read(move |conn| {
            let row = store::subscription::find_by_name(conn, &name)?.ok_or(MISSING)?;
            // Whether a name exists is no business of another company.
            who.require_company(row.company_id).map_err(|_foreign| MISSING)?;
            embed(conn, row, now)
        })
        .await
}

/// The subscription of a company to a slice.
///
/// # Errors
/// As [`view`].
pub async fn view_pair(
    node: &Node,
    who: &Principal,
    company_id: Id,
    slice_id: Id,
) -> Result<Subscription, Error> {
    who.require_company(company_id)?;
    let now = node.clock.now();
    node.store
        .read(move |conn| {
            let row = store::subscription::find_pair(conn, slice_id, company_id)?.ok_or(MISSING)?;
            embed(conn, row, now)
        })
        .await
}

/// Subscriptions by name: all for staff (of one company if asked), his own for a company admin.
///
/// # Errors
/// [`Error::Forbidden`] for a machine and for another's company.
pub async fn list(
    node: &Node,
    who: &Principal,
    company: Option<Id>,
    mut paging: Paging,
) -> Result<Page<Subscription>, Error> {
    who.require_company_admin()?;
    if let Some(company) = company {
        who.require_company(company)?;
    }
    let (now, scope) = (node.clock.now(), company.or(who.scope()));
    node.store
        .read(move |conn| {
            let (rows, total) = store::subscription::list(conn, scope, offset(&paging), paging.page_size)?;
            paging.items_total = total;
            let subs = rows.into_iter().map(|row| embed(conn, row, now)).collect::<Result<_, Error>>()?;
            Ok(Page::new(subs, paging))
        })
        .await
}

/// Removes a subscription; what was recorded of it stays.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::WrongServerRole`], [`Error::NotFound`].
pub async fn delete(node: &Node, who: &Principal, id: Id) -> Result<(), Error> {
    who.require_staff()?;
    // On a secondary it would only come back with the next sync.
    node.require_role(ServerRole::Primary)?;
    node.store
        .write(move |conn| if store::subscription::delete(conn, id)? { Ok(()) } else { Err(MISSING) })
        .await
}

fn embed(conn: &mut Connection, row: SubscriptionRow, now: Timestamp) -> Result<Subscription, Error> {
    let company = store::company::find(conn, row.company_id)?;
    let slice = store::slice::view(conn, row.slice_id)?;
    let mut sub = to_wire(row);
    sub.company = match company {
        Some(company) => super::company::embed(conn, vec![company])?.pop(),
        None => None,
    };
    sub.slice = slice.map(|view| super::slice::to_wire(view, now));
    Ok(sub)
}

/// As it crosses the wire, without company and slice.
pub fn to_wire(row: SubscriptionRow) -> Subscription {
    let active = row.is_live();
    Subscription {
        id: row.id,
        slice_id: row.slice_id,
        company_id: row.company_id,
        name: row.name,
        description: row.description,
        active,
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
        company: None,
        slice: None,
        received: None,
    }
}
