//! `POST /v1/sync/:primary_id`: run a sync, and answer when it is done, or at once.

use actix_web::{HttpRequest, HttpResponse, web};
use shared::node::query::path_id;
use shared::node::{Error, Principal, reply};
use shared::wire::run::RunBegun;

use crate::Secondary;
use crate::service::run as service;

/// 200 only if every active slice is now equal (design D14); 202 to who does not want to wait.
pub(super) async fn run(
    request: HttpRequest,
    id: web::Path<String>,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "company")?;
    if !wants_no_wait(&request) {
        service::run(secondary.into_inner(), &who, id).await?;
        return Ok(reply::done());
    }
    let run_id = service::begin(secondary.into_inner(), &who, id).await?;
    let mut answer = reply::accepted(&request, &RunBegun { run_id })?;
    for (name, value) in
        [("location", format!("/v1/sync/runs/{run_id}")), ("preference-applied", RESPOND_ASYNC.to_owned())]
    {
        let value = value.parse().map_err(|_never| Error::Internal(format!("{name} is no header")))?;
        answer.headers_mut().insert(actix_web::http::header::HeaderName::from_static(name), value);
    }
    Ok(answer)
}

const RESPOND_ASYNC: &str = "respond-async";

/// RFC 7240: preferences are divided by commas, each may have a value and parameters, and any number of headers may hold them.
fn wants_no_wait(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all("prefer")
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|preference| {
            let name = preference.split([';', '=']).next().unwrap_or_default();
            name.trim().eq_ignore_ascii_case(RESPOND_ASYNC)
        })
}
