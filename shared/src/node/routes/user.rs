//! `/me` and `/v1/users`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::query::Query;
use crate::node::service::user as service;
use crate::node::{Error, Node, Principal, body, reply};

pub(super) async fn me(
    request: HttpRequest,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::me(&node, &who).await?)
}

pub(super) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let body = body::read(&request, payload, body::SMALL).await?;
    reply::created(&request, &service::create(&node, &who, body).await?)
}

pub(super) async fn list(
    request: HttpRequest,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let list = Query::of(&request)?.list(&service::COLUMNS)?;
    reply::ok(&request, &service::list(&node, &who, list).await?)
}

pub(super) async fn view(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::view(&node, &who, number(&id)?).await?)
}

pub(super) async fn update(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = number(&id)?;
    let body = body::read_patch(&request, payload, body::SMALL).await?;
    reply::ok(&request, &service::update(&node, &who, id, body).await?)
}

pub(super) async fn delete(
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    service::delete(&node, &who, number(&id)?).await?;
    Ok(reply::done())
}

pub(super) fn number(text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_not_a_number| Error::BadRequest("invalid user id".to_owned()))
}
