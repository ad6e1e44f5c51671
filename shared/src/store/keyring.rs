//! The node's secret keys, each wrapped by the root key.

use diesel::prelude::*;

use super::schema::keyring;
use super::{Connection, StoreError};
use crate::wire::Timestamp;

/// A row of `keyring`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = keyring)]
pub struct KeyRow {
    /// `r0`, `r1` … for seal keys, `j0` … for JWT keys.
    pub id: String,
    /// `seal` or `jwt`.
    pub purpose: String,
    /// `prepared`, `active` or `retired`.
    pub state: String,
    /// The key, encrypted under the root key.
    pub wrapped: Vec<u8>,
    /// How many api-keys it has sealed.
    pub seals: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it seals or signs.
    pub activated_at: Option<Timestamp>,
    /// Since when it is refused.
    pub retired_at: Option<Timestamp>,
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

/// Counts one more seal by `id`: GCM with random nonces has a bound (SP 800-38D §8.3).
///
/// # Errors
/// What SQL reports.
pub fn count_seal(conn: &mut Connection, id: &str) -> Result<(), StoreError> {
    diesel::update(keyring::table.find(id)).set(keyring::seals.eq(keyring::seals + 1)).execute(conn)?;
    Ok(())
}
