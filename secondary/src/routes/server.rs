//! `POST /v1/servers`: connect to a primary.

use actix_web::{HttpRequest, HttpResponse, web};
use shared::node::{Error, Principal, body, reply};

use crate::Secondary;
use crate::service::partner;

/// Logs in there, mints a key, stores and proves it. 201 with what was connected.
pub(super) async fn connect(
    request: HttpRequest,
    payload: web::Payload,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let body = body::read(&request, payload, body::SMALL).await?;
    who.require_staff()?;
    reply::created(&request, &partner::connect(&secondary, body).await?)
}
