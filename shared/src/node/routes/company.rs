//! `/v1/companies` and `/v1/servers`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::permission::Action;
use crate::node::query::{Query, path_id};
use crate::node::service::company as service;
use crate::node::{Error, Node, Principal, body, reply};
use crate::wire::company::UpdateCompany;

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
    reply::ok(&request, &service::view(&node, &who, path_id(&id, "company")?).await?)
}

/// `PATCH /v1/companies/:id`.
///
/// # Errors
/// See [`service::update`]; [`Error::ForbiddenMember`] for an api-key, which only a secondary keeps.
pub async fn update(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "company")?;
    let body: UpdateCompany = body::read_patch(&request, payload, body::SMALL).await?;
    if body.sync_api_key.value().is_some_and(|key| !key.is_empty()) {
        node.permit(&who, Action::UpdateCompany)?.admits_company(id)?;
        return Err(Error::ForbiddenMember("sync_api_key"));
    }
    reply::ok(&request, &service::update(&node, &who, id, body).await?)
}

pub(super) async fn delete(
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    service::delete(&node, &who, path_id(&id, "company")?).await?;
    Ok(reply::done())
}

pub(super) async fn servers(
    request: HttpRequest,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let name = Query::of(&request)?.get("name").map(str::to_owned);
    reply::ok(&request, &service::servers(&node, &who, name).await?)
}

pub(super) async fn server(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::server(&node, &who, path_id(&id, "company")?).await?)
}
