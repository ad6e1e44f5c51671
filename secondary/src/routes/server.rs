//! `POST /v1/servers`: connect to a primary. `POST /v1/servers/:id/rotate`: renew its key.

use actix_web::{HttpRequest, HttpResponse, web};
use shared::node::permission::Action;
use shared::node::query::path_id;
use shared::node::{Error, Principal, body, reply};

use crate::Secondary;
use crate::service::{connect as service, rotate as rotation};

/// Logs in there, mints a key, stores and proves it. 201 with what was connected.
pub(super) async fn connect(
    request: HttpRequest,
    payload: web::Payload,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let body = body::read(&request, payload, body::SMALL).await?;
    secondary.node.permit(&who, Action::ConnectToPrimary)?;
    // A task of its own: a caller who hangs up between mint and store would cost us both keys.
    let secondary = secondary.into_inner();
    let task = tokio::spawn(async move { service::connect(&secondary, body).await });
    let connected = task.await.map_err(|error| Error::Internal(error.to_string()))??;
    reply::created(&request, &connected)
}

/// Asks the primary for a new key with the old one. 200 with which key it is now.
pub(super) async fn rotate(
    request: HttpRequest,
    id: web::Path<String>,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "company")?;
    secondary.node.permit(&who, Action::RotateApiKey)?;
    let secondary = secondary.into_inner();
    let task = tokio::spawn(async move { rotation::rotate(&secondary, id).await });
    let rotated = task.await.map_err(|error| Error::Internal(error.to_string()))??;
    reply::ok(&request, &rotated)
}
