//! `/v1/subs` and `/v1/companies/:id/subs`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::query::{Query, path_id};
use crate::node::service::subscription as service;
use crate::node::{Error, Node, Principal, body, reply};
use crate::wire::subscription::{PutSubscription, UpdateSubscription};

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
    reply::ok(&request, &service::list(&node, &who, None, list).await?)
}

pub(super) async fn list_of_company(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let (id, list) = (path_id(&id, "company")?, Query::of(&request)?.list(&service::COLUMNS)?);
    reply::ok(&request, &service::list(&node, &who, Some(id), list).await?)
}

pub(super) async fn view(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::view(&node, &who, path_id(&id, "subscription")?).await?)
}

pub(super) async fn view_by_name(
    request: HttpRequest,
    name: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::view_by_name(&node, &who, name.into_inner()).await?)
}

pub(super) async fn view_pair(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let (company, slice) = path.into_inner();
    let (company, slice) = (path_id(&company, "company")?, path_id(&slice, "slice")?);
    reply::ok(&request, &service::view_pair(&node, &who, company, slice).await?)
}

/// `PUT`: the reference wants all three ids in the body.
pub(super) async fn replace(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "subscription")?;
    let body: PutSubscription = body::read(&request, payload, body::SMALL).await?;
    reply::ok(&request, &service::update(&node, &who, id, body.into()).await?)
}

pub(super) async fn update(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "subscription")?;
    let body: UpdateSubscription = body::read_patch(&request, payload, body::SMALL).await?;
    reply::ok(&request, &service::update(&node, &who, id, body).await?)
}

pub(super) async fn delete(
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    service::delete(&node, &who, path_id(&id, "subscription")?).await?;
    Ok(reply::done())
}
