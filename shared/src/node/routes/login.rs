//! `POST /login`, `POST /synclogin`, `GET /refresh/:token`, `POST /refresh`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::service::login as service;
use crate::node::service::refresh as renewal;
use crate::node::{Error, Node, Peer, body, reply};
use crate::wire::auth::RefreshRequest;

pub(super) async fn login(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
    peer: Peer,
) -> Result<HttpResponse, Error> {
    let body = body::read(&request, payload, body::SMALL).await?;
    reply::secret(&request, &service::login(&node, body, peer).await?)
}

/// Seed 002 names it first: the same with a key only.
pub(super) async fn sync_login(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
    peer: Peer,
) -> Result<HttpResponse, Error> {
    let body = body::read(&request, payload, body::SMALL).await?;
    reply::secret(&request, &service::sync_login(&node, body, peer).await?)
}

pub(super) async fn refresh(
    request: HttpRequest,
    token: web::Path<String>,
    node: web::Data<Node>,
    peer: Peer,
) -> Result<HttpResponse, Error> {
    reply::secret(&request, &renewal::renew(&node, &token, &peer).await?)
}

pub(super) async fn exchange(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
    peer: Peer,
) -> Result<HttpResponse, Error> {
    let body: RefreshRequest = body::read(&request, payload, body::SMALL).await?;
    if body.refresh_token.is_empty() {
        return Err(Error::BadRequest("missing refresh_token".to_owned()));
    }
    reply::secret(&request, &renewal::exchange(&node, body.refresh_token, &peer).await?)
}
