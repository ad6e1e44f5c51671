//! Trading partners, and the owner of this node.

use diesel::prelude::*;

use super::schema::{companies, users};
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `companies`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = companies)]
pub struct CompanyRow {
    /// Shared by both nodes.
    pub id: Id,
    /// As written.
    pub name: String,
    /// In lower case: what makes names unique ignoring case.
    pub name_key: String,
    /// Base URL of the company's server, if it has one.
    pub sync_addr: Option<String>,
    /// An inactive company cannot log in, sync or be synced.
    pub active: bool,
    /// Generation of its newest api-key.
    pub key_generation: i64,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// How names are compared.
pub fn name_key(name: &str) -> String {
    name.to_lowercase()
}

/// Adds a company.
///
/// # Errors
/// [`StoreError::Conflict`] when id, name or address exist.
pub fn insert(conn: &mut Connection, row: &CompanyRow) -> Result<(), StoreError> {
    diesel::insert_into(companies::table).values(row).execute(conn)?;
    Ok(())
}

/// Writes name, address and active flag.
///
/// # Errors
/// [`StoreError::Conflict`] when name or address exist.
pub fn update(conn: &mut Connection, row: &CompanyRow) -> Result<(), StoreError> {
    diesel::update(companies::table.find(row.id))
        .set((
            companies::name.eq(&row.name),
            companies::name_key.eq(&row.name_key),
            companies::sync_addr.eq(&row.sync_addr),
            companies::active.eq(row.active),
            companies::updated_at.eq(row.updated_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// Removes a company; `false` when there was none.
///
/// # Errors
/// [`StoreError::Reference`] while users or subscriptions refer to it.
pub fn delete(conn: &mut Connection, id: Id) -> Result<bool, StoreError> {
    Ok(diesel::delete(companies::table.find(id)).execute(conn)? > 0)
}

/// The company with this id.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, id: Id) -> Result<Option<CompanyRow>, StoreError> {
    Ok(companies::table.find(id).first(conn).optional()?)
}

/// The company of this name, ignoring case.
///
/// # Errors
/// What SQL reports.
pub fn find_by_name(conn: &mut Connection, name: &str) -> Result<Option<CompanyRow>, StoreError> {
    Ok(companies::table.filter(companies::name_key.eq(name_key(name))).first(conn).optional()?)
}

/// The company with this address.
///
/// # Errors
/// What SQL reports.
pub fn find_by_addr(conn: &mut Connection, addr: &str) -> Result<Option<CompanyRow>, StoreError> {
    Ok(companies::table.filter(companies::sync_addr.eq(addr)).first(conn).optional()?)
}

/// Companies in the order of their names, only `id` if given, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(
    conn: &mut Connection,
    only: Option<Id>,
    offset: i64,
    limit: i64,
) -> Result<(Vec<CompanyRow>, i64), StoreError> {
    let mut rows = companies::table.into_boxed();
    let mut all = companies::table.count().into_boxed();
    if let Some(id) = only {
        rows = rows.filter(companies::id.eq(id));
        all = all.filter(companies::id.eq(id));
    }
    let page = rows.order((companies::name_key, companies::id)).offset(offset).limit(limit).load(conn)?;
    Ok((page, all.get_result(conn)?))
}

/// Active companies with an address, without `own`: the servers one can talk to.
///
/// # Errors
/// What SQL reports.
pub fn servers(conn: &mut Connection, own: Id) -> Result<Vec<CompanyRow>, StoreError> {
    Ok(companies::table
        .filter(companies::id.ne(own))
        .filter(companies::active.eq(true))
        .filter(companies::sync_addr.is_not_null())
        .order(companies::name_key)
        .load(conn)?)
}

/// The sync user of each of these companies that has one: (company, user id).
///
/// # Errors
/// What SQL reports.
pub fn sync_users(conn: &mut Connection, ids: &[Id]) -> Result<Vec<(Id, i64)>, StoreError> {
    Ok(users::table
        .filter(users::company_id.eq_any(ids.to_vec()))
        .filter(users::role.eq(super::user::SYNC_ROLE))
        .filter(users::deleted_at.is_null())
        .select((users::company_id, users::id))
        .load(conn)?)
}

/// Takes the row for writing until the transaction ends: two who change one company, or its keys, queue here.
///
/// # Errors
/// What SQL reports.
pub fn find_for_update(conn: &mut Connection, id: Id) -> Result<Option<CompanyRow>, StoreError> {
    match conn {
        // BEGIN IMMEDIATE has locked out every other writer.
        Connection::Sqlite(conn) => Ok(companies::table.find(id).first(conn).optional()?),
        Connection::Postgres(conn) => {
            Ok(companies::table.find(id).for_no_key_update().first(conn).optional()?)
        }
    }
}

/// Raises the key generation of `id`, whose row is held, and returns it.
///
/// # Errors
/// What SQL reports.
pub fn next_key_generation(conn: &mut Connection, id: Id) -> Result<i64, StoreError> {
    diesel::update(companies::table.find(id))
        .set(companies::key_generation.eq(companies::key_generation + 1))
        .execute(conn)?;
    Ok(companies::table.find(id).select(companies::key_generation).first(conn)?)
}
