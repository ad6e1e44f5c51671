//! `/v1/slices/:id/receivers`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::node::query::{Query, path_id};
use crate::node::service::receiver as service;
use crate::node::{Error, Node, Principal, reply};

pub(super) async fn list(
    request: HttpRequest,
    id: web::Path<String>,
    node: web::Data<Node>,
    who: Principal,
) -> Result<HttpResponse, Error> {
    let (id, list) = (path_id(&id, "slice")?, Query::of(&request)?.list(&service::COLUMNS)?);
    reply::ok(&request, &service::list(&node, &who, id, list).await?)
}
