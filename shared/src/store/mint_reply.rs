//! Replies of `POST /apikey`, kept so that a retry with the same Idempotency-Key gets the same key (design D3).

use diesel::prelude::*;

use super::schema::mint_replies;
use super::{Connection, StoreError};
use crate::wire::{Id, Timestamp};

/// A row of `mint_replies`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = mint_replies)]
pub struct MintReplyRow {
    /// Of the caller and his Idempotency-Key.
    pub idempotency_sha256: Vec<u8>,
    /// The key that was minted.
    pub key_id: Id,
    /// Of what was asked for: another request under the same Idempotency-Key is a mistake.
    pub request_sha256: Vec<u8>,
    /// The encrypted answer; `None` once the key has logged in, so its holder has it.
    pub reply: Option<Vec<u8>>,
    /// When it was minted.
    pub created_at: Timestamp,
    /// From when on the Idempotency-Key is new again.
    pub expires_at: Timestamp,
}

/// The reply to an earlier request.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, idempotency_sha256: &[u8]) -> Result<Option<MintReplyRow>, StoreError> {
    Ok(mint_replies::table.find(idempotency_sha256).first(conn).optional()?)
}

/// Keeps a reply.
///
/// # Errors
/// [`StoreError::Conflict`] when there is one.
pub fn insert(conn: &mut Connection, row: &MintReplyRow) -> Result<(), StoreError> {
    diesel::insert_into(mint_replies::table).values(row).execute(conn)?;
    Ok(())
}

/// Forgets the secret part of the replies for a key.
///
/// # Errors
/// What SQL reports.
pub fn forget(conn: &mut Connection, key_id: Id) -> Result<(), StoreError> {
    diesel::update(mint_replies::table.filter(mint_replies::key_id.eq(key_id)))
        .set(mint_replies::reply.eq(None::<Vec<u8>>))
        .execute(conn)?;
    Ok(())
}

/// Removes what has expired.
///
/// # Errors
/// What SQL reports.
pub fn forget_expired(conn: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
    diesel::delete(mint_replies::table.filter(mint_replies::expires_at.le(now))).execute(conn)?;
    Ok(())
}
