//! Who calls: from the bearer token to a [`Principal`], with one indexed read for every request (design D6).

use std::future::{Ready, ready};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};

use super::{Error, Node, Peer, rings};
use crate::crypto::api_key;
use crate::crypto::token::{self, Claims};
use crate::node::service::key_life::{accepts, admits};
use crate::node::service::session::SEEN_EVERY;
use crate::store::api_key::{FoundKey, KeyName, LookedUp};
use crate::store::session::FoundSession;
use crate::store::user::Holder;
use crate::store::{self, Connection, StoreError};
use crate::wire::user::Role;
use crate::wire::{Id, Timestamp};

/// The authenticated caller; its rights are the database's, not the token's.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Its row.
    pub user_id: i64,
    /// As written.
    pub username: String,
    /// Whom it belongs to.
    pub company_id: Id,
    /// What it may do.
    pub role: Role,
    /// For a machine: which key it logged in with.
    pub key_id: Option<Id>,
    /// For a person: which login this is.
    pub session_id: Option<Id>,
}

impl FromRequest for Principal {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Principal>().cloned().ok_or(Error::Unauthenticated))
    }
}

/// Middleware: lets only requests with a good token through, and leaves the [`Principal`] in them.
///
/// # Errors
/// What comes from further in.
pub async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse, actix_web::Error> {
    match principal(&request).await {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        // As a response: a middleware's `Err` would lose the request, and with it the headers around it.
        Err(error) => Ok(request.error_response(error)),
    }
}

async fn principal(request: &ServiceRequest) -> Result<Principal, Error> {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // "Bearer" to the letter, as the reference wants it.
    let bearer = header.and_then(|text| text.strip_prefix("Bearer ")).ok_or(Error::Unauthenticated)?;
    let node = request.app_data::<web::Data<Node>>().ok_or_else(|| Error::Internal("no node".to_owned()))?;
    node.store.require_current()?;
    let now = node.clock.now();
    let mut rings = node.rings.current();
    if token::is_of_unknown_key(&rings.tokens, bearer) {
        rings = node.rings.newest(&node.store).await?;
    }
    for _ in 0..rings::CHANGES {
        let claims =
            token::verify(&rings.tokens, node.server_id(), bearer, now).ok_or(Error::Unauthenticated)?;
        let (principal, epoch) = live(node, claims, request, now).await?.ok_or(Error::Unauthenticated)?;
        if epoch <= rings.epoch {
            return Ok(principal);
        }
        // Perhaps the key that signed it has been retired.
        rings = node.rings.at(&node.store, epoch).await?;
    }
    Err(StoreError::Busy.into())
}

/// The caller behind good claims, if its credential still is good too, and the epoch of the key rings.
async fn live(
    node: &Node,
    claims: Claims,
    request: &ServiceRequest,
    now: Timestamp,
) -> Result<Option<(Principal, i64)>, Error> {
    let machine = if claims.sid.is_none() { api_key::key_id(&claims.sub) } else { None };
    let found = match (machine, claims.sid) {
        (Some(key_id), _) => by_key(node, key_id, &claims, request, now).await?,
        (None, Some(session)) => by_session(node, session, &claims, now).await?,
        (None, None) => None,
    };
    let Some((user, epoch)) = found else { return Ok(None) };
    Ok(Role::from_number(user.role).map(|role| {
        let principal = Principal {
            user_id: user.id,
            username: user.username,
            company_id: user.company_id,
            role,
            key_id: machine,
            session_id: claims.sid,
        };
        (principal, epoch)
    }))
}

/// The company's sync user, if the key lets it in, and the epoch of the key rings.
async fn by_key(
    node: &Node,
    key_id: Id,
    claims: &Claims,
    request: &ServiceRequest,
    now: Timestamp,
) -> Result<Option<(Holder, i64)>, Error> {
    let is_good = |found: &FoundKey| {
        let standing = &found.key.standing;
        accepts(standing, now)
            && standing.generation == claims.generation
            && admits(standing, || Peer::of(request.request()).address)
            && is_holder(&found.user, found.company_active, claims)
    };
    let is_known = |looked_up: &LookedUp| looked_up.found.as_ref().is_some_and(is_good);
    let name = KeyName::Id(key_id);
    let LookedUp { ring_epoch, found } =
        node.known_keys.find(&node.store, name, is_known, store::api_key::look_up).await?;
    Ok(found.filter(is_good).map(|found| (found.user, ring_epoch)))
}

/// Whose login it is, if it lives, and the epoch of the key rings.
async fn by_session(
    node: &Node,
    session: Id,
    claims: &Claims,
    now: Timestamp,
) -> Result<Option<(Holder, i64)>, Error> {
    let is_good = |found: &FoundSession| {
        node.sessions.admit(&found.session, now)
            && found.user.generation == claims.generation
            && found.user.id.to_string() == claims.sub
            && is_holder(&found.user, found.company_active, claims)
    };
    let is_use_due = |found: &FoundSession| now >= found.session.last_seen_at.plus(SEEN_EVERY);
    // Another server may have noted a use since.
    let is_known = |found: &Option<FoundSession>| {
        found.as_ref().is_some_and(|found| is_good(found) && !is_use_due(found))
    };
    let read = |conn: &mut Connection, id: &Id| store::session::find(conn, *id);
    let found = node.known_sessions.find(&node.store, session, is_known, read).await?.filter(is_good);
    if found.as_ref().is_some_and(is_use_due) {
        note_use(node, session, now);
    }
    Ok(found.map(|found| (found.user, found.ring_epoch)))
}

fn is_holder(user: &Holder, company_active: bool, claims: &Claims) -> bool {
    user.active && company_active && user.id == claims.id
}

/// Notes that a session is in use, on the side: no request waits for it, or fails because the disk is full.
fn note_use(node: &Node, session: Id, now: Timestamp) {
    let store = node.store.clone();
    let unseen_since = now.plus(-SEEN_EVERY);
    tokio::spawn(async move {
        let touch = move |conn: &mut Connection| store::session::touch(conn, session, unseen_since, now);
        if let Err(error) = store.write(touch).await {
            tracing::debug!(%error, "the use of a session was not noted");
        }
    });
}
