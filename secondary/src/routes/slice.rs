//! `DELETE /v1/slices/:id`: what its primary no longer offers.

use actix_web::{HttpResponse, web};
use shared::node::permission::By;
use shared::node::query::path_id;
use shared::node::{Error, Principal, reply};

use crate::Secondary;
use crate::service::slice as service;

pub(super) async fn delete(
    id: web::Path<String>,
    secondary: web::Data<Secondary>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let id = path_id(&id, "slice")?;
    let secondary = secondary.into_inner();
    // A task of its own: it goes on when the caller hangs up.
    let task = tokio::spawn(async move { service::delete(&secondary, By::Caller(&who), id).await });
    task.await.map_err(|error| Error::Internal(error.to_string()))??;
    Ok(reply::done())
}
