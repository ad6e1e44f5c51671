//! `POST /v1/servers`: connect to a primary.

use actix_web::{HttpRequest, HttpResponse, web};
use shared::node::{Error, Principal, body, reply};

use crate::Secondary;
use crate::service::connect as service;

/// Logs in there, mints a key, stores and proves it. 201 with what was connected.
pub(super) async fn connect(
    request: HttpRequest,
    payload: web::Payload,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let body = body::read(&request, payload, body::SMALL).await?;
    who.require_staff()?;
    // A task of its own: a caller who hangs up between mint and store would cost us both keys.
    let secondary = secondary.into_inner();
    let task = tokio::spawn(async move { service::connect(&secondary, body).await });
    let connected = task.await.map_err(|error| Error::Internal(error.to_string()))??;
    reply::created(&request, &connected)
}
