//! `/v1/apikey`: mint, metadata, revoke.

use actix_web::{HttpRequest, HttpResponse, web};
use shared::node::service::api_key as service;
use shared::node::service::mint::{self, Mint};
use shared::node::{Error, Node, Principal, body, reply};
use shared::wire::api_key::MintRequest;

/// Mints (and so rotates) the key of the caller's company. 200, as the reference answers.
pub(super) async fn mint(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let body: MintRequest = body::read_patch(&request, payload, body::SMALL).await?;
    let mint = Mint {
        idempotency_key: idempotency_key(&request)?.map(Into::into),
        overlap_seconds: body.overlap_seconds.unwrap_or_default(),
        terms: body.into(),
    };
    reply::secret(&request, &mint::mint(&node, &who, mint).await?)
}

/// The header of that name, as it stands there.
fn idempotency_key(request: &HttpRequest) -> Result<Option<&str>, Error> {
    let mut values = request.headers().get_all("idempotency-key");
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::BadRequest("Idempotency-Key stands there more than once".to_owned()));
    }
    // The service says what it must be, and refuses an empty one.
    Ok(Some(first.to_str().unwrap_or_default()))
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
