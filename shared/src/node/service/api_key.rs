//! Minting, listing and revoking the one machine credential of a company (design D3).
//!
//! Mint, revoke and the first login of a key all take the company's row first, so of two of them one sees what the
//! other did.

use chrono::Duration;
use sha2::{Digest as _, Sha256};

use crate::crypto::Secret;
use crate::crypto::api_key::{Credential, secret_sha256};
use crate::crypto::retry::Retry;
use crate::failpoint::{Failpoint, reach};
use crate::node::auth::accepts;
use crate::node::permission::Action;
use crate::node::{Error, Node, Principal};
use crate::store::api_key::ApiKeyRow;
use crate::store::mint_reply::MintReplyRow;
use crate::store::user::{NewUser, login_key};
use crate::store::{self, Connection, StoreError};
use crate::wire::api_key::{ApiKey, ApiKeyInfo, MAX_OVERLAP_SECONDS};
use crate::wire::user::Role;
use crate::wire::{Id, Timestamp};

/// Name, first name and e-mail of a sync user are this word, as in the reference.
const SYNC: &str = "sync";
/// How long an Idempotency-Key gives the same answer.
const RETRY_LIFE: Duration = Duration::hours(24);
/// The longest Idempotency-Key that is taken.
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// How a key is to be minted. By default the key before dies at that moment.
#[derive(Clone, Default)]
pub struct Mint {
    /// A retry with the same one gets the same key.
    pub idempotency_key: Option<Secret>,
    /// Keeps the key before until the new one first logs in, at most this long.
    pub overlap_seconds: u32,
}

/// Mints a key for the caller's company.
///
/// # Errors
/// [`Error::WrongServerRole`] on a secondary; [`Error::Forbidden`] for a machine, unless it asks for both an
/// Idempotency-Key and an overlap, so that no fault can leave it without a key; as [`mint_for`].
pub async fn mint(node: &Node, who: &Principal, mint: Mint) -> Result<ApiKey, Error> {
    node.permit(who, Action::MintApiKey)?;
    let is_safe_rotation = mint.idempotency_key.is_some() && mint.overlap_seconds > 0;
    if who.role == Role::Sync && !is_safe_rotation {
        return Err(Error::Forbidden);
    }
    let caller = Caller { user_id: who.user_id, key_id: who.key_id };
    mint_as(node, who.company_id, Some(caller), who.username.clone(), mint).await
}

/// Mints a key for `company_id` in the name of `by`, who stands at the server itself.
///
/// # Errors
/// [`Error::NotFound`] for an unknown company; [`Error::BadRequest`] for an Idempotency-Key or overlap that cannot be;
/// [`Error::IdempotencyMismatch`]; [`Error::Conflict`] when the key of an earlier request has been used or superseded
/// since, or the sync user is switched off; what the store reports.
pub async fn mint_for(node: &Node, company_id: Id, by: &str, mint: Mint) -> Result<ApiKey, Error> {
    mint_as(node, company_id, None, by.to_owned(), mint).await
}

/// Who asks over HTTP; checked again inside the transaction.
struct Caller {
    user_id: i64,
    key_id: Option<Id>,
}

async fn mint_as(
    node: &Node,
    company_id: Id,
    caller: Option<Caller>,
    by: String,
    mint: Mint,
) -> Result<ApiKey, Error> {
    check(&mint)?;
    let ring = node.seals.as_ref().ok_or(Error::WrongServerRole)?;
    let (kid, key) = ring.active();
    let (kid, key) = (kid.to_owned(), key.clone());
    let (random, now, server_id) = (node.random.clone(), node.clock.now(), node.server_id());
    let credential = Credential::fresh(server_id, &random);
    let key_id = credential.key_id().ok_or_else(|| Error::Internal("a fresh key has no id".to_owned()))?;
    let caller_id =
        caller.as_ref().map_or_else(|| format!("server {by}"), |caller| caller.user_id.to_string());
    let retry = mint.idempotency_key.as_ref().map(|key| Retry::new(&node.retries, &caller_id, key));
    let request_sha256 = Sha256::digest(format!("{company_id} {}", mint.overlap_seconds)).to_vec();
    let minted = node
        .store
        .write(move |conn| -> Result<ApiKey, Error> {
            store::company::find_for_update(conn, company_id)?
                .ok_or(Error::NotFound("Company does not exist."))?;
            if let Some(caller) = &caller {
                require_still_good(conn, caller, now)?;
            }
            if let Some(retry) = &retry
                && let Some(earlier) = earlier_answer(conn, retry, &request_sha256, now)?
            {
                return Ok(earlier);
            }
            let generation = store::company::next_key_generation(conn, company_id)?;
            let user_id = sync_user(conn, company_id, &credential.username, now)?;
            let previous_valid_until = supersede(conn, company_id, &by, mint.overlap_seconds, now)?;
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
            let minted =
                ApiKey { primary_id: server_id, sync_api_key, key_id, generation, previous_valid_until };
            if let Some(retry) = &retry {
                keep_answer(conn, retry, request_sha256, &minted, now, &random)?;
            }
            reach(Failpoint::MintWritten);
            Ok(minted)
        })
        .await?;
    reach(Failpoint::MintCommitted);
    Ok(minted)
}

fn check(mint: &Mint) -> Result<(), Error> {
    if mint.overlap_seconds > MAX_OVERLAP_SECONDS {
        return Err(Error::BadRequest(format!(
            "overlap_seconds must be 0 to {MAX_OVERLAP_SECONDS} (30 days)"
        )));
    }
    let is_fit = |key: &Secret| {
        let text = key.expose();
        (1..=MAX_IDEMPOTENCY_KEY).contains(&text.len())
            && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    };
    if mint.idempotency_key.as_ref().is_some_and(|key| !is_fit(key)) {
        return Err(Error::BadRequest(format!(
            "Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY} characters of ASCII: a random UUID is a good one"
        )));
    }
    Ok(())
}

/// The caller was let in by a read of its own; what ended it since then must not be undone by what it asked for.
fn require_still_good(conn: &mut Connection, caller: &Caller, now: Timestamp) -> Result<(), Error> {
    let is_good = match caller.key_id {
        Some(key_id) => store::api_key::find(conn, key_id)?
            .is_some_and(|(key, user, company_active)| accepts(&key, now) && user.active && company_active),
        None => store::user::find(conn, caller.user_id)?.is_some_and(|user| user.active),
    };
    if is_good { Ok(()) } else { Err(Error::Unauthenticated) }
}

/// What an earlier request with this Idempotency-Key was answered.
fn earlier_answer(
    conn: &mut Connection,
    retry: &Retry,
    request_sha256: &[u8],
    now: Timestamp,
) -> Result<Option<ApiKey>, Error> {
    store::mint_reply::forget_expired(conn, now)?;
    let Some(row) = store::mint_reply::find(conn, retry.sha256())? else { return Ok(None) };
    if row.request_sha256 != request_sha256 {
        return Err(Error::IdempotencyMismatch);
    }
    let living = store::api_key::find(conn, row.key_id)?.is_some_and(|(key, ..)| accepts(&key, now));
    if !living {
        return Err(Error::Conflict(
            "the key minted under this Idempotency-Key has been superseded or revoked since: nothing was minted; \
             ask again under a new one"
                .to_owned(),
        ));
    }
    let Some(sealed) = row.reply else {
        return Err(Error::Conflict(
            "the key minted under this Idempotency-Key has logged in already and is not shown again: nothing was \
             minted; ask again under a new one"
                .to_owned(),
        ));
    };
    let answer =
        retry.open(&sealed).ok_or_else(|| Error::Internal("a kept reply does not open".to_owned()))?;
    serde_json::from_slice(&answer).map(Some).map_err(|error| Error::Internal(error.to_string()))
}

fn keep_answer(
    conn: &mut Connection,
    retry: &Retry,
    request_sha256: Vec<u8>,
    minted: &ApiKey,
    now: Timestamp,
    random: &crate::clock::Random,
) -> Result<(), Error> {
    let answer = zeroize::Zeroizing::new(
        serde_json::to_vec(minted).map_err(|error| Error::Internal(error.to_string()))?,
    );
    let row = MintReplyRow {
        idempotency_sha256: retry.sha256().to_vec(),
        key_id: minted.key_id,
        request_sha256,
        reply: Some(retry.seal(&answer, random)),
        created_at: now,
        expires_at: now.plus(RETRY_LIFE),
    };
    Ok(store::mint_reply::insert(conn, &row)?)
}

/// Ends the company's keys, but for the one to keep for a while: the one that is known to be used. A newer one that
/// never logged in was probably lost on its way; a retry without the same Idempotency-Key must not cost the good one.
fn supersede(
    conn: &mut Connection,
    company_id: Id,
    by: &str,
    overlap_seconds: u32,
    now: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    let living = store::api_key::living(conn, company_id)?;
    let good = || living.iter().filter(|key| overlap_seconds > 0 && accepts(key, now));
    let kept = good().find(|key| key.first_used_at.is_some()).or_else(|| good().next());
    let until = now.plus(Duration::seconds(i64::from(overlap_seconds)));
    for key in &living {
        if kept.is_some_and(|kept| kept.key_id == key.key_id) {
            store::api_key::set_overlap(conn, key.key_id, until)?;
        } else {
            store::api_key::revoke(conn, key.key_id, by, "superseded", now)?;
        }
    }
    Ok(kept.map(|_kept| until))
}

/// A key logs in for the first time: the one before it has done its service. `false` if `key` was revoked meanwhile.
///
/// # Errors
/// What the store reports.
pub(super) fn first_use(
    conn: &mut Connection,
    key: &ApiKeyRow,
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
    for older in living.iter().filter(|other| other.generation < key.generation) {
        let by = crate::crypto::api_key::username(key.key_id);
        store::api_key::revoke(conn, older.key_id, &by, "superseded", now)?;
    }
    Ok(true)
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
            display_name: String::new(),
        },
    )?;
    Ok(user.id)
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
            store::session::end_all(conn, user.id, now)?;
        }
        store::api_key::revoke_all(conn, company_id, &by, "revoked", now)
    };
    Ok(node.store.write(revoke).await?)
}

fn info(row: ApiKeyRow, now: Timestamp) -> ApiKeyInfo {
    let has_expired = row.state == "overlap" && !accepts(&row, now);
    ApiKeyInfo {
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
