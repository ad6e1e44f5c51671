//! `/v1/password/:id` and `/v1/users/:id/password`.

use actix_web::{HttpRequest, HttpResponse, web};

use super::user::number;
use crate::node::service::password as service;
use crate::node::{Error, Node, Peer, Principal, body, reply};

pub(super) async fn change(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
    peer: Peer,
) -> Result<HttpResponse, Error> {
    let id = number(&id)?;
    let body = body::read(&request, payload, body::SMALL).await?;
    service::change(&node, &who, id, body, &peer).await?;
    Ok(reply::done())
}

pub(super) async fn reset(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = number(&id)?;
    let body = body::read(&request, payload, body::SMALL).await?;
    reply::secret(&request, &service::reset(&node, &who, id, body).await?)
}
