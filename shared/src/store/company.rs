//! Trading partners, and the owner of this node.

use diesel::prelude::*;

use super::count::{self, Counted};
use super::list::{Column, Columns, Kind, Selection, Value, all_of, page_of};
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

/// What lists of companies offer.
pub const COLUMNS: Columns = Columns {
    filter: LISTED,
    sort: LISTED,
    by_default: NAME.ascending(),
    unique: ID,
    includes: &["users"],
    tagged: false,
    whole: false,
};

const ID: Column = Column::new("id", Kind::Id, "companies.id");
const NAME: Column = Column::new("name", Kind::Folded, "companies.name_key");
const LISTED: &[Column] = &[
    ID,
    NAME,
    Column::new("sync_addr", Kind::Text, "coalesce(companies.sync_addr, '')"),
    Column::new("active", Kind::Bool, "companies.active"),
    Column::new("created_at", Kind::Time, "companies.created_at"),
    Column::new("updated_at", Kind::Time, "companies.updated_at"),
];

/// What a row has in a column of [`COLUMNS`].
pub fn position(row: &CompanyRow, column: &str) -> Value {
    match column {
        "name" => Value::Text(row.name_key.clone()),
        "sync_addr" => Value::Text(row.sync_addr.clone().unwrap_or_default()),
        "active" => Value::Bool(row.active),
        "created_at" => Value::Time(row.created_at),
        "updated_at" => Value::Time(row.updated_at),
        _ => Value::Id(row.id),
    }
}

/// A page of companies, only `id` if given, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(
    conn: &mut Connection,
    only: Option<Id>,
    selection: &Selection,
) -> Result<(Vec<CompanyRow>, i64), StoreError> {
    let query = || {
        let query = companies::table.into_boxed();
        match only {
            Some(id) => query.filter(companies::id.eq(id)),
            None => query,
        }
    };
    let page = page_of!(query(), selection).load(conn)?;
    let total = if only.is_none() && selection.filter.is_empty() {
        count::of(conn, Counted::Companies)?
    } else {
        all_of!(query(), selection).count().get_result(conn)?
    };
    Ok((page, total))
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

/// Raises the key generation of every company: so many may have been given out that nobody here knows of.
///
/// # Errors
/// What SQL reports.
pub fn raise_key_generations(conn: &mut Connection, by: i64) -> Result<(), StoreError> {
    diesel::update(companies::table)
        .set(companies::key_generation.eq(companies::key_generation + by))
        .execute(conn)?;
    Ok(())
}
