//! `/v1/keyring`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::permission::By;
use crate::node::service::keyring as service;
use crate::node::{Error, Node, Principal, body, reply};
use crate::wire::keyring::{PrepareRingKey, RetireRingKey};

pub(super) async fn list(
    request: HttpRequest,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::list(&node, By::Caller(&who)).await?)
}

pub(super) async fn prepare(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let body: PrepareRingKey = body::read(&request, payload, body::SMALL).await?;
    let purpose = service::purpose(&body.purpose)?;
    reply::created(&request, &service::prepare(&node, By::Caller(&who), purpose).await?)
}

pub(super) async fn activate(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::activate(&node, By::Caller(&who), id.into_inner()).await?)
}

pub(super) async fn retire(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let body: RetireRingKey = body::read(&request, payload, body::SMALL).await?;
    reply::ok(&request, &service::retire(&node, By::Caller(&who), id.into_inner(), body.force).await?)
}
