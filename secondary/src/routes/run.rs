//! `/v1/sync/runs`.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream::unfold;
use shared::node::permission::By;
use shared::node::query::{Query, path_id};
use shared::node::{Error, Principal, reply};
use shared::wire::run::RunEvent;

use crate::Secondary;
use crate::service::run::{self as service, Seen};

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
    let id = path_id(&id, "run")?;
    reply::ok(&request, &service::view(&secondary, By::Caller(&who), id).await?)
}

pub(super) async fn cancel(
    request: HttpRequest,
    id: web::Path<String>,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "run")?;
    reply::accepted(&request, &service::cancel(&secondary, By::Caller(&who), id).await?)
}

/// Server-sent events.
pub(super) async fn events(
    id: web::Path<String>,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "run")?;
    let seen = service::watch(secondary.into_inner(), who, id).await?;
    let texts = unfold(seen, |mut seen| async move {
        let text = written(&seen.recv().await?);
        Some((text.map(Bytes::from), seen))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // An event must not wait in a compressor, or in a proxy, until there are more of them.
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(texts))
}

fn written(seen: &Seen) -> Result<String, Error> {
    match seen {
        Seen::Progress(event) => named("progress", event),
        Seen::End(event) => named("end", event),
        Seen::Nothing => Ok(": it goes on\n\n".to_owned()),
    }
}

fn named(name: &str, event: &RunEvent) -> Result<String, Error> {
    let json = serde_json::to_string(event).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(format!("event: {name}\ndata: {json}\n\n"))
}
