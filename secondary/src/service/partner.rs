//! Primaries: the credential kept for each, and logging in with it. A key that was brought by hand is a candidate until
//! its first good login (design D14), so a bad key never costs the good one.

use chrono::Duration;
use serde::Serialize;
use shared::client::{Client, ClientError};
use shared::crypto::Secret;
use shared::failpoint::{Failpoint, reach};
use shared::node::permission::Action;
use shared::node::{Error, Principal};
use shared::store::company::{CompanyRow, name_key};
use shared::store::list::Selection;
use shared::store::partner::PartnerRow;
use shared::store::{self, Connection, StoreError};
use shared::wire::auth::KeyLife;
use shared::wire::server::{Server, ServerRole};
use shared::wire::{Id, Timestamp};

use crate::Secondary;

/// A key that somebody brought (`PATCH /v1/companies/:id`), checked before anything is written.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::Conflict`] for this server's own company, [`Error::BadRequest`] for what
/// is no key.
pub fn check_key(secondary: &Secondary, who: &Principal, id: Id, api_key: &Secret) -> Result<Secret, Error> {
    secondary.node.permit(who, Action::PlacePrimary)?;
    if id == secondary.node.server_id() {
        return Err(Error::Conflict(
            "a key belongs to the company of a primary, not to this server's own".to_owned(),
        ));
    }
    let trimmed = Secret::from(api_key.expose().trim());
    if trimmed.expose().len() > 4096 {
        return Err(Error::BadRequest("this is longer than any api-key".to_owned()));
    }
    Ok(trimmed)
}

/// Stores a checked key; the next sync proves it.
///
/// # Errors
/// What the store reports.
pub async fn store_key(secondary: &Secondary, id: Id, api_key: &Secret) -> Result<(), Error> {
    store_candidate(secondary, id, seal(secondary, id, api_key)).await
}

/// Encrypts a key for storage; bound to its primary, so rows cannot be swapped.
pub(super) fn seal(secondary: &Secondary, primary_id: Id, api_key: &Secret) -> Vec<u8> {
    secondary.vault.seal(api_key.expose().as_bytes(), primary_id.as_bytes(), &secondary.node.random)
}

pub(super) async fn store_candidate(
    secondary: &Secondary,
    primary_id: Id,
    sealed: Vec<u8>,
) -> Result<(), Error> {
    let now = secondary.node.clock.now();
    secondary
        .node
        .store
        .write(move |conn| -> Result<(), StoreError> {
            store::partner::set_candidate(conn, primary_id, &sealed, now)
        })
        .await?;
    Ok(())
}

/// A login at a primary, with who answered.
pub struct Session {
    /// Logged in with the api-key.
    pub client: Client,
    /// Checked to be the primary that was meant.
    pub server: Server,
    /// Of the key that logged in.
    pub key_life: KeyLife,
    logged_in_at: Timestamp,
    /// When the token ends, as the primary says.
    expires_at: Option<Timestamp>,
    /// That key, as it is stored.
    pub(super) sealed_key: Vec<u8>,
}

/// How long a token lives at least that says nothing that can be true: both kinds of primaries give 15 minutes.
const TOKEN_LIFE: Duration = Duration::minutes(15);

impl Session {
    /// Whether two thirds of the token's life are over: time for another one. The primary's clock may be another than ours.
    pub fn is_ending(&self, now: Timestamp) -> bool {
        let life = self.expires_at.map(|end| end.get() - self.logged_in_at.get());
        let life =
            life.filter(|life| *life > Duration::minutes(1) && *life < TOKEN_LIFE).unwrap_or(TOKEN_LIFE);
        now >= self.logged_in_at.plus(life * 2 / 3)
    }

    /// What to tell about a key that will end soon.
    pub fn warning(&self, primary: &str, now: Timestamp) -> Option<String> {
        let end = self.key_life.expires_at.filter(|_end| self.key_life.is_ending(now))?;
        Some(format!(
            "the api-key for \"{primary}\" ends {end}: run `sandpiper-secondary rotate \"{primary}\"`"
        ))
    }
}

/// Logs in with a stored key: the candidate first, which a good login proves, then the proven one.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotConfigured`] without address or key, [`Error::Upstream`] when every key is refused
/// or somebody else answers, [`Error::Unreachable`].
pub async fn login(secondary: &Secondary, primary_id: Id) -> Result<Session, Error> {
    let (company, partner) = load(secondary, primary_id).await?;
    let keys = partner.clone().map(PartnerRow::keys).unwrap_or_default();
    let session = log_in(secondary, &company, keys).await?;
    if let Some(tried) = partner {
        prove(secondary, tried, &session).await?;
    }
    Ok(session)
}

/// Logs in without noting anything. The proven key is tried first: at its first login a candidate ends it there.
///
/// # Errors
/// As [`login`].
pub async fn look(secondary: &Secondary, primary_id: Id) -> Result<Session, Error> {
    let (company, partner) = load(secondary, primary_id).await?;
    let mut keys = partner.map(PartnerRow::keys).unwrap_or_default();
    keys.reverse();
    log_in(secondary, &company, keys).await
}

async fn log_in(
    secondary: &Secondary,
    company: &CompanyRow,
    stored: [Option<Vec<u8>>; 3],
) -> Result<Session, Error> {
    let addr = company.sync_addr.as_deref().ok_or_else(|| {
        Error::NotConfigured(format!("\"{}\" has no sync_addr: set it, or run `connect URL`", company.name))
    })?;
    let keys: Vec<Vec<u8>> = stored.into_iter().flatten().collect();
    if keys.is_empty() {
        return Err(Error::NotConfigured(format!(
            "no api-key is stored for \"{}\": run `sandpiper-secondary connect {addr}`",
            company.name
        )));
    }
    let mut client =
        Client::new(&secondary.http, addr, secondary.settings.allow_http).map_err(|error| match error {
            ClientError::Url(text) => Error::NotConfigured(format!("\"{}\": {text}", company.name)),
            other => other.into(),
        })?;
    for sealed_key in keys {
        let api_key = open(secondary, company.id, &sealed_key)?;
        match client.login_with_key(&api_key).await {
            Ok(token) => {
                reach(Failpoint::LoginAnswered);
                let server = client.view_server().await?;
                refuse_impostor(company, &server)?;
                return Ok(Session {
                    client,
                    server,
                    key_life: token.key_life(),
                    logged_in_at: secondary.node.clock.now(),
                    expires_at: Timestamp::parse(&token.expires),
                    sealed_key,
                });
            }
            Err(error) if is_refused_key(&error) => {
                tracing::warn!(primary = %company.id, "a stored key is refused there: the next one is tried");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Upstream(format!(
        "\"{}\" refused our api-key: run `sandpiper-secondary connect {addr}` for a new one",
        company.name
    )))
}

/// Not only 401: the reference answers a superseded key with 404 and a damaged one with 500 and its crypto library's
/// words.
fn is_refused_key(error: &ClientError) -> bool {
    let ClientError::Refused { status, message, .. } = error else { return false };
    match status.as_u16() {
        401 | 403 | 404 => true,
        500 => ["cipher", "encoding/hex", "slice bounds"].iter().any(|word| message.contains(word)),
        _ => false,
    }
}

/// A write of the run or rotation that raised the fence to `fence`; one that was overtaken writes nothing.
///
/// # Errors
/// [`Error::SyncRunning`] when a newer one began; what `change` returns.
pub async fn write_fenced<T: Send + 'static>(
    secondary: &Secondary,
    primary_id: Id,
    fence: i64,
    change: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    secondary
        .node
        .store
        .write(move |conn| {
            if !store::partner::holds_fence(conn, primary_id, fence)? {
                return Err(Error::SyncRunning);
            }
            change(conn)
        })
        .await
}

/// The company of a primary, active and not our own, with what is kept for it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotConfigured`] while it is inactive.
pub async fn load(secondary: &Secondary, primary_id: Id) -> Result<(CompanyRow, Option<PartnerRow>), Error> {
    let own = secondary.node.server_id();
    secondary
        .node
        .store
        .read(move |conn| {
            let company = store::company::find(conn, primary_id)?
                .filter(|company| company.id != own)
                .ok_or(Error::NotFound("Primary does not exist."))?;
            if !company.active {
                return Err(Error::NotConfigured(format!(
                    "\"{}\" is inactive here: activate it first",
                    company.name
                )));
            }
            Ok((company, store::partner::find(conn, primary_id)?))
        })
        .await
}

pub(super) fn open(secondary: &Secondary, primary_id: Id, sealed: &[u8]) -> Result<Secret, Error> {
    let bytes = secondary
        .vault
        .open(sealed, primary_id.as_bytes())
        .ok_or_else(|| Error::NotConfigured("the stored api-key cannot be read: connect again".to_owned()))?;
    std::str::from_utf8(&bytes)
        .map(Secret::from)
        .map_err(|_not_text| Error::NotConfigured("the stored api-key is damaged: connect again".to_owned()))
}

/// Another server may have taken over the address (gap S20).
fn refuse_impostor(company: &CompanyRow, server: &Server) -> Result<(), Error> {
    if server.server_id != company.id || server.server_role != ServerRole::Primary {
        return Err(Error::Upstream(format!(
            "the server at \"{}\"'s address is the {} {}, not the primary {}: nothing was synced",
            company.name, server.server_role, server.server_id, company.id
        )));
    }
    Ok(())
}

/// Notes which key logged in, and forgets those that were refused before it.
async fn prove(secondary: &Secondary, tried: PartnerRow, session: &Session) -> Result<(), Error> {
    let (now, life) = (secondary.node.clock.now(), session.key_life);
    let (key, sync2) = (session.sealed_key.clone(), session.server.speaks_sync_2());
    let (id, vault) = (tried.primary_id, secondary.vault.clone());
    secondary
        .node
        .store
        .write(move |conn| -> Result<(), StoreError> {
            // By what they hold: one that was stored twice is sealed twice.
            let opened = |sealed: &[u8]| vault.open(sealed, id.as_bytes());
            let spent = [&tried.candidate_key, &tried.minted_key].map(|key| key.as_deref().and_then(opened));
            let is_spent = |sealed: &[u8]| opened(sealed).is_some_and(|key| spent.contains(&Some(key)));
            store::partner::promote(conn, id, (tried.api_key.as_deref(), &key), is_spent, life, now)?;
            if sync2 { store::partner::set_sync2(conn, id, true) } else { Ok(()) }
        })
        .await?;
    Ok(())
}

/// A primary as `primaries` lists it.
#[derive(Clone, Debug, Serialize)]
pub struct Primary {
    /// Its company.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its address.
    pub sync_addr: String,
    /// Whether it is synced.
    pub active: bool,
    /// Whether a key is stored.
    pub has_api_key: bool,
    /// When the key that last logged in was minted.
    pub key_created_at: Option<Timestamp>,
    /// When it ends by itself.
    pub key_expires_at: Option<Timestamp>,
    /// Whether four fifths of its life are over.
    pub key_ending: bool,
    /// Last good login there.
    pub last_login_at: Option<Timestamp>,
    /// `success`, `failed`, `cancelled`, `running` or `interrupted`.
    pub last_run: Option<String>,
    /// When that run started.
    pub last_run_at: Option<Timestamp>,
    /// Why it failed.
    pub last_error: Option<String>,
}

/// Every primary known here, by name.
///
/// # Errors
/// What the store reports.
pub async fn list(secondary: &Secondary) -> Result<Vec<Primary>, Error> {
    let (own, now) = (secondary.node.server_id(), secondary.node.clock.now());
    let mut primaries = secondary
        .node
        .store
        .read(move |conn| -> Result<Vec<Primary>, StoreError> {
            let (companies, _total) =
                store::company::list(conn, None, &Selection::all(&store::company::COLUMNS))?;
            let mut found = Vec::new();
            for company in companies.into_iter().filter(|company| company.id != own) {
                let partner = store::partner::find(conn, company.id)?;
                let run = store::sync_run::last(conn, company.id)?;
                let life = partner.as_ref().map(PartnerRow::key_life).unwrap_or_default();
                found.push(Primary {
                    id: company.id,
                    name: company.name,
                    sync_addr: company.sync_addr.unwrap_or_default(),
                    active: company.active,
                    has_api_key: partner.as_ref().is_some_and(PartnerRow::has_key),
                    key_created_at: life.created_at,
                    key_expires_at: life.expires_at,
                    key_ending: life.is_ending(now),
                    last_login_at: partner.and_then(|partner| partner.last_login_at),
                    last_run: run.as_ref().map(|run| run.state.clone()),
                    last_run_at: run.as_ref().map(|run| run.started_at),
                    last_error: run.map(|run| run.error).filter(|error| !error.is_empty()),
                });
            }
            Ok(found)
        })
        .await?;
    for primary in primaries.iter_mut().filter(|primary| primary.last_run.as_deref() == Some("running")) {
        // Its lock ends with its process, however that ends; its record does not.
        if !secondary.node.store.is_run_locked(primary.id).await? {
            primary.last_run = Some("interrupted".to_owned());
        }
    }
    primaries.sort_by_key(|primary| name_key(&primary.name));
    Ok(primaries)
}

/// The primary with this id or, ignoring case, this name.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn find(secondary: &Secondary, id_or_name: &str) -> Result<Primary, Error> {
    let key = name_key(id_or_name);
    list(secondary)
        .await?
        .into_iter()
        .find(|primary| name_key(&primary.name) == key || Ok(primary.id) == id_or_name.parse())
        .ok_or(Error::NotFound("Primary does not exist."))
}
