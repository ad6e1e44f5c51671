//! Minting the one machine credential of a company (design D3).
//!
//! Mint, revoke and the first login of a key all take the company's row first, so of two of them one sees what the
//! other did.

use chrono::Duration;
use sha2::{Digest as _, Sha256};

use super::caller::require_still_good;
use super::key_life::{self, Settled, Terms, accepts};
use crate::crypto::Secret;
use crate::crypto::api_key::{Credential, secret_sha256};
use crate::crypto::keyring::MAX_SEALS;
use crate::crypto::retry::Retry;
use crate::crypto::scannable_key::ScannableKey;
use crate::failpoint::{Failpoint, reach};
use crate::node::permission::Action;
use crate::node::rings::{self, Loaded};
use crate::node::{Error, Node, Principal};
use crate::store::api_key::{ApiKeyRow, KeyName};
use crate::store::mint_reply::MintReplyRow;
use crate::store::session::Ended;
use crate::store::user::{NewUser, login_key};
use crate::store::{self, Connection, StoreError};
use crate::wire::api_key::{ApiKey, Format, MAX_OVERLAP_SECONDS};
use crate::wire::server::ServerRole;
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
    /// How long it lives, where it may be used from, and how it is written.
    pub terms: Terms,
}

/// Mints a key for the caller's company.
///
/// # Errors
/// [`Error::WrongServerRole`] on a secondary; [`Error::Forbidden`] for a machine, unless it asks for both an
/// Idempotency-Key and an overlap, so that no fault can leave it without a key, and for a machine that would change what
/// its key may do; as [`mint_for`].
pub async fn mint(node: &Node, who: &Principal, mint: Mint) -> Result<ApiKey, Error> {
    node.permit(who, Action::MintApiKey)?;
    let is_safe_rotation = mint.idempotency_key.is_some() && mint.overlap_seconds > 0;
    if who.role == Role::Sync && !is_safe_rotation {
        return Err(Error::Forbidden);
    }
    if who.role == Role::Sync && mint.terms.are_given() {
        return Err(Error::ForbiddenMember("expires_in_days, networks and format"));
    }
    let asked =
        Asked { company_id: who.company_id, caller: Some(who.clone()), by: who.username.clone(), mint };
    mint_as(node, asked).await
}

/// Mints a key for `company_id` in the name of `by`, who stands at the server itself.
///
/// # Errors
/// [`Error::NotFound`] for an unknown company; [`Error::BadRequest`] for an Idempotency-Key, overlap or terms that cannot be;
/// [`Error::IdempotencyMismatch`]; [`Error::Conflict`] when the key of an earlier request has been used or superseded
/// since, or the sync user is switched off; what the store reports.
pub async fn mint_for(node: &Node, company_id: Id, by: &str, mint: Mint) -> Result<ApiKey, Error> {
    mint_as(node, Asked { company_id, caller: None, by: by.to_owned(), mint }).await
}

/// Who asks for a key, for whom, and how.
#[derive(Clone)]
struct Asked {
    company_id: Id,
    /// Who asks over HTTP; looked at again inside the transaction.
    caller: Option<Principal>,
    by: String,
    mint: Mint,
}

/// What became of one transaction.
enum Attempt {
    Minted(ApiKey),
    /// The ring changed since the sealing key was taken from it.
    RingChanged,
    /// The sealing key has sealed as many as it may.
    UsedUp,
}

async fn mint_as(node: &Node, asked: Asked) -> Result<ApiKey, Error> {
    check(&asked.mint)?;
    node.require_role(ServerRole::Primary)?;
    for _ in 0..rings::CHANGES {
        let rings = node.rings.newest(&node.store).await?;
        match attempt(node, &rings, asked.clone()).await? {
            Attempt::Minted(key) => {
                reach(Failpoint::MintCommitted);
                return Ok(key);
            }
            Attempt::RingChanged => {}
            Attempt::UsedUp => super::keyring::replace_used_up(node).await?,
        }
    }
    Err(StoreError::Busy.into())
}

async fn attempt(node: &Node, rings: &Loaded, asked: Asked) -> Result<Attempt, Error> {
    let ring = rings.seals.as_ref().ok_or(Error::WrongServerRole)?;
    let (kid, key) = ring.active();
    let (kid, key, epoch) = (kid.to_owned(), key.clone(), rings.epoch);
    let (random, now, server_id) = (node.random.clone(), node.clock.now(), node.server_id());
    let credential = Credential::fresh(server_id, &random);
    let key_id = credential.key_id().ok_or_else(|| Error::Internal("a fresh key has no id".to_owned()))?;
    let scannable = ScannableKey::fresh(&random);
    let Asked { company_id, caller, by, mint } = asked;
    let caller_id =
        caller.as_ref().map_or_else(|| format!("server {by}"), |caller| caller.user_id.to_string());
    let retry = mint.idempotency_key.as_ref().map(|key| Retry::new(&node.retries, &caller_id, key));
    // As the code shows them: another release may take a retry for another request, which mints nothing.
    let terms = if mint.terms.are_given() { format!(" {:?}", mint.terms) } else { String::new() };
    let request_sha256 = Sha256::digest(format!("{company_id} {}{terms}", mint.overlap_seconds)).to_vec();
    node.store
        .write(move |conn| -> Result<Attempt, Error> {
            if store::setting::hold_rings(conn)? != epoch {
                return Ok(Attempt::RingChanged);
            }
            store::company::find_for_update(conn, company_id)?
                .ok_or(Error::NotFound("Company does not exist."))?;
            if let Some(caller) = &caller {
                require_still_good(conn, caller, now)?;
            }
            if let Some(retry) = &retry
                && let Some(earlier) = earlier_answer(conn, retry, &request_sha256, now)?
            {
                return Ok(Attempt::Minted(earlier));
            }
            let before = store::api_key::newest(conn, company_id)?;
            let Settled { expires_at, networks, format } = mint.terms.settle(before.as_ref(), now);
            if format == Format::Hex && !store::keyring::count_seal(conn, &kid, MAX_SEALS)? {
                return Ok(Attempt::UsedUp);
            }
            let generation = store::company::next_key_generation(conn, company_id)?;
            let user_id = sync_user(conn, company_id, &credential.username, now)?;
            let previous_valid_until = supersede(conn, company_id, &by, mint.overlap_seconds, now)?;
            let (secret, seal_key, scan_id, sync_api_key) = match format {
                Format::Hex => {
                    let text = credential.seal(&kid, &key, generation, &random);
                    (credential.password, kid, None, text)
                }
                Format::Token => {
                    let text = scannable.text().expose().to_owned();
                    (scannable.secret, String::new(), Some(scannable.id), text)
                }
            };
            let row = ApiKeyRow {
                secret_sha256: Some(secret_sha256(key_id, &secret).to_vec()),
                seal_key,
                expires_at,
                networks,
                scan_id,
                ..ApiKeyRow::new(key_id, (company_id, user_id), generation, &by, now)
            };
            store::api_key::insert(conn, &row)?;
            let minted = ApiKey {
                primary_id: server_id,
                sync_api_key,
                key_id,
                generation,
                previous_valid_until,
                expires_at,
                networks: key_life::networks_of(&row.networks),
            };
            if let Some(retry) = &retry {
                keep_answer(conn, retry, request_sha256, &minted, now, &random)?;
            }
            reach(Failpoint::MintWritten);
            Ok(Attempt::Minted(minted))
        })
        .await
}

fn check(mint: &Mint) -> Result<(), Error> {
    mint.terms.check()?;
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
    let key = store::api_key::look_up(conn, &KeyName::Id(row.key_id))?.found;
    let living = key.is_some_and(|found| accepts(&found.key.standing, now));
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
    let good = || living.iter().filter(|key| overlap_seconds > 0 && accepts(&key.standing(), now));
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
        store::session::end_all(conn, user.id, None, Ended::KeyChanged, now)?;
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
