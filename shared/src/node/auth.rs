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
    let (user, company_active, key_id, epoch) = match (machine, claims.sid) {
        (Some(key_id), _) => {
            let (epoch, found) =
                node.store.read_current(move |conn| store::api_key::look_up_standing(conn, key_id)).await?;
            match found {
                Some(found)
                    if accepts(&found.key, now)
                        && found.key.generation == claims.generation
                        && admits(&found.key, || Peer::of(request.request()).address) =>
                {
                    (found.user, found.company_active, Some(key_id), epoch)
                }
                _ => return Ok(None),
            }
        }
        (None, Some(session)) => {
            match node.store.read_current(move |conn| store::session::find(conn, session)).await? {
                Some(found)
                    if node.sessions.admit(&found.session, now)
                        && found.user.generation == claims.generation
                        && found.user.id.to_string() == claims.sub =>
                {
                    if now >= found.session.last_seen_at.plus(SEEN_EVERY) {
                        note_use(node, session, now);
                    }
                    (found.user, found.company_active, None, found.ring_epoch)
                }
                _ => return Ok(None),
            }
        }
        (None, None) => return Ok(None),
    };
    let role = Role::from_number(user.role);
    Ok(role.filter(|_role| user.active && company_active && user.id == claims.id).map(|role| {
        let principal = Principal {
            user_id: user.id,
            username: user.username,
            company_id: user.company_id,
            role,
            key_id,
            session_id: if key_id.is_none() { claims.sid } else { None },
        };
        (principal, epoch)
    }))
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
