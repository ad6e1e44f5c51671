//! Refresh tokens that were exchanged for another one.

use diesel::prelude::*;

use super::schema::spent_tokens;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `spent_tokens`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = spent_tokens)]
pub struct SpentTokenRow {
    /// SHA-256 of the token.
    pub token_sha256: Vec<u8>,
    /// Whose it was.
    pub session_id: Id,
    /// When it was exchanged.
    pub spent_at: Timestamp,
    /// The token that it was exchanged for, encrypted; `None` once that was used.
    pub successor: Option<Vec<u8>>,
}

/// Adds a token; those that were spent before it in the session have no successor any more that could be asked for.
///
/// # Errors
/// What SQL reports.
pub fn insert(conn: &mut Connection, row: &SpentTokenRow) -> Result<(), StoreError> {
    forget_successors(conn, row.session_id)?;
    diesel::insert_into(spent_tokens::table).values(row).execute(conn)?;
    Ok(())
}

/// The newest token of the session was used: what was spent before is spent for good.
///
/// # Errors
/// What SQL reports.
pub fn forget_successors(conn: &mut Connection, session_id: Id) -> Result<(), StoreError> {
    let kept = spent_tokens::table
        .filter(spent_tokens::session_id.eq(session_id))
        .filter(spent_tokens::successor.is_not_null());
    diesel::update(kept).set(spent_tokens::successor.eq(None::<Vec<u8>>)).execute(conn)?;
    Ok(())
}

/// The token with this hash.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, token_sha256: &[u8]) -> Result<Option<SpentTokenRow>, StoreError> {
    Ok(spent_tokens::table.find(token_sha256).first(conn).optional()?)
}
