//! The node's secret keys, each wrapped by the root key.

use diesel::prelude::*;

use super::schema::keyring;
use super::{Connection, StoreError};
use crate::wire::Timestamp;

/// A row of `keyring`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = keyring)]
pub struct KeyRow {
    /// `r0`, `r1` … for seal keys, `j0` … for JWT keys.
    pub id: String,
    /// `seal` or `jwt`.
    pub purpose: String,
    /// `prepared`, `active`, `superseded` or `retired`.
    pub state: String,
    /// The key, encrypted under the root key; empty once it is retired.
    pub wrapped: Vec<u8>,
    /// How many api-keys it has sealed.
    pub seals: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it seals or signs.
    pub activated_at: Option<Timestamp>,
    /// Since when it is refused.
    pub retired_at: Option<Timestamp>,
    /// Since when it only opens or verifies.
    pub superseded_at: Option<Timestamp>,
}

/// Adds a key.
///
/// # Errors
/// [`StoreError::Conflict`] when the id exists or its purpose has an active key already.
pub fn insert(conn: &mut Connection, row: &KeyRow) -> Result<(), StoreError> {
    diesel::insert_into(keyring::table).values(row).execute(conn)?;
    Ok(())
}

/// All keys that are not retired, newest first.
///
/// # Errors
/// What SQL reports.
pub fn list(conn: &mut Connection) -> Result<Vec<KeyRow>, StoreError> {
    Ok(keyring::table
        .filter(keyring::state.ne("retired"))
        .order((keyring::created_at.desc(), keyring::id.desc()))
        .load(conn)?)
}

/// All keys, also retired ones, newest first.
///
/// # Errors
/// What SQL reports.
pub fn list_all(conn: &mut Connection) -> Result<Vec<KeyRow>, StoreError> {
    Ok(keyring::table.order((keyring::created_at.desc(), keyring::id.desc())).load(conn)?)
}

/// One key.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, id: &str) -> Result<Option<KeyRow>, StoreError> {
    Ok(keyring::table.find(id).first(conn).optional()?)
}

/// The key that seals or signs.
///
/// # Errors
/// What SQL reports.
pub fn find_active(conn: &mut Connection, purpose: &str) -> Result<Option<KeyRow>, StoreError> {
    Ok(keyring::table
        .filter(keyring::purpose.eq(purpose))
        .filter(keyring::state.eq("active"))
        .first(conn)
        .optional()?)
}

/// Makes a prepared key the active one; the one that was active before only opens or verifies from now on.
///
/// # Errors
/// What SQL reports.
pub fn activate(conn: &mut Connection, id: &str, purpose: &str, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(keyring::table.filter(keyring::purpose.eq(purpose)).filter(keyring::state.eq("active")))
        .set((keyring::state.eq("superseded"), keyring::superseded_at.eq(now)))
        .execute(conn)?;
    diesel::update(keyring::table.find(id))
        .set((keyring::state.eq("active"), keyring::activated_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Ends a key and forgets it: nothing that it sealed or signed is good any more.
///
/// # Errors
/// What SQL reports.
pub fn retire(conn: &mut Connection, id: &str, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(keyring::table.find(id))
        .set((
            keyring::state.eq("retired"),
            keyring::retired_at.eq(now),
            keyring::wrapped.eq(Vec::<u8>::new()),
        ))
        .execute(conn)?;
    Ok(())
}

/// Counts one more seal by `id`; `false` when it has made `most` already: GCM with random nonces has a bound (SP 800-38D
/// §8.3).
///
/// # Errors
/// What SQL reports.
pub fn count_seal(conn: &mut Connection, id: &str, most: i64) -> Result<bool, StoreError> {
    let counted = diesel::update(keyring::table.find(id).filter(keyring::seals.lt(most)))
        .set(keyring::seals.eq(keyring::seals + 1))
        .execute(conn)?;
    Ok(counted == 1)
}
