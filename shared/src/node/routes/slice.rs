//! `/v1/slices`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::query::{Query, path_id};
use crate::node::service::{publish, slice as service, slice_edit, tag};
use crate::node::{Error, Node, Principal, body, reply};

pub(super) async fn create(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let body = body::read(&request, payload, body::MEDIUM).await?;
    reply::created(&request, &service::create(&node, &who, body).await?)
}

pub(super) async fn list(
    request: HttpRequest,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let query = Query::of(&request)?;
    let list = query.list(&service::COLUMNS)?;
    let tagged =
        service::Tagged { any: tag::names(query.items("tags"))?, all: tag::names(query.items("tags-all"))? };
    reply::ok(&request, &service::list(&node, &who, list, tagged).await?)
}

pub(super) async fn view(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::view(&node, &who, path_id(&id, "slice")?).await?)
}

pub(super) async fn view_by_name(
    request: HttpRequest,
    name: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::view_by_name(&node, &who, name.into_inner()).await?)
}

pub(super) async fn view_metadata(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::view_metadata(&node, &who, path_id(&id, "slice")?).await?)
}

pub(super) async fn refresh(
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    publish::refresh(&node, &who, path_id(&id, "slice")?).await?;
    Ok(reply::done())
}

pub(super) async fn lock(
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    service::lock(&node, &who, path_id(&id, "slice")?).await?;
    Ok(reply::done())
}

pub(super) async fn unlock(
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    service::unlock(&node, &who, path_id(&id, "slice")?).await?;
    Ok(reply::done())
}

pub(super) async fn update(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "slice")?;
    let body = body::read_patch(&request, payload, body::MEDIUM).await?;
    reply::ok(&request, &slice_edit::update(&node, &who, id, body).await?)
}

pub(super) async fn delete(
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "slice")?;
    // A task of its own: it goes on when the caller hangs up.
    let task = tokio::spawn(async move { slice_edit::delete(&node, &who, id).await });
    task.await.map_err(|error| Error::Internal(error.to_string()))??;
    Ok(reply::done())
}
