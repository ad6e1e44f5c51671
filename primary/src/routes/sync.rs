//! `/v1/sync/…`: what a secondary pulls from.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream::unfold;
use shared::node::query::{Query, path_id};
use shared::node::{Error, Node, Principal, body, reply};
use shared::wire::sync::{FeedQuery, PieceQuery, WantedGrains};
use tokio::sync::mpsc::Receiver;

use crate::service::{feed as service, go_wire, offer, piece as pieces};

/// What the Go client calls itself (spec §9).
const GO_CLIENT: &str = "Sandpiper";

/// The reference has a web-socket stub here that answers nothing.
pub(super) async fn index(node: web::Data<Node>, who: Principal) -> Result<HttpResponse, Error> {
    offer::socket(&node, &who)?;
    Ok(reply::done())
}

/// The caller's company's subscriptions, active or not, each with its slice.
pub(super) async fn subscriptions(
    request: HttpRequest,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let subs = offer::subscriptions(&node, &who, agent == Some(GO_CLIENT)).await?;
    reply::ok(&request, &subs)
}

/// The reference's list of a slice's grains; `brief=yes` leaves out the payloads (the reference does not).
pub(super) async fn grains(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let (id, brief) = (path_id(&id, "slice")?, Query::of(&request)?.flag("brief"));
    let stream = go_wire::grains(node.into_inner(), &who, id, brief).await?;
    Ok(HttpResponse::Ok().content_type("application/json; charset=UTF-8").streaming(chunks(stream)))
}

/// sync-2: a version of a slice, or the way to it from what the caller has.
pub(super) async fn feed(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "slice")?;
    let query = web::Query::<FeedQuery>::from_query(request.query_string())
        .map_err(|error| Error::BadRequest(format!("malformed query: {error}")))?
        .into_inner();
    Ok(ndjson(service::feed(node.into_inner(), &who, id, query).await?))
}

/// sync-2: some grains of a version.
pub(super) async fn wanted(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "slice")?;
    let wanted: WantedGrains = body::read(&request, payload, body::MEDIUM).await?;
    Ok(ndjson(service::wanted(node.into_inner(), &who, id, wanted).await?))
}

/// sync-2: a piece of a long payload text.
pub(super) async fn piece(
    request: HttpRequest,
    ids: web::Path<(String, String)>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let (slice_id, id) = (path_id(&ids.0, "slice")?, path_id(&ids.1, "grain")?);
    let query = web::Query::<PieceQuery>::from_query(request.query_string())
        .map_err(|error| Error::BadRequest(format!("malformed query: {error}")))?
        .into_inner();
    let accepted = request.headers().get_all(header::ACCEPT_ENCODING).filter_map(|value| value.to_str().ok());
    let wants_zstd = accepted.flat_map(|value| value.split(',')).any(|coding| coding.trim() == "zstd");
    let piece = pieces::piece(node.into_inner(), &who, slice_id, id, query, wants_zstd).await?;
    let mut answer = HttpResponse::Ok();
    answer.content_type("application/octet-stream").insert_header(("content-digest", piece.content_digest));
    // Said in either case, so that nobody packs it once more: the digest is of the bytes as they travel.
    let coding = if piece.is_zstd { "zstd" } else { "identity" };
    Ok(answer.insert_header((header::CONTENT_ENCODING, coding)).body(piece.body))
}

fn ndjson(stream: Receiver<std::io::Result<Bytes>>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/x-ndjson").streaming(chunks(stream))
}

fn chunks(
    stream: Receiver<std::io::Result<Bytes>>,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    unfold(stream, |mut stream| async move { stream.recv().await.map(|chunk| (chunk, stream)) })
}
