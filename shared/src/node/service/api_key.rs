//! Minting, listing and revoking the one machine credential of a company (design D3).

use crate::crypto::api_key::{Credential, secret_sha256};
use crate::node::{Error, Node, Principal};
use crate::store::api_key::ApiKeyRow;
use crate::store::user::{NewUser, login_key};
use crate::store::{self, Connection, StoreError};
use crate::wire::api_key::{ApiKey, ApiKeyInfo};
use crate::wire::server::ServerRole;
use crate::wire::user::Role;
use crate::wire::{Id, Timestamp};

/// Name, first name and e-mail of a sync user are this word, as in the reference.
const SYNC: &str = "sync";

/// Mints a key for the caller's company; the one before dies in the same transaction.
///
/// # Errors
/// [`Error::WrongServerRole`] on a secondary, [`Error::Forbidden`] for a machine.
pub async fn mint(node: &Node, who: &Principal) -> Result<ApiKey, Error> {
    node.require_role(ServerRole::Primary)?;
    who.require_company_admin()?;
    mint_for(node, who.company_id, &who.username).await
}

/// Mints a key for `company_id` in the name of `by`.
///
/// # Errors
/// [`Error::NotFound`] for an unknown company; what the store reports.
pub async fn mint_for(node: &Node, company_id: Id, by: &str) -> Result<ApiKey, Error> {
    let ring = node.seals.as_ref().ok_or(Error::WrongServerRole)?;
    let (kid, key) = ring.active();
    let (kid, key) = (kid.to_owned(), key.clone());
    let (random, now, server_id, by) =
        (node.random.clone(), node.clock.now(), node.server_id(), by.to_owned());
    let credential = Credential::fresh(server_id, &random);
    let key_id = credential.key_id().ok_or_else(|| Error::Internal("a fresh key has no id".to_owned()))?;
    node.store
        .write(move |conn| -> Result<ApiKey, Error> {
            // Takes the company's row: mints of one company queue here, in an order that the generation shows.
            let generation = store::company::next_key_generation(conn, company_id)?
                .ok_or(Error::NotFound("Company does not exist."))?;
            let user_id = sync_user(conn, company_id, &credential.username, now)?;
            store::api_key::revoke_all(conn, company_id, &by, "superseded", now)?;
            let row = ApiKeyRow {
                key_id,
                company_id,
                user_id,
                generation,
                secret_sha256: Some(secret_sha256(key_id, &credential.password).to_vec()),
                legacy_bcrypt: None,
                state: "active".to_owned(),
                created_at: now,
                created_by: by,
                first_used_at: None,
                last_used_at: None,
                last_used_ip: None,
                valid_until: None,
                revoked_at: None,
                revoked_by: None,
                revoked_why: None,
            };
            store::api_key::insert(conn, &row)?;
            store::keyring::count_seal(conn, &kid)?;
            let sync_api_key = credential.seal(&kid, &key, generation, &random);
            Ok(ApiKey { primary_id: server_id, sync_api_key, key_id, generation })
        })
        .await
}

/// The company's one sync user, under its new name; made if there is none.
fn sync_user(conn: &mut Connection, company_id: Id, username: &str, now: Timestamp) -> Result<i64, Error> {
    if let Some(user) = store::user::find_sync_user(conn, company_id)? {
        if !user.active {
            return Err(Error::Conflict(
                "the company's sync user was switched off by staff: nothing was minted".to_owned(),
            ));
        }
        store::user::rename_sync_user(conn, user.id, username, now)?;
        // A sync user that was made by hand may have logged in with a password.
        store::session::end_all(conn, user.id, now)?;
        return Ok(user.id);
    }
    let user = store::user::insert(
        conn,
        &NewUser {
            company_id,
            username: username.to_owned(),
            username_key: login_key(username),
            password_hash: None,
            email: SYNC.to_owned(),
            email_key: None,
            first_name: SYNC.to_owned(),
            last_name: SYNC.to_owned(),
            phone: String::new(),
            active: true,
            role: Role::Sync.number(),
            created_at: now,
            updated_at: now,
        },
    )?;
    Ok(user.id)
}

/// What may be told of the caller's company's keys, newest first.
///
/// # Errors
/// As [`mint`].
pub async fn list(node: &Node, who: &Principal) -> Result<Vec<ApiKeyInfo>, Error> {
    node.require_role(ServerRole::Primary)?;
    who.require_company_admin()?;
    list_for(node, Some(who.company_id)).await
}

/// What may be told of the keys of one company, or of all.
///
/// # Errors
/// What the store reports.
pub async fn list_for(node: &Node, company_id: Option<Id>) -> Result<Vec<ApiKeyInfo>, Error> {
    let rows: Vec<ApiKeyRow> = node.store.read(move |conn| store::api_key::list(conn, company_id)).await?;
    Ok(rows.into_iter().map(info).collect())
}

/// Ends every key of the caller's company, with all tokens that came from them; returns how many.
///
/// # Errors
/// As [`mint`].
pub async fn revoke(node: &Node, who: &Principal) -> Result<usize, Error> {
    node.require_role(ServerRole::Primary)?;
    who.require_company_admin()?;
    revoke_for(node, who.company_id, &who.username).await
}

/// Ends every key of `company_id`; returns how many.
///
/// # Errors
/// What the store reports.
pub async fn revoke_for(node: &Node, company_id: Id, by: &str) -> Result<usize, Error> {
    let (now, by) = (node.clock.now(), by.to_owned());
    let revoke = move |conn: &mut Connection| -> Result<usize, StoreError> {
        if let Some(user) = store::user::find_sync_user(conn, company_id)? {
            store::session::end_all(conn, user.id, now)?;
        }
        store::api_key::revoke_all(conn, company_id, &by, "revoked", now)
    };
    Ok(node.store.write(revoke).await?)
}

fn info(row: ApiKeyRow) -> ApiKeyInfo {
    ApiKeyInfo {
        key_id: row.key_id,
        company_id: row.company_id,
        generation: row.generation,
        state: row.state,
        created_at: row.created_at,
        created_by: row.created_by,
        first_used_at: row.first_used_at,
        last_used_at: row.last_used_at,
        last_used_ip: row.last_used_ip,
        revoked_at: row.revoked_at,
        revoked_by: row.revoked_by,
        revoked_why: row.revoked_why,
    }
}
