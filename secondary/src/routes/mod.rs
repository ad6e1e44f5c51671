//! Every route of a secondary: the shared ones, and what only a secondary has.

mod company;
mod server;
mod sync;

use actix_web::web;
use shared::node::routes::{self as shared_routes, Routes};

/// The handlers.
pub fn all() -> Routes {
    shared_routes::shared()
        .on("updateCompany", company::update)
        .on("connectToPrimary", server::connect)
        .on("rotateApiKey", server::rotate)
        .on("runSync", sync::run)
        .on("runSyncAtRoot", sync::run)
}

/// Puts them at their paths.
pub fn register(config: &mut web::ServiceConfig) {
    all().register(config);
}
