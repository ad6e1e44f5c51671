//! Companies: who may see, make and change them.

use std::collections::HashMap;

use crate::node::body::{Rules, indexable};
use crate::node::permission::Action;
use crate::node::query::List;
use crate::node::{Error, Node, Principal};
use crate::store::company::{CompanyRow, name_key};
use crate::store::{self, Connection, StoreError};
use crate::wire::Id;
use crate::wire::company::{Company, CreateCompany, UpdateCompany};
use crate::wire::page::Page;
use crate::wire::server::ServerRole;
use crate::wire::user::User;

pub use crate::store::company::COLUMNS;

pub(super) const MISSING: Error = Error::NotFound("Company does not exist.");

/// Adds a company.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`], [`Error::Conflict`].
pub async fn create(node: &Node, who: &Principal, body: CreateCompany) -> Result<Company, Error> {
    let row = new_row(node, &body)?;
    node.permit(who, Action::CreateCompany)?;
    insert(node, row).await
}

/// Checks what a company needs; used by the command line too.
///
/// # Errors
/// [`Error::Invalid`].
pub fn new_row(node: &Node, body: &CreateCompany) -> Result<CompanyRow, Error> {
    if body.sync_api_key.is_some() {
        return Err(Error::BadRequest(
            "sync_api_key: add the company, then store the key by PATCH".to_owned(),
        ));
    }
    let mut rules = Rules::default();
    rules.name("Name", body.name.trim(), 3);
    rules.check()?;
    indexable("SyncAddr", &body.sync_addr)?;
    let now = node.clock.now();
    let name = body.name.trim().to_owned();
    Ok(CompanyRow {
        id: body.id.given().unwrap_or_else(|| node.random.id()),
        name_key: name_key(&name),
        name,
        sync_addr: address(&body.sync_addr),
        active: body.active,
        key_generation: 0,
        created_at: now,
        updated_at: now,
    })
}

/// Adds a checked row.
///
/// # Errors
/// [`Error::Conflict`].
pub async fn insert(node: &Node, row: CompanyRow) -> Result<Company, Error> {
    node.store
        .write(move |conn| {
            if store::company::find(conn, row.id)?.is_some() {
                return Err(Error::Conflict("Company id already exists.".to_owned()));
            }
            refuse_taken(conn, &row)?;
            store::company::insert(conn, &row)?;
            Ok(to_wire(row, None))
        })
        .await
}

fn refuse_taken(conn: &mut Connection, row: &CompanyRow) -> Result<(), Error> {
    if store::company::find_by_name(conn, &row.name)?.is_some_and(|other| other.id != row.id) {
        return Err(Error::Conflict("Company name already exists.".to_owned()));
    }
    if let Some(addr) = &row.sync_addr
        && store::company::find_by_addr(conn, addr)?.is_some_and(|other| other.id != row.id)
    {
        return Err(Error::Conflict("Company sync_addr already exists.".to_owned()));
    }
    Ok(())
}

/// One company with its users.
///
/// # Errors
/// [`Error::Forbidden`] for another's, [`Error::NotFound`].
pub async fn view(node: &Node, who: &Principal, id: Id) -> Result<Company, Error> {
    node.permit(who, Action::ViewCompany)?.admits_company(id)?;
    node.store
        .read(move |conn| {
            let row = store::company::find(conn, id)?.ok_or(MISSING)?;
            let mut companies = embed(conn, vec![row])?;
            embed_users(conn, &mut companies)?;
            companies.pop().ok_or(MISSING)
        })
        .await
}

/// Companies by name: all for staff, his own for a company admin.
///
/// # Errors
/// [`Error::Forbidden`] for a machine.
pub async fn list(node: &Node, who: &Principal, list: List) -> Result<Page<Company>, Error> {
    let scope = node.permit(who, Action::ListCompanies)?.company();
    node.store
        .read(move |conn| {
            let (rows, total) = store::company::list(conn, scope, &list.selection)?;
            list.page(rows, total, store::company::position, |rows| {
                let mut companies = embed(conn, rows)?;
                if list.includes("users") {
                    embed_users(conn, &mut companies)?;
                }
                Ok(companies)
            })
        })
        .await
}

/// Changes what the body names. On a secondary the key of a primary is set elsewhere (see the secondary's `partner`).
///
/// # Errors
/// [`Error::Invalid`], [`Error::Forbidden`], [`Error::ForbiddenMember`], [`Error::NotFound`], [`Error::Conflict`].
pub async fn update(node: &Node, who: &Principal, id: Id, body: UpdateCompany) -> Result<Company, Error> {
    let mut rules = Rules::default();
    rules.patched_name("Name", &body.name, 3);
    rules.not_null("Active", &body.active);
    rules.not_null("SyncAPIKey", &body.sync_api_key);
    rules.check()?;
    node.permit(who, Action::UpdateCompany)?.admits_company(id)?;
    if body.sync_user_id.is_some() {
        return Err(Error::ForbiddenMember("sync_user_id"));
    }
    // A tenant that could switch itself on would undo what staff switched off.
    if body.active.is_some() {
        who.may(Action::SwitchCompany).map_err(|_forbidden| Error::ForbiddenMember("active"))?;
    }
    // On a secondary the address is where a key is sent.
    if body.sync_addr.is_some() && node.server.server_role == ServerRole::Secondary {
        who.may(Action::PlacePrimary)?;
    }
    if body.active.value() == Some(&false) && id == node.server_id() {
        return Err(Error::Conflict(
            "this company owns the server: switched off, it would lock everybody out".to_owned(),
        ));
    }
    let now = node.clock.now();
    node.store
        .write(move |conn| {
            let mut row = store::company::find_for_update(conn, id)?.ok_or(MISSING)?;
            if let Some(name) = body.name.value() {
                row.name_key = name_key(name.trim());
                row.name = name.trim().to_owned();
            }
            let addr = body.sync_addr.or(row.sync_addr.unwrap_or_default());
            indexable("SyncAddr", &addr)?;
            row.sync_addr = address(&addr);
            row.active = body.active.or(row.active);
            row.updated_at = now;
            refuse_taken(conn, &row)?;
            store::company::update(conn, &row)?;
            embed(conn, vec![row])?.pop().ok_or(MISSING)
        })
        .await
}

/// Removes a company that has neither users nor subscriptions, and from which no slice came. Users that were deleted
/// before do not keep it.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::NotFound`], [`Error::Conflict`].
pub async fn delete(node: &Node, who: &Principal, id: Id) -> Result<(), Error> {
    node.permit(who, Action::DeleteCompany)?;
    node.store
        .write(move |conn| {
            store::user::forget_deleted(conn, id)?;
            match store::company::delete(conn, id) {
                Ok(true) => Ok(()),
                Ok(false) => Err(MISSING),
                Err(StoreError::Reference(_)) => Err(Error::Conflict(
                    "Company has users, subscriptions or slices: delete them first.".to_owned(),
                )),
                Err(other) => Err(other.into()),
            }
        })
        .await
}

/// Companies with a server one can talk to, but for the own one; `name` ignores case. The stored key is never part of
/// it (gap S8).
///
/// # Errors
/// [`Error::Forbidden`] but for staff.
pub async fn servers(node: &Node, who: &Principal, name: Option<String>) -> Result<Vec<Company>, Error> {
    node.permit(who, Action::ListServers)?;
    let (own, role) = (node.server_id(), node.server.server_role);
    node.store
        .read(move |conn| {
            let wanted = name.as_deref().map(name_key);
            let rows = store::company::servers(conn, own)?;
            rows.into_iter()
                .filter(|row| wanted.as_ref().is_none_or(|wanted| *wanted == row.name_key))
                .map(|row| as_server(conn, row, role))
                .collect()
        })
        .await
}

/// One of them.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::NotFound`].
pub async fn server(node: &Node, who: &Principal, id: Id) -> Result<Company, Error> {
    node.permit(who, Action::ViewServerOfCompany)?;
    let role = node.server.server_role;
    node.store
        .read(move |conn| {
            let row = store::company::find(conn, id)?.ok_or(MISSING)?;
            as_server(conn, row, role)
        })
        .await
}

fn as_server(conn: &mut Connection, row: CompanyRow, role: ServerRole) -> Result<Company, Error> {
    let has_api_key = match role {
        ServerRole::Primary => None,
        ServerRole::Secondary => {
            let partner = store::partner::find(conn, row.id)?;
            Some(partner.is_some_and(|partner| partner.has_key()))
        }
    };
    // The reference leaves the times at zero here.
    Ok(Company { has_api_key, created_at: None, updated_at: None, ..to_wire(row, None) })
}

/// The company with this id or, ignoring case, this name: how commands name one.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn find(node: &Node, id_or_name: String) -> Result<CompanyRow, Error> {
    node.store
        .read(move |conn| {
            let by_id = match id_or_name.parse() {
                Ok(id) => store::company::find(conn, id)?,
                Err(_not_an_id) => None,
            };
            let found = match by_id {
                Some(row) => Some(row),
                None => store::company::find_by_name(conn, &id_or_name)?,
            };
            found.ok_or(MISSING)
        })
        .await
}

/// Whitespace and a trailing slash do not make another address; no text is no address.
fn address(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('/');
    (!text.is_empty()).then(|| text.to_owned())
}

/// What other tables say of companies: the sync user (on a primary), whether a key is stored (on a secondary).
pub(super) fn embed(conn: &mut Connection, rows: Vec<CompanyRow>) -> Result<Vec<Company>, StoreError> {
    let ids: Vec<Id> = rows.iter().map(|row| row.id).collect();
    let sync_users: HashMap<Id, i64> = store::company::sync_users(conn, &ids)?.into_iter().collect();
    let mut companies = Vec::with_capacity(rows.len());
    for row in rows {
        let partner = store::partner::find(conn, row.id)?;
        let sync_user = sync_users.get(&row.id).copied();
        let has_api_key = partner.map(|partner| partner.has_key());
        companies.push(Company { has_api_key, ..to_wire(row, sync_user) });
    }
    Ok(companies)
}

/// Their users, by name.
fn embed_users(conn: &mut Connection, companies: &mut [Company]) -> Result<(), StoreError> {
    let ids: Vec<Id> = companies.iter().map(|company| company.id).collect();
    let mut users: HashMap<Id, Vec<User>> = HashMap::new();
    for row in store::user::of_companies(conn, &ids)? {
        users.entry(row.company_id).or_default().push(super::user::to_wire(row));
    }
    for company in companies {
        company.users = users.remove(&company.id);
    }
    Ok(())
}

/// As it crosses the wire.
pub fn to_wire(row: CompanyRow, sync_user_id: Option<i64>) -> Company {
    Company {
        id: row.id,
        name: row.name,
        sync_addr: row.sync_addr.unwrap_or_default(),
        sync_user_id,
        has_api_key: None,
        active: row.active,
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
        users: None,
    }
}
