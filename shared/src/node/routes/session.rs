//! `POST /logout`, `/v1/sessions`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::query::{Query, path_id};
use crate::node::service::session as service;
use crate::node::{Error, Node, Principal, reply};

pub(super) async fn logout(node: web::Data<Node>, who: Principal) -> Result<HttpResponse, Error> {
    service::logout(&node, &who).await?;
    Ok(reply::done())
}

pub(super) async fn list(
    request: HttpRequest,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let list = Query::of(&request)?.list(&service::COLUMNS)?;
    reply::ok(&request, &service::list(&node, &who, list).await?)
}

pub(super) async fn end(
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    service::end(&node, &who, path_id(&id, "session")?).await?;
    Ok(reply::done())
}
