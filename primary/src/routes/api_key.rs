//! `/v1/apikey`: mint, metadata, revoke.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};
use shared::node::service::api_key as service;
use shared::node::{Error, Node, Principal, body, reply};

/// Mints (and so rotates) the key of the caller's company. 200, as the reference answers.
pub(super) async fn mint(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let body: Map<String, Value> = body::read(&request, payload, body::SMALL).await?;
    // Whoever asks for these relies on the old key's life: better refused than ignored.
    if request.headers().contains_key("idempotency-key") || body.contains_key("overlap_seconds") {
        return Err(Error::BadRequest(
            "Idempotency-Key and overlap_seconds are not supported by this version: nothing was minted"
                .to_owned(),
        ));
    }
    reply::secret(&request, &service::mint(&node, &who).await?)
}

/// What may be told of the company's keys, newest first.
pub(super) async fn list(
    request: HttpRequest,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    reply::ok(&request, &service::list(&node, &who).await?)
}

/// Ends every key of the company at once.
pub(super) async fn revoke(node: web::Data<Node>, who: Principal) -> Result<HttpResponse, Error> {
    service::revoke(&node, &who).await?;
    Ok(reply::done())
}
