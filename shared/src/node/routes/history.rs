//! `/v1/slices/:id/versions`, `/v1/slices/:id/compare` and `/v1/slices/:id/rollback`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::query::{Query, path_id};
use crate::node::service::history as service;
use crate::node::{Error, Node, Principal, body, reply};

pub(super) async fn versions(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let (id, list) = (path_id(&id, "slice")?, Query::of(&request)?.list(&service::COLUMNS)?);
    reply::ok(&request, &service::versions(&node, &who, id, list).await?)
}

/// `from` must be given; `to` is the published version if it is not.
pub(super) async fn compare(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let (id, query) = (path_id(&id, "slice")?, Query::of(&request)?);
    let from = version(&query, "from")?
        .ok_or_else(|| Error::BadRequest("from is missing: name a version".to_owned()))?;
    let to = version(&query, "to")?;
    reply::ok(&request, &service::compare(&node, &who, id, from, to).await?)
}

fn version(query: &Query, name: &str) -> Result<Option<i64>, Error> {
    let Some(text) = query.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_not_a_number) => Err(Error::BadRequest(format!("{name} is not the number of a version"))),
    }
}

pub(super) async fn rollback(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "slice")?;
    let body = body::read(&request, payload, body::SMALL).await?;
    reply::ok(&request, &service::rollback(node.into_inner(), &who, id, &body).await?)
}
