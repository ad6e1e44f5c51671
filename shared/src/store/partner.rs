//! On a secondary: the credential kept for each primary, and the fencing token of its runs.

use diesel::prelude::*;

use super::schema::partners;
use super::{Connection, StoreError};
use crate::wire::auth::KeyLife;
use crate::wire::{Id, Timestamp};

/// A row of `partners`. Keys are encrypted under the root key.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = partners)]
pub struct PartnerRow {
    /// The primary's company.
    pub primary_id: Id,
    /// The key that last logged in.
    pub api_key: Option<Vec<u8>>,
    /// A key that somebody brought and that has not logged in yet; it replaces `api_key` when it has (design D14).
    pub candidate_key: Option<Vec<u8>>,
    /// Raised by each run.
    pub fence: i64,
    /// Whether the primary once spoke sync-2.
    pub sync2: bool,
    /// Last good login there.
    pub last_login_at: Option<Timestamp>,
    /// When the row last changed.
    pub updated_at: Timestamp,
    /// Idempotency-Key of a rotation under way, written before the primary is asked.
    pub rotation_key: Option<Vec<u8>>,
    /// When the key that last logged in was minted, as far as the primary says.
    pub key_created_at: Option<Timestamp>,
    /// When it ends by itself.
    pub key_expires_at: Option<Timestamp>,
    /// A key that a rotation minted and that has not logged in yet: beside the candidate, so that neither costs the other.
    pub minted_key: Option<Vec<u8>>,
}

impl PartnerRow {
    /// How long the key that last logged in lives.
    pub fn key_life(&self) -> KeyLife {
        KeyLife { created_at: self.key_created_at, expires_at: self.key_expires_at }
    }

    /// The keys in the order in which a login tries them.
    pub fn keys(self) -> [Option<Vec<u8>>; 3] {
        [self.candidate_key, self.minted_key, self.api_key]
    }

    /// Whether any key is stored, proven or not.
    pub fn has_key(&self) -> bool {
        self.api_key.is_some() || self.candidate_key.is_some() || self.minted_key.is_some()
    }
}

/// The row of a primary.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, primary_id: Id) -> Result<Option<PartnerRow>, StoreError> {
    Ok(partners::table.find(primary_id).first(conn).optional()?)
}

/// All rows.
///
/// # Errors
/// What SQL reports.
pub fn list(conn: &mut Connection) -> Result<Vec<PartnerRow>, StoreError> {
    Ok(partners::table.order(partners::primary_id).load(conn)?)
}

fn ensure(conn: &mut Connection, primary_id: Id, now: Timestamp) -> Result<(), StoreError> {
    if find(conn, primary_id)?.is_none() {
        diesel::insert_into(partners::table)
            .values(PartnerRow {
                primary_id,
                api_key: None,
                candidate_key: None,
                fence: 0,
                sync2: false,
                last_login_at: None,
                updated_at: now,
                rotation_key: None,
                key_created_at: None,
                key_expires_at: None,
                minted_key: None,
            })
            .execute(conn)?;
    }
    Ok(())
}

/// The row of a primary, and nobody else changes it until the transaction ends.
fn find_for_update(conn: &mut Connection, primary_id: Id) -> Result<Option<PartnerRow>, StoreError> {
    match conn {
        // BEGIN IMMEDIATE has locked out every other writer.
        Connection::Sqlite(conn) => Ok(partners::table.find(primary_id).first(conn).optional()?),
        Connection::Postgres(conn) => {
            Ok(partners::table.find(primary_id).for_no_key_update().first(conn).optional()?)
        }
    }
}

/// Stores a key that somebody brought and that has to prove itself; the proven one stays until then.
///
/// # Errors
/// [`StoreError::Reference`] when the primary's company is unknown.
pub fn set_candidate(
    conn: &mut Connection,
    primary_id: Id,
    key: &[u8],
    now: Timestamp,
) -> Result<(), StoreError> {
    ensure(conn, primary_id, now)?;
    diesel::update(partners::table.find(primary_id))
        .set((partners::candidate_key.eq(key), partners::updated_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// The same for a key that a rotation minted.
///
/// # Errors
/// What SQL reports.
pub fn set_minted(
    conn: &mut Connection,
    primary_id: Id,
    key: &[u8],
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(partners::table.find(primary_id))
        .set((partners::minted_key.eq(key), partners::updated_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Remembers that a rotation is under way, or that it is not any more.
///
/// # Errors
/// What SQL reports.
pub fn set_rotation(conn: &mut Connection, primary_id: Id, key: Option<&[u8]>) -> Result<(), StoreError> {
    diesel::update(partners::table.find(primary_id)).set(partners::rotation_key.eq(key)).execute(conn)?;
    Ok(())
}

/// `key` has logged in where `before` was the proven one: it is that now. Of the other keys go those that are spent: tried
/// before it, or not needed any more. What was stored meanwhile stays. Nothing happens when another key has been proven
/// since.
///
/// # Errors
/// What SQL reports.
pub fn promote(
    conn: &mut Connection,
    primary_id: Id,
    (before, key): (Option<&[u8]>, &[u8]),
    is_spent: impl Fn(&[u8]) -> bool,
    life: KeyLife,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = find_for_update(conn, primary_id)?.filter(|row| row.api_key.as_deref() == before);
    let Some(row) = row else { return Ok(()) };
    let unspent = |stored: Option<Vec<u8>>| stored.filter(|key| !is_spent(key));
    diesel::update(partners::table.find(primary_id))
        .set((
            partners::api_key.eq(key),
            partners::candidate_key.eq(unspent(row.candidate_key)),
            partners::minted_key.eq(unspent(row.minted_key)),
            partners::last_login_at.eq(now),
            partners::updated_at.eq(now),
            partners::key_created_at.eq(life.created_at),
            partners::key_expires_at.eq(life.expires_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// Stores a key that an admin has just minted and that has logged in: nothing before it counts any more.
///
/// # Errors
/// [`StoreError::Reference`] when the primary's company is unknown.
pub fn set_proven(
    conn: &mut Connection,
    primary_id: Id,
    key: &[u8],
    life: KeyLife,
    now: Timestamp,
) -> Result<(), StoreError> {
    ensure(conn, primary_id, now)?;
    diesel::update(partners::table.find(primary_id))
        .set((
            partners::api_key.eq(key),
            partners::candidate_key.eq(None::<Vec<u8>>),
            partners::minted_key.eq(None::<Vec<u8>>),
            partners::rotation_key.eq(None::<Vec<u8>>),
            partners::last_login_at.eq(now),
            partners::updated_at.eq(now),
            partners::key_created_at.eq(life.created_at),
            partners::key_expires_at.eq(life.expires_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// Remembers whether the primary speaks sync-2.
///
/// # Errors
/// What SQL reports.
pub fn set_sync2(conn: &mut Connection, primary_id: Id, sync2: bool) -> Result<(), StoreError> {
    diesel::update(partners::table.find(primary_id)).set(partners::sync2.eq(sync2)).execute(conn)?;
    Ok(())
}

/// Raises the fence and returns it: whoever holds a lower one can no longer commit.
///
/// # Errors
/// What SQL reports.
pub fn raise_fence(conn: &mut Connection, primary_id: Id, now: Timestamp) -> Result<i64, StoreError> {
    ensure(conn, primary_id, now)?;
    diesel::update(partners::table.find(primary_id))
        .set(partners::fence.eq(partners::fence + 1))
        .execute(conn)?;
    Ok(partners::table.find(primary_id).select(partners::fence).first(conn)?)
}

/// Whether `fence` is still the newest. Writes the row, so that a rival run waits for this transaction.
///
/// # Errors
/// What SQL reports.
pub fn holds_fence(conn: &mut Connection, primary_id: Id, fence: i64) -> Result<bool, StoreError> {
    let held = diesel::update(partners::table.find(primary_id).filter(partners::fence.eq(fence)))
        .set(partners::fence.eq(fence))
        .execute(conn)?;
    Ok(held == 1)
}
