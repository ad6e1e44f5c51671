//! `POST /login`, `POST /synclogin`, `GET /refresh/:token`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::service::login as service;
use crate::node::{Error, Node, body, reply};

pub(super) async fn login(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Error> {
    let body = body::read(&request, payload, body::SMALL).await?;
    reply::secret(&request, &service::login(&node, body, peer(&request)).await?)
}

/// Seed 002 names it first: the same with a key only.
pub(super) async fn sync_login(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
) -> Result<HttpResponse, Error> {
    let body = body::read(&request, payload, body::SMALL).await?;
    reply::secret(&request, &service::sync_login(&node, body, peer(&request)).await?)
}

pub(super) async fn refresh(
    request: HttpRequest,
    token: web::Path<String>,
    node: web::Data<Node>,
) -> Result<HttpResponse, Error> {
    reply::secret(&request, &service::refresh(&node, &token).await?)
}

/// The peer of the connection. Headers that a proxy may add are not trusted.
fn peer(request: &HttpRequest) -> Option<String> {
    request.peer_addr().map(|addr| addr.ip().to_string())
}
