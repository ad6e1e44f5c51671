//! `/openapi.json`, and `/docs`: a page that shows it.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::node::contract::document;
use crate::node::{Error, reply};

static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(document);

pub(super) async fn json(request: HttpRequest) -> Result<HttpResponse, Error> {
    reply::ok(&request, &*DOCUMENT)
}

/// The page with all its files: it asks no other server for anything.
pub fn docs() -> SwaggerUi {
    SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json").validator_url("none"))
}
