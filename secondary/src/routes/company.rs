//! `PATCH /v1/companies/:id`: as on a primary, and the write-only key of that primary.

use actix_web::{HttpRequest, HttpResponse, web};
use shared::node::query::path_id;
use shared::node::service::company as shared_service;
use shared::node::{Error, Node, Principal, body, reply};
use shared::wire::company::UpdateCompany;

use crate::Secondary;
use crate::service::partner;

pub(super) async fn update(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "company")?;
    let body: UpdateCompany = body::read_patch(&request, payload, body::SMALL).await?;
    let api_key = match body.sync_api_key.value().filter(|key| !key.is_empty()) {
        Some(key) => Some(partner::check_key(&secondary, &who, id, key)?),
        None => None,
    };
    let mut company = shared_service::update(&node, &who, id, body).await?;
    if let Some(api_key) = api_key {
        partner::store_key(&secondary, id, &api_key).await?;
        company.has_api_key = Some(true);
    }
    reply::ok(&request, &company)
}
