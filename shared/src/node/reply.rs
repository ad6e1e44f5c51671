//! Writing answers as the reference does: one line end behind the JSON, `?pretty` indents, nothing to say is an empty 200.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::error::Error;

const JSON: &str = "application/json; charset=UTF-8";

/// 200 with `value`.
///
/// # Errors
/// [`Error::Internal`] when it does not serialise.
pub fn ok(request: &HttpRequest, value: &impl Serialize) -> Result<HttpResponse, Error> {
    json(request, StatusCode::OK, value)
}

/// 201 with `value`.
///
/// # Errors
/// [`Error::Internal`] when it does not serialise.
pub fn created(request: &HttpRequest, value: &impl Serialize) -> Result<HttpResponse, Error> {
    json(request, StatusCode::CREATED, value)
}

/// 202 with `value`: it goes on.
///
/// # Errors
/// [`Error::Internal`] when it does not serialise.
pub fn accepted(request: &HttpRequest, value: &impl Serialize) -> Result<HttpResponse, Error> {
    json(request, StatusCode::ACCEPTED, value)
}

/// 200 with `value`, which no cache may keep: it holds a credential.
///
/// # Errors
/// [`Error::Internal`] when it does not serialise.
pub fn secret(request: &HttpRequest, value: &impl Serialize) -> Result<HttpResponse, Error> {
    let mut response = ok(request, value)?;
    response.headers_mut().insert(
        actix_web::http::header::CACHE_CONTROL,
        actix_web::http::header::HeaderValue::from_static("no-store"),
    );
    Ok(response)
}

/// 200 without a body.
pub fn done() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// The JSON of `value` with one line end.
///
/// # Errors
/// [`Error::Internal`] when it does not serialise.
pub fn json(
    request: &HttpRequest,
    status: StatusCode,
    value: &impl Serialize,
) -> Result<HttpResponse, Error> {
    let pretty =
        request.query_string().split('&').any(|pair| pair == "pretty" || pair.starts_with("pretty="));
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let mut text = text.map_err(|error| Error::Internal(format!("answer does not serialise: {error}")))?;
    text.push('\n');
    Ok(HttpResponse::build(status).content_type(JSON).body(text))
}
