//! Logins on this node.

use diesel::prelude::*;

use super::count::{self, Counted};
use super::list::{Column, Columns, Kind, Selection, Value, all_of, page_of};
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
    /// 100, 110, 120, 200 or 300.
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
    /// What the user wants to be called; may be empty.
    pub display_name: String,
    /// Set when the user was deleted. Nothing here but [`forget_deleted`] finds such a row.
    pub deleted_at: Option<Timestamp>,
}

/// Of a user, what every request with a credential of his needs to know: read each time, so no more than that.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct Holder {
    /// Local to this node.
    pub id: i64,
    /// Whom the user belongs to.
    pub company_id: Id,
    /// As written.
    pub username: String,
    /// As written.
    pub email: String,
    /// Whether the user is switched on.
    pub active: bool,
    /// 100, 110, 120, 200 or 300.
    pub role: i64,
    /// What tokens must carry.
    pub generation: i64,
}

impl From<UserRow> for Holder {
    fn from(row: UserRow) -> Self {
        let UserRow { id, company_id, username, email, active, role, generation, .. } = row;
        Self { id, company_id, username, email, active, role, generation }
    }
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
    /// 100, 110, 120, 200 or 300.
    pub role: i64,
    /// Now.
    pub created_at: Timestamp,
    /// Now.
    pub updated_at: Timestamp,
    /// May be empty.
    pub display_name: String,
}

/// The users that there are. A deleted one keeps its row and is none of them.
macro_rules! living {
    () => {
        users::table.filter(users::deleted_at.is_null())
    };
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
    Ok(living!().filter(users::id.eq(id)).first(conn).optional()?)
}

/// Takes the row for writing until the transaction ends: two who change one user queue here.
///
/// # Errors
/// What SQL reports.
pub fn find_for_update(conn: &mut Connection, id: i64) -> Result<Option<UserRow>, StoreError> {
    match conn {
        // BEGIN IMMEDIATE has locked out every other writer.
        Connection::Sqlite(conn) => Ok(living!().filter(users::id.eq(id)).first(conn).optional()?),
        Connection::Postgres(conn) => {
            Ok(living!().filter(users::id.eq(id)).for_no_key_update().first(conn).optional()?)
        }
    }
}

/// The user of this name, ignoring case.
///
/// # Errors
/// What SQL reports.
pub fn find_by_username(conn: &mut Connection, username: &str) -> Result<Option<UserRow>, StoreError> {
    Ok(living!().filter(users::username_key.eq(login_key(username))).first(conn).optional()?)
}

/// The user with this e-mail address, ignoring case.
///
/// # Errors
/// What SQL reports.
pub fn find_by_email(conn: &mut Connection, email: &str) -> Result<Option<UserRow>, StoreError> {
    Ok(living!().filter(users::email_key.eq(login_key(email))).first(conn).optional()?)
}

/// The machine user of a company.
///
/// # Errors
/// What SQL reports.
pub fn find_sync_user(conn: &mut Connection, company_id: Id) -> Result<Option<UserRow>, StoreError> {
    Ok(living!()
        .filter(users::company_id.eq(company_id))
        .filter(users::role.eq(SYNC_ROLE))
        .first(conn)
        .optional()?)
}

/// What lists of users offer.
pub const COLUMNS: Columns = Columns {
    filter: LISTED,
    sort: LISTED,
    by_default: USERNAME.ascending(),
    unique: ID,
    includes: &[],
    tagged: false,
    whole: false,
};

const ID: Column = Column::new("id", Kind::Number, "users.id");
const USERNAME: Column = Column::new("username", Kind::Folded, "users.username_key");
const LISTED: &[Column] = &[
    ID,
    USERNAME,
    Column::new("first_name", Kind::Text, "users.first_name"),
    Column::new("last_name", Kind::Text, "users.last_name"),
    // Sync users have none of their own.
    Column::new("email", Kind::Folded, "coalesce(users.email_key, users.email)"),
    Column::new("phone", Kind::Text, "users.phone"),
    Column::new("active", Kind::Bool, "users.active"),
    Column::new("role", Kind::Number, "users.role"),
    Column::new("company_id", Kind::Id, "users.company_id"),
    Column::new("last_login", Kind::Time, "coalesce(users.last_login, '0001-01-01T00:00:00.000000Z')"),
    Column::new(
        "password_changed",
        Kind::Time,
        "coalesce(users.password_changed, '0001-01-01T00:00:00.000000Z')",
    ),
    Column::new("created_at", Kind::Time, "users.created_at"),
    Column::new("updated_at", Kind::Time, "users.updated_at"),
];

/// What a row has in a column of [`COLUMNS`].
pub fn position(row: &UserRow, column: &str) -> Value {
    match column {
        "username" => Value::Text(row.username_key.clone()),
        "first_name" => Value::Text(row.first_name.clone()),
        "last_name" => Value::Text(row.last_name.clone()),
        "email" => Value::Text(row.email_key.as_ref().unwrap_or(&row.email).clone()),
        "phone" => Value::Text(row.phone.clone()),
        "active" => Value::Bool(row.active),
        "role" => Value::Number(row.role),
        "company_id" => Value::Id(row.company_id),
        "last_login" => Value::Time(row.last_login.unwrap_or_default()),
        "password_changed" => Value::Time(row.password_changed.unwrap_or_default()),
        "created_at" => Value::Time(row.created_at),
        "updated_at" => Value::Time(row.updated_at),
        _ => Value::Number(row.id),
    }
}

/// A page of users, only those of `company` if given, and how many there are.
///
/// # Errors
/// What SQL reports.
pub fn list(
    conn: &mut Connection,
    company: Option<Id>,
    selection: &Selection,
) -> Result<(Vec<UserRow>, i64), StoreError> {
    let query = || {
        let query = living!().into_boxed();
        match company {
            Some(id) => query.filter(users::company_id.eq(id)),
            None => query,
        }
    };
    let page = page_of!(query(), selection).load(conn)?;
    let total = if company.is_none() && selection.filter.is_empty() {
        count::of(conn, Counted::Users)?
    } else {
        all_of!(query(), selection).count().get_result(conn)?
    };
    Ok((page, total))
}

/// Users of companies, by name.
///
/// # Errors
/// What SQL reports.
pub fn of_companies(conn: &mut Connection, companies: &[Id]) -> Result<Vec<UserRow>, StoreError> {
    Ok(living!()
        .filter(users::company_id.eq_any(companies.to_vec()))
        .order(users::username_key)
        .load(conn)?)
}

/// Writes names, e-mail, phone and active flag, but for the user name.
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
            users::display_name.eq(&row.display_name),
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
    Ok(living!().filter(users::role.eq(role)).filter(users::active.eq(true)).count().get_result(conn)?)
}

/// Marks a user as deleted: from here on nobody finds it. Its id stays taken; its name and e-mail are free. What only
/// served to log in or to reach it is gone. Sessions and keys are the caller's business.
///
/// # Errors
/// What SQL reports.
pub fn delete(conn: &mut Connection, id: i64, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(users::table.find(id))
        .set((
            // No user name holds a space.
            users::username_key.eq(format!("deleted {id}")),
            users::password_hash.eq(None::<String>),
            users::email.eq(""),
            users::email_key.eq(None::<String>),
            users::phone.eq(""),
            users::active.eq(false),
            users::generation.eq(users::generation + 1),
            users::updated_at.eq(now),
            users::deleted_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Removes the rows of a company's deleted users, so that nothing of them keeps the company.
///
/// # Errors
/// What SQL reports.
pub fn forget_deleted(conn: &mut Connection, company_id: Id) -> Result<(), StoreError> {
    diesel::delete(
        users::table.filter(users::company_id.eq(company_id)).filter(users::deleted_at.is_not_null()),
    )
    .execute(conn)?;
    Ok(())
}

/// Sets a password, if the one before still is `old_hash`; else `false`.
///
/// # Errors
/// What SQL reports.
pub fn set_password(
    conn: &mut Connection,
    id: i64,
    old_hash: Option<&str>,
    new_hash: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(user) = find_for_update(conn, id)? else { return Ok(false) };
    if user.password_hash.as_deref() != old_hash {
        return Ok(false);
    }
    diesel::update(users::table.find(id))
        .set((users::password_hash.eq(new_hash), users::password_changed.eq(now), users::updated_at.eq(now)))
        .execute(conn)?;
    Ok(true)
}

/// Keeps a better hash of the same password, if nobody has set another one since `user` was read.
///
/// # Errors
/// What SQL reports.
pub fn rehash(conn: &mut Connection, user: &UserRow, new_hash: &str) -> Result<(), StoreError> {
    diesel::update(users::table.find(user.id).filter(users::password_hash.eq(&user.password_hash)))
        .set(users::password_hash.eq(new_hash))
        .execute(conn)?;
    Ok(())
}

/// Takes a password that somebody else may know: nobody logs in with any until another one is set.
///
/// # Errors
/// What SQL reports.
pub fn take_password(conn: &mut Connection, id: i64, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(users::table.find(id))
        .set((
            users::password_hash.eq(None::<String>),
            users::password_changed.eq(now),
            users::updated_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
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

/// Notes a login of a person, unless what was issued to him has been ended, or his password changed, since `user` was
/// read: then `false`.
///
/// # Errors
/// What SQL reports.
pub fn touch_login(conn: &mut Connection, user: &UserRow, now: Timestamp) -> Result<bool, StoreError> {
    let unchanged = users::table
        .find(user.id)
        .filter(users::generation.eq(user.generation))
        .filter(users::password_hash.eq(&user.password_hash));
    let touched = diesel::update(unchanged).set(users::last_login.eq(now)).execute(conn)?;
    Ok(touched == 1)
}
