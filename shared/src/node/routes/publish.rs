//! `/v1/slices/:id/publish`.

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::body_stream::piped;
use crate::node::query::path_id;
use crate::node::service::publish as service;
use crate::node::{Error, Node, Principal, reply};
use crate::wire::publication::{NDJSON, PublishQuery};

pub(super) async fn publish(
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "slice")?;
    let query = web::Query::<PublishQuery>::from_query(request.query_string())
        .map_err(|error| Error::BadRequest(format!("malformed query: {error}")))?
        .into_inner();
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(Error::BadRequest("send the content as it is, without Content-Encoding".to_owned()));
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_changes = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(NDJSON));
    let (content, pump) = piped(payload);
    // A task of its own: it ends as it should when the caller hangs up.
    let task = tokio::spawn(service::publish(node.into_inner(), who, id, query, is_changes, content));
    pump.await;
    let published = task.await.map_err(|error| Error::Internal(error.to_string()))??;
    reply::ok(&request, &published)
}
