//! `POST /v1/sync/:primary_id`: run a sync and answer when it is done.

use actix_web::{HttpResponse, web};
use shared::node::permission::Action;
use shared::node::query::path_id;
use shared::node::{Error, Principal, reply};

use crate::Secondary;
use crate::sync;

/// 200 only if every active slice is now equal (design D14).
pub(super) async fn run(
    id: web::Path<String>,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "company")?;
    secondary.node.permit(&who, Action::RunSync)?;
    // A task of its own: it goes on when the caller hangs up, as clients of the reference do after ten seconds.
    let task = tokio::spawn(sync::run(secondary.into_inner(), id, sync::Progress::silent()));
    let report = task.await.map_err(|error| Error::Internal(error.to_string()))??;
    report.into_result()?;
    Ok(reply::done())
}
