//! Around every request: an id, a log line, the headers of every answer and the body of every refusal.

use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;

use super::linger;
use crate::node::Error;
use crate::wire::Id;
use crate::wire::error::{ErrorBody, Message};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware, outermost.
///
/// # Errors
/// None of its own.
pub async fn around(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let id = uuid::Uuid::now_v7().to_string();
    let method = request.method().clone();
    let is_tls = request.app_config().secure();
    let start = Instant::now();
    let watched = linger::watch(&mut request);
    // A NUL names nothing in either database, and PostgreSQL could not even be asked.
    let response = if request.uri().path_and_query().is_some_and(|path| path.as_str().contains("%00")) {
        request.error_response(Error::BadRequest("the URL holds a NUL character".to_owned()))
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    let mut response = watched.close_if_unread(with_error_body(response, &id));
    let policy = content_security_policy(response.request().path());
    add_headers(response.headers_mut(), &id, is_tls, policy);
    let status = response.status().as_u16();
    let path = public_path(response.request());
    let duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(request.id = %id, %method, path, status, duration_ms, "answered");
    Ok(response)
}

/// The route's pattern with those of its parameters that are ids. A refresh token stands in the path (the reference's
/// contract), and a mistyped path may hold anything: neither must reach a log.
fn public_path(request: &HttpRequest) -> String {
    let Some(mut path) = request.match_pattern() else { return "(no route)".to_owned() };
    for (name, value) in request.match_info().iter() {
        if value.parse::<Id>().is_ok() || value.parse::<i64>().is_ok() {
            path = path.replace(&format!("{{{name}}}"), value);
        }
    }
    path
}

fn with_error_body(response: ServiceResponse, id: &str) -> ServiceResponse {
    let status = response.status();
    if status.is_success() || status.is_informational() || status.is_redirection() {
        return response;
    }
    let (code, message) = match response.response().error().and_then(|error| error.as_error::<Error>()) {
        // The reference answers a missing or bad token with nothing.
        Some(Error::Unauthenticated) => return response,
        Some(error) => {
            match error.private_text() {
                Some(text) if status.is_server_error() => {
                    tracing::error!(request.id = %id, error = %text, "request failed");
                }
                Some(text) => tracing::info!(request.id = %id, error = %text, "request refused"),
                None => {}
            }
            (error.status_and_code().1, error.message())
        }
        None => of_status(status),
    };
    let body = ErrorBody { message, code: code.to_owned(), request_id: id.to_owned() };
    let mut text = serde_json::to_string(&body).unwrap_or_default();
    text.push('\n');
    let (request, mut response) = response.into_parts();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    headers.remove(header::CONTENT_ENCODING);
    ServiceResponse::new(request, response.set_body(text).map_into_boxed_body())
}

/// Refusals of the framework: no such path, no such method, a malformed request.
fn of_status(status: StatusCode) -> (&'static str, Message) {
    let (code, text) = match status {
        StatusCode::NOT_FOUND => ("not_found", "Not Found"),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "Method Not Allowed"),
        StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "body is too large"),
        status if status.is_client_error() => {
            ("bad_request", status.canonical_reason().unwrap_or("Bad Request"))
        }
        _ => ("internal", "internal error"),
    };
    (code, Message::One(text.to_owned()))
}

/// An API has nothing to load; the page that shows the contract has its own files.
fn content_security_policy(path: &str) -> &'static str {
    if path.starts_with("/docs") {
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self'; frame-ancestors 'none'"
    } else {
        "default-src 'none'; frame-ancestors 'none'"
    }
}

fn add_headers(headers: &mut HeaderMap, id: &str, is_tls: bool, policy: &'static str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("content-security-policy", policy),
        ("referrer-policy", "no-referrer"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if is_tls {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000; includeSubDomains"),
        );
    }
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
}
