//! `/v1/grains`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::query::{Query, path_id};
use crate::node::service::grain as service;
use crate::node::{Error, Node, Principal, body, reply};

pub(super) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let replace = Query::of(&request)?.flag("replace");
    // Nobody but staff gets to make this server read 80 MiB.
    let limit = if who.role.is_staff() { body::GRAIN } else { body::MEDIUM };
    let body = body::read(&request, payload, limit).await?;
    reply::created(&request, &service::create(&node, &who, body, replace).await?)
}

pub(super) async fn list(
    request: HttpRequest,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let query = Query::of(&request)?;
    let list = query.list(&service::COLUMNS)?;
    reply::ok(&request, &service::list(&node, &who, list, query.flag("payload")).await?)
}

pub(super) async fn list_by_slice(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let (id, query) = (path_id(&id, "slice")?, Query::of(&request)?);
    let list = query.list(&service::COLUMNS_OF_SLICE)?;
    reply::ok(&request, &service::list_by_slice(&node, &who, id, list, query.flag("payload")).await?)
}

pub(super) async fn view(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::view(&node, &who, path_id(&id, "grain")?).await?)
}

pub(super) async fn view_by_key(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let (slice, key) = path.into_inner();
    let with_payload = Query::of(&request)?.flag("payload");
    let grain = service::view_by_key(&node, &who, path_id(&slice, "slice")?, key, with_payload).await?;
    reply::ok(&request, &grain)
}

pub(super) async fn delete(
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    service::delete(&node, &who, path_id(&id, "grain")?).await?;
    Ok(reply::done())
}
