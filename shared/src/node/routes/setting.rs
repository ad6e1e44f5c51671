//! `/v1/settings`, and `PUT /v1`, where the reference has its update.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::service::setting as service;
use crate::node::{Error, Node, Principal, body, reply};
use crate::wire::setting::WriteSetting;

pub(super) async fn view(
    request: HttpRequest,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::view(&node, &who).await?)
}

pub(super) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let body: WriteSetting = body::read(&request, payload, body::SMALL).await?;
    reply::created(&request, &service::create(&node, &who, &body)?)
}

pub(super) async fn update(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let body: WriteSetting = body::read(&request, payload, body::SMALL).await?;
    reply::ok(&request, &service::update(&node, &who, body).await?)
}
