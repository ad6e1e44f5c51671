//! Subscriptions: staff of a primary make them, both parties see them.

use sha1::{Digest as _, Sha1};

use crate::node::body::{Rules, no_nul};
use crate::node::permission::{Action, Scope};
use crate::node::query::List;
use crate::node::{Error, Node, Principal};
use crate::store::company::name_key;
use crate::store::subscription::SubscriptionRow;
use crate::store::{self, Connection};
use crate::wire::page::Page;
use crate::wire::patch::Patch;
use crate::wire::server::ServerRole;
use crate::wire::subscription::{CreateSubscription, Subscription, UpdateSubscription};
use crate::wire::{Id, Timestamp};

pub use crate::store::subscription::COLUMNS;

const MISSING: Error = Error::NotFound("Subscription does not exist.");

/// Adds a subscription.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`], [`Error::WrongServerRole`], [`Error::Conflict`].
pub async fn create(node: &Node, who: &Principal, body: CreateSubscription) -> Result<Subscription, Error> {
    check(&body)?;
    node.permit(who, Action::CreateSubscription)?;
    insert(node, body).await
}

fn check(body: &CreateSubscription) -> Result<(), Error> {
    let mut rules = Rules::default();
    rules.required("SliceID", !body.slice_id.is_nil());
    rules.required("CompanyID", !body.company_id.is_nil());
    rules.name("Name", body.name.trim(), 3);
    rules.check()?;
    no_nul("Description", &body.description)
}

/// Adds a subscription whose rights the caller has settled; used by the command line too.
///
/// # Errors
/// [`Error::Invalid`], [`Error::WrongServerRole`], [`Error::Conflict`], [`Error::NotFound`] for an unknown slice or
/// company.
pub async fn insert(node: &Node, body: CreateSubscription) -> Result<Subscription, Error> {
    check(&body)?;
    node.require_role(ServerRole::Primary)?;
    let now = node.clock.now();
    let name = body.name.trim().to_owned();
    let another_id = node.random.id();
    let is_given = body.id.given().is_some();
    let mut row = SubscriptionRow {
        id: body.id.given().unwrap_or_else(|| id_of_pair(body.slice_id, body.company_id)),
        slice_id: body.slice_id,
        company_id: body.company_id,
        name_key: name_key(&name),
        name,
        description: body.description,
        active: body.active,
        offered: true,
        created_at: now,
        updated_at: now,
        gone: false,
    };
    node.store
        .write(move |conn| {
            // Held, so that it is not deleted meanwhile.
            if store::slice::find_for_update(conn, row.slice_id)?.is_none() {
                return Err(Error::NotFound("unknown slice"));
            }
            if store::company::find(conn, row.company_id)?.is_none() {
                return Err(Error::NotFound("unknown company"));
            }
            if store::subscription::find(conn, row.id)?.is_some() {
                if is_given {
                    return Err(Error::Conflict("Subscription id already exists.".to_owned()));
                }
                row.id = another_id;
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

/// Follows from slice and company (RFC 9562 §5.5): a subscription that is removed and made again has the id it had, and
/// so a receiver of the reference, which keeps the old one for ever, goes on.
fn id_of_pair(slice: Id, company: Id) -> Id {
    let hash = Sha1::new().chain_update(slice.as_bytes()).chain_update(company.as_bytes()).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(byte, hashed)| *byte = hashed);
    Id(uuid::Builder::from_sha1_bytes(bytes).into_uuid())
}

/// One subscription with company and slice.
///
/// # Errors
/// [`Error::Forbidden`] for another company's, and for a company also if there is none; [`Error::NotFound`].
pub async fn view(node: &Node, who: &Principal, id: Id) -> Result<Subscription, Error> {
    let scope = node.permit(who, Action::ViewSubscription)?;
    let now = node.clock.now();
    node.store
        .read(move |conn| {
            // Its id follows from slice and company: a 404 would say who does not subscribe to what.
            let row = store::subscription::find(conn, id)?;
            let row = row.ok_or_else(|| scope.unless_own(Error::Forbidden, MISSING))?;
            scope.admits_company(row.company_id)?;
            embed(conn, scope, row, now)
        })
        .await
}

/// One subscription by its name, ignoring case.
///
/// # Errors
/// [`Error::NotFound`], also for another company's.
pub async fn view_by_name(node: &Node, who: &Principal, name: String) -> Result<Subscription, Error> {
    let scope = node.permit(who, Action::ViewSubscription)?;
    let now = node.clock.now();
    node.store
        .read(move |conn| {
            let row = store::subscription::find_by_name(conn, &name)?.ok_or(MISSING)?;
            // Whether a name exists is no business of another company.
            scope.admits_company(row.company_id).map_err(|_foreign| MISSING)?;
            embed(conn, scope, row, now)
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
    let scope = node.permit(who, Action::ViewSubscription)?;
    scope.admits_company(company_id)?;
    let now = node.clock.now();
    node.store
        .read(move |conn| {
            let row = store::subscription::find_pair(conn, slice_id, company_id)?.ok_or(MISSING)?;
            embed(conn, scope, row, now)
        })
        .await
}

/// Subscriptions by name: all for staff (of one company if asked), his own for a company admin.
///
/// # Errors
/// [`Error::Forbidden`] for a machine and for another's company, [`Error::NotFound`] for a company that is not there.
pub async fn list(
    node: &Node,
    who: &Principal,
    company: Option<Id>,
    list: List,
) -> Result<Page<Subscription>, Error> {
    let scope = node.permit(who, Action::ListSubscriptions)?;
    if let Some(company) = company {
        scope.admits_company(company)?;
    }
    let now = node.clock.now();
    node.store
        .read(move |conn| {
            if let Some(company) = company
                && store::company::find(conn, company)?.is_none()
            {
                return Err(super::company::MISSING);
            }
            let company = company.or(scope.company());
            let (rows, total) = store::subscription::list(conn, company, &list.selection)?;
            list.page(rows, total, store::subscription::position, |rows| {
                rows.into_iter().map(|row| embed(conn, scope, row, now)).collect()
            })
        })
        .await
}

/// Removes a subscription; what was recorded of it stays.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::WrongServerRole`], [`Error::NotFound`].
pub async fn delete(node: &Node, who: &Principal, id: Id) -> Result<(), Error> {
    // On a secondary it would only come back with the next sync.
    node.permit(who, Action::DeleteSubscription)?;
    node.store
        .write(move |conn| if store::subscription::delete(conn, id)? { Ok(()) } else { Err(MISSING) })
        .await
}

/// Changes what the body names. A primary's staff changes name, description and whether it is active. On a secondary the
/// primary says what a subscription is called; staff has its own switch. A partner has none on a primary: the
/// publisher decides there who gets what, and what he has switched off must not be switched on by somebody else.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`] but for staff, [`Error::ForbiddenMember`], [`Error::NotFound`],
/// [`Error::Conflict`] for another id than the one asked for, another slice or another company.
pub async fn update(
    node: &Node,
    who: &Principal,
    id: Id,
    body: UpdateSubscription,
) -> Result<Subscription, Error> {
    let mut rules = Rules::default();
    for (field, member) in
        [("SubID", &body.sub_id), ("SliceID", &body.slice_id), ("CompanyID", &body.company_id)]
    {
        rules.not_null(field, member);
        rules.required(field, member.value().is_none_or(|id| !id.is_nil()));
    }
    rules.patched_name("Name", &body.name, 3);
    rules.not_null("Active", &body.active);
    rules.check()?;
    no_nul("Description", body.description.value().map_or("", String::as_str))?;
    if body.sub_id.value().is_some_and(|other| *other != id) {
        return Err(Error::Conflict("sub_id is not the id in the path".to_owned()));
    }
    let scope = node.permit(who, Action::UpdateSubscription)?;
    let (now, role) = (node.clock.now(), node.server.server_role);
    node.store
        .write(move |conn| {
            let mut row = store::subscription::find_for_update(conn, id)?.ok_or(MISSING)?;
            let is_other = |member: &Patch<Id>, own: Id| member.value().is_some_and(|id| *id != own);
            if is_other(&body.slice_id, row.slice_id) || is_other(&body.company_id, row.company_id) {
                return Err(Error::Conflict(
                    "a subscription keeps its slice and its company: make another one".to_owned(),
                ));
            }
            let name = body.name.value().map_or(row.name.as_str(), |name| name.trim()).to_owned();
            let description = body.description.or(row.description.clone());
            if role == ServerRole::Secondary {
                if name != row.name {
                    return Err(Error::ForbiddenMember("name"));
                }
                if description != row.description {
                    return Err(Error::ForbiddenMember("description"));
                }
            }
            if store::subscription::find_by_name(conn, &name)?.is_some_and(|other| other.id != id) {
                return Err(Error::Conflict("Subscription name already exists.".to_owned()));
            }
            row.name_key = name_key(&name);
            row.name = name;
            row.description = description;
            row.active = body.active.or(row.active);
            row.updated_at = now;
            store::subscription::update(conn, &row)?;
            embed(conn, scope, row, now)
        })
        .await
}

/// With company and slice; a partner sees the slice only while he may have it.
fn embed(
    conn: &mut Connection,
    scope: Scope,
    row: SubscriptionRow,
    now: Timestamp,
) -> Result<Subscription, Error> {
    let company = store::company::find(conn, row.company_id)?;
    let slice = if row.is_live() || scope.company().is_none() {
        store::slice::view(conn, row.slice_id)?
    } else {
        None
    };
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
