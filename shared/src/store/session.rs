//! Logins of people: one row each, found by the hash of its refresh token.

use diesel::prelude::*;

use super::schema::{companies, sessions, settings, users};
use super::user::UserRow;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `sessions`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = sessions)]
pub struct SessionRow {
    /// The `sid` claim of its access tokens.
    pub id: Id,
    /// Whose login it is.
    pub user_id: i64,
    /// SHA-256 of the refresh token.
    pub token_sha256: Vec<u8>,
    /// Time of the login.
    pub created_at: Timestamp,
    /// Time of the last refresh.
    pub last_seen_at: Timestamp,
    /// The refresh token is refused from here on.
    pub expires_at: Timestamp,
    /// Set by logout, password change, deactivation.
    pub ended_at: Option<Timestamp>,
}

/// Adds a session.
///
/// # Errors
/// What SQL reports.
pub fn insert(conn: &mut Connection, row: &SessionRow) -> Result<(), StoreError> {
    diesel::insert_into(sessions::table).values(row).execute(conn)?;
    Ok(())
}

/// The session with this refresh token, its user, and whether the user's company is active.
///
/// # Errors
/// What SQL reports.
pub fn find_by_token(
    conn: &mut Connection,
    token_sha256: &[u8],
) -> Result<Option<(SessionRow, UserRow, bool)>, StoreError> {
    Ok(sessions::table
        .inner_join(users::table.inner_join(companies::table))
        .filter(sessions::token_sha256.eq(token_sha256))
        .filter(users::deleted_at.is_null())
        .select((sessions::all_columns, users::all_columns, companies::active))
        .first(conn)
        .optional()?)
}

/// What one read tells of a live session.
#[derive(Debug, Clone, Queryable)]
pub struct LiveSession {
    /// Whose it is.
    pub user: UserRow,
    /// Whether the user's company is switched on.
    pub company_active: bool,
    /// Which state of the key rings is in force.
    pub ring_epoch: i64,
}

/// A live session with its user and company: the one read behind every request of a person.
///
/// # Errors
/// What SQL reports.
pub fn find_live(conn: &mut Connection, id: Id) -> Result<Option<LiveSession>, StoreError> {
    Ok(sessions::table
        .inner_join(users::table.inner_join(companies::table))
        .filter(sessions::id.eq(id))
        .filter(sessions::ended_at.is_null())
        .filter(users::deleted_at.is_null())
        .select((
            users::all_columns,
            companies::active,
            settings::table.select(settings::ring_epoch).single_value().assume_not_null(),
        ))
        .first(conn)
        .optional()?)
}

/// Notes a refresh.
///
/// # Errors
/// What SQL reports.
pub fn touch(conn: &mut Connection, id: Id, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(sessions::table.find(id)).set(sessions::last_seen_at.eq(now)).execute(conn)?;
    Ok(())
}

/// Ends every session of a user: no token of theirs is good any more.
///
/// # Errors
/// What SQL reports.
pub fn end_all(conn: &mut Connection, user_id: i64, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(
        sessions::table.filter(sessions::user_id.eq(user_id)).filter(sessions::ended_at.is_null()),
    )
    .set(sessions::ended_at.eq(now))
    .execute(conn)?;
    Ok(())
}

/// Ends every session of a user but for `kept`.
///
/// # Errors
/// What SQL reports.
pub fn end_others(conn: &mut Connection, user_id: i64, kept: Id, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(
        sessions::table
            .filter(sessions::user_id.eq(user_id))
            .filter(sessions::id.ne(kept))
            .filter(sessions::ended_at.is_null()),
    )
    .set(sessions::ended_at.eq(now))
    .execute(conn)?;
    Ok(())
}

/// Removes the sessions of a user that can no longer be refreshed.
///
/// # Errors
/// What SQL reports.
pub fn forget_expired(conn: &mut Connection, user_id: i64, now: Timestamp) -> Result<(), StoreError> {
    diesel::delete(
        sessions::table.filter(sessions::user_id.eq(user_id)).filter(sessions::expires_at.lt(now)),
    )
    .execute(conn)?;
    Ok(())
}
