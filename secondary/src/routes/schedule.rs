//! `/v1/sync/schedules`.

use actix_web::{HttpRequest, HttpResponse, web};
use shared::node::permission::By;
use shared::node::query::{Query, path_id};
use shared::node::{Error, Principal, body, reply};

use crate::Secondary;
use crate::service::schedule as service;

pub(super) async fn list(
    request: HttpRequest,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let list = Query::of(&request)?.list(&service::COLUMNS)?;
    reply::ok(&request, &service::list(&secondary, By::Caller(&who), list).await?)
}

pub(super) async fn view(
    request: HttpRequest,
    id: web::Path<String>,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "company")?;
    reply::ok(&request, &service::view(&secondary, By::Caller(&who), id).await?)
}

pub(super) async fn set(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "company")?;
    let body = body::read(&request, payload, body::SMALL).await?;
    reply::ok(&request, &service::set(&secondary, By::Caller(&who), id, body).await?)
}

pub(super) async fn remove(
    id: web::Path<String>,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "company")?;
    service::remove(&secondary, By::Caller(&who), id).await?;
    Ok(reply::done())
}

pub(super) async fn pause(
    request: HttpRequest,
    id: web::Path<String>,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "company")?;
    reply::ok(&request, &service::pause(&secondary, By::Caller(&who), id).await?)
}

pub(super) async fn resume(
    request: HttpRequest,
    id: web::Path<String>,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "company")?;
    reply::ok(&request, &service::resume(&secondary, By::Caller(&who), id).await?)
}
