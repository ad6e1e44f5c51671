//! Logging in, by password or api-key (design D4, D6).

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{Duration, SecondsFormat};

use super::key_life::{is_ending, lets_in};
use super::throttle::Attempt;
use crate::crypto::api_key::{Credential, is_reference_secret, secret_matches, secret_sha256};
use crate::crypto::scannable_key::ScannableKey;
use crate::crypto::token::{self, Claims};
use crate::crypto::{Secret, refresh};
use crate::failpoint::{Failpoint, reach};
use crate::node::rings::{self, Loaded};
use crate::node::{Error, Node, Peer};
use crate::store::api_key::{FoundKey, KeyName, LoginKey, LookedUp};
use crate::store::session::SessionRow;
use crate::store::user::{Holder, UserRow};
use crate::store::{self, StoreError};
use crate::wire::auth::{AuthToken, Login};
use crate::wire::{Id, Timestamp};

/// Life of an access token.
pub const ACCESS_LIFE: Duration = Duration::seconds(token::LIFE);
/// Life of a machine's refresh token.
pub(super) const REFRESH_LIFE: Duration = Duration::hours(24);
/// `last_used_at` of a key is this coarse, so that a machine login writes nothing most of the time.
const USE_RECORDED_EVERY: Duration = Duration::seconds(60);
/// So many logins with a password ask the database at a time whether they may be tried: a flood of them leaves most connections
/// to others. Far more than can be hashed get through.
pub(in crate::node) const LOGIN_TURNS: usize = 2;

/// Logs in with what the body holds; every refusal is the same.
///
/// # Errors
/// [`Error::BadRequest`] without credentials, [`Error::LoginRefused`], [`Error::Throttled`], [`Error::Overloaded`].
pub async fn login(node: &Node, login: Login, peer: Peer) -> Result<AuthToken, Error> {
    if !login.sync_api_key.is_empty() {
        by_api_key(node, &login.sync_api_key, peer).await
    } else if !login.username.is_empty() && !login.password.is_empty() {
        by_password(node, login.username, login.password, peer).await
    } else {
        Err(Error::BadRequest("missing required credentials".to_owned()))
    }
}

/// `POST /synclogin`: the same with a key only.
///
/// # Errors
/// As [`login`].
pub async fn sync_login(node: &Node, login: Login, peer: Peer) -> Result<AuthToken, Error> {
    if login.sync_api_key.is_empty() {
        return Err(Error::BadRequest("missing required credentials: sync-api-key".to_owned()));
    }
    by_api_key(node, &login.sync_api_key, peer).await
}

async fn by_password(
    node: &Node,
    username: String,
    password: Secret,
    peer: Peer,
) -> Result<AuthToken, Error> {
    let turn = node.login_turns.acquire().await.map_err(|closed| Error::Internal(closed.to_string()))?;
    let (key, source, now) = (node.throttle.clone(), peer.source(), node.clock.now());
    let (user, company_active, attempt) = node
        .store
        .read_current(move |conn| -> Result<_, Error> {
            let user = super::user::find_by_login(conn, &username)?;
            // As much work for a name that nobody has.
            let company = store::company::find(conn, user.as_ref().map_or(Id::NIL, |user| user.company_id))?;
            let attempt = Attempt::begin(conn, &key, &username, user.as_ref(), source, now)?;
            Ok((user, company.is_some_and(|company| company.active), attempt))
        })
        .await?;
    drop(turn);
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    // Hashed before anything is judged: unknown, wrong and inactive take the same time.
    let matches = node.passwords.verify(attempt.lane(), password.clone(), hash.clone()).await?;
    match user {
        Some(user) if matches && user.active && company_active => {
            let better = match &hash {
                Some(hash) => node.passwords.upgrade(password, hash, &node.random).await,
                None => None,
            };
            start_session(node, user, better, attempt, peer).await
        }
        _ => Err(attempt.fail(node, Error::LoginRefused).await),
    }
}

/// `better_hash` replaces the one that the password was checked against.
async fn start_session(
    node: &Node,
    user: UserRow,
    better_hash: Option<String>,
    attempt: Attempt,
    peer: Peer,
) -> Result<AuthToken, Error> {
    let now = node.clock.now();
    let refresh_token = refresh::fresh(&node.random);
    let session = SessionRow {
        id: node.random.id(),
        user_id: user.id,
        token_sha256: refresh::sha256(refresh_token.expose()).to_vec(),
        created_at: now,
        last_seen_at: now,
        expires_at: now.plus(node.sessions.whole),
        ended_at: None,
        address: peer.address.map(|address| address.to_string()),
        agent: peer.agent,
        ended_why: None,
    };
    let rings = node.rings.newest(&node.store).await?;
    let (token, expires) = person_token(node, &rings, &user.clone().into(), &session, now)?;
    node.store
        .write(move |conn| -> Result<(), Error> {
            // Switched off, or given another password, since this one was checked: that must not be undone.
            if !store::user::touch_login(conn, &user, now)? {
                return Err(Error::LoginRefused);
            }
            // After the user's row: what refers to it takes a lock on it that a removal would wait for, and we for that.
            attempt.succeed(conn, user.id, now)?;
            if let Some(hash) = &better_hash {
                store::user::rehash(conn, &user, hash)?;
            }
            store::session::forget_expired(conn, session.user_id, now)?;
            Ok(store::session::insert(conn, &session)?)
        })
        .await?;
    Ok(AuthToken { token, expires, refresh_token: refresh_token.expose().to_owned(), ..AuthToken::default() })
}

async fn by_api_key(node: &Node, api_key: &Secret, peer: Peer) -> Result<AuthToken, Error> {
    let now = node.clock.now();
    // What is remembered does for all but the first use within a minute, which is to be recorded.
    let is_known = |found: &FoundKey, secret: &Secret| {
        lets_in(found, peer.address, now)
            && !is_use_due(&found.key, now)
            && found
                .key
                .secret_sha256
                .as_ref()
                .is_some_and(|sha256| secret_matches(sha256, found.key.key_id, secret))
    };
    let Opened { rings, secret, found } = open(node, api_key, is_known).await?;
    let (Some(secret), Some(found)) = (secret, found) else {
        return Err(Error::LoginRefused);
    };
    let is_good = lets_in(&found, peer.address, now);
    let FoundKey { key, user, .. } = found;
    if !is_good || !secret_is_right(node, &key, &secret).await? {
        return Err(Error::LoginRefused);
    }
    if is_ending(&key.standing, key.created_at, now) {
        tracing::warn!(company = %key.company_id, expires_at = ?key.standing.expires_at, "an api-key will end soon");
    }
    record_use(node, &key, peer.address, now).await?;
    let (token, expires) = machine_token(node, &rings, &user, &key, now)?;
    let refresh_token = refresh::for_machine(&rings.tokens, key.key_id, now.plus(REFRESH_LIFE))
        .ok_or_else(|| Error::Internal("no active token key".to_owned()))?;
    Ok(machine_answer(&key, (token, expires), &refresh_token))
}

/// What a machine is told: with its tokens, how long its key lives.
pub(super) fn machine_answer(
    key: &LoginKey,
    (token, expires): (String, String),
    refresh_token: &Secret,
) -> AuthToken {
    AuthToken {
        token,
        expires,
        refresh_token: refresh_token.expose().to_owned(),
        key_created_at: Some(key.created_at),
        key_expires_at: key.standing.expires_at,
    }
}

/// A key that there is: as that one a key that does not open is looked up, so that it takes the time of one that does.
#[derive(Default)]
pub struct Decoy(Mutex<Id>);

impl Decoy {
    fn get(&self) -> Id {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, key_id: Id) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = key_id;
    }
}

/// What became of an api-key under the newest rings.
struct Opened {
    rings: Arc<Loaded>,
    secret: Option<Secret>,
    found: Option<FoundKey>,
}

/// Opens an api-key and looks it up. One that does not open is looked up all the same: any bad key takes the time of every
/// other. One that `is_known` by what is remembered of it is not read anew.
async fn open(
    node: &Node,
    api_key: &Secret,
    is_known: impl Fn(&FoundKey, &Secret) -> bool,
) -> Result<Opened, Error> {
    let mut rings = node.rings.current();
    let scannable = ScannableKey::parse(api_key.expose());
    for _ in 0..rings::CHANGES {
        let seals = rings.seals.as_ref();
        let credential = seals
            .and_then(|ring| Credential::open(api_key.expose(), ring.keys()))
            .filter(|credential| credential.primary_id.is_none_or(|id| id == node.server_id()));
        let name = match &scannable {
            Some(key) => KeyName::ScanId(key.id.clone()),
            None => KeyName::Id(
                credential.as_ref().and_then(Credential::key_id).unwrap_or_else(|| node.decoy.get()),
            ),
        };
        let secret = match &scannable {
            Some(key) => Some(&key.secret),
            None => credential.as_ref().map(|credential| &credential.password),
        };
        let lets_in = |looked_up: &LookedUp| {
            secret.zip(looked_up.found.as_ref()).is_some_and(|(secret, found)| is_known(found, secret))
        };
        let LookedUp { ring_epoch, found } =
            node.known_keys.find(&node.store, name, lets_in, store::api_key::look_up).await?;
        if ring_epoch <= rings.epoch {
            if let Some(found) = &found {
                node.decoy.set(found.key.key_id);
            }
            // One that is written in the other way has another secret: that one opens nothing.
            let found = found.filter(|found| found.key.scan_id.is_some() == scannable.is_some());
            let secret =
                scannable.map(|key| key.secret).or_else(|| credential.map(|credential| credential.password));
            return Ok(Opened { rings, secret, found });
        }
        rings = node.rings.at(&node.store, ring_epoch).await?;
    }
    Err(StoreError::Busy.into())
}

/// The key that a text is, whatever its state; `None` for any other text.
pub(super) async fn identify(node: &Node, api_key: &Secret) -> Result<Option<LoginKey>, Error> {
    let Opened { secret, found, .. } = open(node, api_key, |_found, _secret| false).await?;
    let (Some(secret), Some(FoundKey { key, .. })) = (secret, found) else { return Ok(None) };
    let is_right = match (&key.secret_sha256, &key.legacy_bcrypt) {
        (Some(stored), _) => secret_matches(stored, key.key_id, &secret),
        (None, Some(bcrypt)) => node.passwords.verify_machine(secret, bcrypt.clone()).await?,
        (None, None) => false,
    };
    Ok(is_right.then_some(key))
}

async fn secret_is_right(node: &Node, key: &LoginKey, secret: &Secret) -> Result<bool, Error> {
    if let Some(stored) = &key.secret_sha256 {
        return Ok(secret_matches(stored, key.key_id, secret));
    }
    // Minted by the reference: bcrypt once, then as fast as ours. Only a secret of its generator's shape, which
    // cannot be guessed, may be kept as a fast hash.
    let Some(bcrypt) = key.legacy_bcrypt.clone() else { return Ok(false) };
    let matches = node.passwords.verify_machine(secret.clone(), bcrypt.clone()).await?;
    if matches && is_reference_secret(secret) {
        let (key_id, sha256) = (key.key_id, secret_sha256(key.key_id, secret));
        node.store.write(move |conn| store::api_key::upgrade_legacy(conn, key_id, &bcrypt, &sha256)).await?;
    }
    Ok(matches)
}

fn is_use_due(key: &LoginKey, now: Timestamp) -> bool {
    key.last_used_at.is_none_or(|last| now >= last.plus(USE_RECORDED_EVERY))
}

/// Writes down that a key was used: the first time exactly, since it ends the key before; later at most once a minute.
async fn record_use(node: &Node, key: &LoginKey, peer: Option<IpAddr>, now: Timestamp) -> Result<(), Error> {
    let is_first = key.first_used_at.is_none();
    if !is_use_due(key, now) {
        return Ok(());
    }
    let (key, peer) = (key.clone(), peer.map(|address| address.to_string()));
    let is_living = node
        .store
        .write(move |conn| -> Result<bool, StoreError> {
            if is_first {
                super::api_key::first_use(conn, &key, peer.as_deref(), now)
            } else {
                store::api_key::touch(conn, &key, peer.as_deref(), now)
            }
        })
        .await?;
    if is_first {
        reach(Failpoint::FirstUseCommitted);
    }
    // Revoked since it was read: then the revocation was first.
    if is_living { Ok(()) } else { Err(Error::LoginRefused) }
}

/// An access token of a person, and when it ends: no later than the login.
pub(super) fn person_token(
    node: &Node,
    rings: &Loaded,
    user: &Holder,
    session: &SessionRow,
    now: Timestamp,
) -> Result<(String, String), Error> {
    let expires = now.plus(ACCESS_LIFE).min(session.expires_at);
    sign(node, rings, user, user.id.to_string(), user.generation, Some(session.id), (now, expires))
}

/// An access token of a machine, and when it ends.
pub(super) fn machine_token(
    node: &Node,
    rings: &Loaded,
    user: &Holder,
    key: &LoginKey,
    now: Timestamp,
) -> Result<(String, String), Error> {
    sign(
        node,
        rings,
        user,
        crate::crypto::api_key::username(key.key_id),
        key.standing.generation,
        None,
        (now, now.plus(ACCESS_LIFE)),
    )
}

fn sign(
    node: &Node,
    rings: &Loaded,
    user: &Holder,
    subject: String,
    generation: i64,
    session: Option<Id>,
    (now, expires): (Timestamp, Timestamp),
) -> Result<(String, String), Error> {
    let claims = Claims {
        id: user.id,
        u: user.username.clone(),
        e: user.email.clone(),
        r: user.role,
        c: user.company_id,
        exp: expires.unix(),
        iat: now.unix(),
        iss: token::issuer(node.server_id()),
        aud: node.server_id().to_string(),
        sub: subject,
        jti: node.random.id(),
        generation,
        sid: session,
    };
    let token = token::sign(&rings.tokens, &claims)
        .ok_or_else(|| Error::Internal("no active token key".to_owned()))?;
    Ok((token, expires.get().to_rfc3339_opts(SecondsFormat::Secs, true)))
}
