//! Every route of a secondary: the shared ones, and what only a secondary has.

mod company;
mod run;
mod schedule;
mod server;
mod slice;
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
        .on("listRuns", run::list)
        .on("viewRun", run::view)
        .on("watchRun", run::events)
        .on("cancelRun", run::cancel)
        .on("listSchedules", schedule::list)
        .on("viewSchedule", schedule::view)
        .on("setSchedule", schedule::set)
        .on("removeSchedule", schedule::remove)
        .on("pauseSchedule", schedule::pause)
        .on("resumeSchedule", schedule::resume)
        .on("deleteSlice", slice::delete)
}

/// Puts them at their paths.
pub fn register(config: &mut web::ServiceConfig) {
    all().register(config);
}
