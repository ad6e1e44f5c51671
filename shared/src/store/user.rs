//! Logins on this node.

use diesel::prelude::*;

use super::schema::users;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// The role of machine users; at most one a company (a unique index says so).
pub(super) const SYNC_ROLE: i64 = 200;

/// A row of `users`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = users)]
pub struct UserRow {
    /// Local to this node.
    pub id: i64,
    /// Whom the user belongs to.
    pub company_id: Id,
    /// As written.
    pub username: String,
    /// In lower case: unique.
    pub username_key: String,
    /// bcrypt; `None` for a minted sync user.
    pub password_hash: Option<String>,
    /// As written.
    pub email: String,
    /// In lower case: unique; `None` for sync users.
    pub email_key: Option<String>,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// May be empty.
    pub phone: String,
    /// An inactive user cannot log in, and its tokens stop at once.
    pub active: bool,
    /// 100, 110, 120 or 200.
    pub role: i64,
    /// Tokens carry it; raising it ends them all.
    pub generation: i64,
    /// `None`: never.
    pub last_login: Option<Timestamp>,
    /// `None`: never.
    pub password_changed: Option<Timestamp>,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A user to add; the database chooses the id.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = users)]
pub struct NewUser {
    /// Whom the user belongs to.
    pub company_id: Id,
    /// As written.
    pub username: String,
    /// In lower case.
    pub username_key: String,
    /// bcrypt; `None` for a minted sync user.
    pub password_hash: Option<String>,
    /// As written.
    pub email: String,
    /// In lower case; `None` for sync users.
    pub email_key: Option<String>,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// May be empty.
    pub phone: String,
    /// Whether it may log in.
    pub active: bool,
    /// 100, 110, 120 or 200.
    pub role: i64,
    /// Now.
    pub created_at: Timestamp,
    /// Now.
    pub updated_at: Timestamp,
}

/// How user names and e-mail addresses are compared: one throttle, one account, whatever the case.
pub fn login_key(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Adds a user and returns the row.
///
/// # Errors
/// [`StoreError::Conflict`] when name or e-mail exist, or the company has a sync user already.
pub fn insert(conn: &mut Connection, new: &NewUser) -> Result<UserRow, StoreError> {
    diesel::insert_into(users::table).values(new).execute(conn)?;
    find_by_username(conn, &new.username)?
        .ok_or_else(|| StoreError::Internal("the user just added is gone".to_owned()))
}

/// The user with this id.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, id: i64) -> Result<Option<UserRow>, StoreError> {
    Ok(users::table.find(id).first(conn).optional()?)
}

/// Takes the row for writing until the transaction ends: two who change one user queue here.
///
/// # Errors
/// What SQL reports.
pub fn find_for_update(conn: &mut Connection, id: i64) -> Result<Option<UserRow>, StoreError> {
    match conn {
        // BEGIN IMMEDIATE has locked out every other writer.
        Connection::Sqlite(conn) => Ok(users::table.find(id).first(conn).optional()?),
        Connection::Postgres(conn) => Ok(users::table.find(id).for_no_key_update().first(conn).optional()?),
    }
}

/// The user of this name, ignoring case.
///
/// # Errors
/// What SQL reports.
pub fn find_by_username(conn: &mut Connection, username: &str) -> Result<Option<UserRow>, StoreError> {
    Ok(users::table.filter(users::username_key.eq(login_key(username))).first(conn).optional()?)
}

/// The user with this e-mail address, ignoring case.
///
/// # Errors
/// What SQL reports.
pub fn find_by_email(conn: &mut Connection, email: &str) -> Result<Option<UserRow>, StoreError> {
    Ok(users::table.filter(users::email_key.eq(login_key(email))).first(conn).optional()?)
}

/// The machine user of a company.
///
/// # Errors
/// What SQL reports.
pub fn find_sync_user(conn: &mut Connection, company_id: Id) -> Result<Option<UserRow>, StoreError> {
    Ok(users::table
        .filter(users::company_id.eq(company_id))
        .filter(users::role.eq(SYNC_ROLE))
        .first(conn)
        .optional()?)
}

/// Users by name, only those of `company` if given, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(
    conn: &mut Connection,
    company: Option<Id>,
    offset: i64,
    limit: i64,
) -> Result<(Vec<UserRow>, i64), StoreError> {
    let mut rows = users::table.into_boxed();
    let mut all = users::table.count().into_boxed();
    if let Some(id) = company {
        rows = rows.filter(users::company_id.eq(id));
        all = all.filter(users::company_id.eq(id));
    }
    let page = rows.order(users::username_key).offset(offset).limit(limit).load(conn)?;
    Ok((page, all.get_result(conn)?))
}

/// Writes names, e-mail, phone and active flag.
///
/// # Errors
/// [`StoreError::Conflict`] when the e-mail exists.
pub fn update(conn: &mut Connection, row: &UserRow) -> Result<(), StoreError> {
    diesel::update(users::table.find(row.id))
        .set((
            users::first_name.eq(&row.first_name),
            users::last_name.eq(&row.last_name),
            users::email.eq(&row.email),
            users::email_key.eq(&row.email_key),
            users::phone.eq(&row.phone),
            users::active.eq(row.active),
            users::updated_at.eq(row.updated_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// Raises the generation: no access token issued so far is good any more.
///
/// # Errors
/// What SQL reports.
pub fn end_tokens(conn: &mut Connection, id: i64) -> Result<(), StoreError> {
    diesel::update(users::table.find(id)).set(users::generation.eq(users::generation + 1)).execute(conn)?;
    Ok(())
}

/// Active users of a role.
///
/// # Errors
/// What SQL reports.
pub fn count_active(conn: &mut Connection, role: i64) -> Result<i64, StoreError> {
    Ok(users::table.filter(users::role.eq(role)).filter(users::active.eq(true)).count().get_result(conn)?)
}

/// Removes a user with its sessions and keys; `false` when there was none.
///
/// # Errors
/// What SQL reports.
pub fn delete(conn: &mut Connection, id: i64) -> Result<bool, StoreError> {
    Ok(diesel::delete(users::table.find(id)).execute(conn)? > 0)
}

/// Gives the sync user its next name. Its password lives in `api_keys`; what an earlier one was worth ends here.
///
/// # Errors
/// What SQL reports.
pub fn rename_sync_user(
    conn: &mut Connection,
    id: i64,
    username: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(users::table.find(id))
        .set((
            users::username.eq(username),
            users::username_key.eq(login_key(username)),
            users::password_hash.eq(None::<String>),
            users::generation.eq(users::generation + 1),
            users::password_changed.eq(now),
            users::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Notes a login of a person, unless what was issued to him has been ended since `generation` was read: then `false`.
///
/// # Errors
/// What SQL reports.
pub fn touch_login(
    conn: &mut Connection,
    id: i64,
    generation: i64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let touched = diesel::update(users::table.find(id).filter(users::generation.eq(generation)))
        .set(users::last_login.eq(now))
        .execute(conn)?;
    Ok(touched == 1)
}
