//! Listing and revoking the machine credentials of a company, and what their first login does (design D3).

use super::key_life::{accepts, format_of, is_ending, networks_of};
use crate::crypto::Secret;
use crate::node::permission::Action;
use crate::node::{Error, Node, Principal};
use crate::store::api_key::{ApiKeyRow, LoginKey};
use crate::store::session::Ended;
use crate::store::{self, Connection, StoreError};
use crate::wire::api_key::ApiKeyInfo;
use crate::wire::{Id, Timestamp};

/// A key logs in for the first time: the one before it has done its service. `false` if `key` was revoked meanwhile.
///
/// # Errors
/// What the store reports.
pub(super) fn first_use(
    conn: &mut Connection,
    key: &LoginKey,
    peer: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    store::company::find_for_update(conn, key.company_id)?;
    if !store::api_key::touch(conn, key, peer, now)? {
        return Ok(false);
    }
    store::mint_reply::forget(conn, key.key_id)?;
    let living = store::api_key::living(conn, key.company_id)?;
    // An overlap key that logs in late ends nothing: the newer one is still to come.
    for older in living.iter().filter(|other| other.generation < key.standing.generation) {
        let by = crate::crypto::api_key::username(key.key_id);
        store::api_key::revoke(conn, older.key_id, &by, "superseded", now)?;
    }
    Ok(true)
}

/// What may be told of the caller's company's keys, newest first.
///
/// # Errors
/// [`Error::WrongServerRole`] on a secondary, [`Error::Forbidden`] for a machine.
pub async fn list(node: &Node, who: &Principal) -> Result<Vec<ApiKeyInfo>, Error> {
    node.permit(who, Action::ListApiKeys)?;
    list_for(node, Some(who.company_id)).await
}

/// What may be told of the keys of one company, or of all.
///
/// # Errors
/// What the store reports.
pub async fn list_for(node: &Node, company_id: Option<Id>) -> Result<Vec<ApiKeyInfo>, Error> {
    let rows: Vec<ApiKeyRow> = node.store.read(move |conn| store::api_key::list(conn, company_id)).await?;
    let now = node.clock.now();
    Ok(rows.into_iter().map(|row| info(row, now)).collect())
}

/// Ends every key of the caller's company, with all tokens that came from them; returns how many.
///
/// # Errors
/// As [`list`].
pub async fn revoke(node: &Node, who: &Principal) -> Result<usize, Error> {
    node.permit(who, Action::RevokeApiKeys)?;
    revoke_for(node, who.company_id, &who.username).await
}

/// Ends every key of `company_id`; returns how many.
///
/// # Errors
/// What the store reports.
pub async fn revoke_for(node: &Node, company_id: Id, by: &str) -> Result<usize, Error> {
    let (now, by) = (node.clock.now(), by.to_owned());
    let revoke = move |conn: &mut Connection| -> Result<usize, StoreError> {
        store::company::find_for_update(conn, company_id)?;
        if let Some(user) = store::user::find_sync_user(conn, company_id)? {
            store::session::end_all(conn, user.id, None, Ended::KeyChanged, now)?;
        }
        store::api_key::revoke_all(conn, company_id, &by, "revoked", now)
    };
    Ok(node.store.write(revoke).await?)
}

/// What may be told of the key that `api_key` is; `None` for any other text. Changes nothing.
///
/// # Errors
/// What the store reports.
pub async fn inspect(node: &Node, api_key: &Secret) -> Result<Option<ApiKeyInfo>, Error> {
    let now = node.clock.now();
    let Some(key) = super::login::identify(node, api_key).await? else { return Ok(None) };
    let row = node.store.read(move |conn| store::api_key::find(conn, key.key_id)).await?;
    Ok(row.map(|row| info(row, now)))
}

fn info(row: ApiKeyRow, now: Timestamp) -> ApiKeyInfo {
    let standing = row.standing();
    let has_expired = row.state != "revoked" && !accepts(&standing, now);
    ApiKeyInfo {
        ending: is_ending(&standing, row.created_at, now),
        networks: networks_of(&row.networks),
        format: format_of(&row),
        expires_at: row.expires_at,
        key_id: row.key_id,
        company_id: row.company_id,
        generation: row.generation,
        state: if has_expired { "expired".to_owned() } else { row.state },
        created_at: row.created_at,
        created_by: row.created_by,
        first_used_at: row.first_used_at,
        last_used_at: row.last_used_at,
        last_used_ip: row.last_used_ip,
        valid_until: row.valid_until,
        revoked_at: row.revoked_at,
        revoked_by: row.revoked_by,
        revoked_why: row.revoked_why,
    }
}
