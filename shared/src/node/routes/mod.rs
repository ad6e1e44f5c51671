//! Routes that both servers have: they decode, call one service and encode. Where they stand, the contract says
//! ([`crate::node::contract`]).

mod activity;
mod bound;
mod company;
mod grain;
mod history;
mod keyring;
mod login;
mod openapi;
mod password;
mod publish;
mod receiver;
mod session;
mod setting;
mod slice;
mod subscription;
mod tag;
mod user;

use actix_web::{HttpRequest, HttpResponse, web};

pub use bound::Routes;
use openapi::docs;

use super::{Error, Node, Principal, reply};

/// The handlers that both servers have.
pub fn shared() -> Routes {
    Routes::default()
        .on("check", check)
        .on("login", login::login)
        .on("syncLogin", login::sync_login)
        .on("refresh", login::refresh)
        .on("exchangeRefreshToken", login::exchange)
        .on("logout", session::logout)
        .on("listSessions", session::list)
        .on("endSession", session::end)
        .on("me", user::me)
        .on("server", server)
        .on("listCompanies", company::list)
        .on("createCompany", company::create)
        .on("viewCompany", company::view)
        .on("updateCompany", company::update)
        .on("deleteCompany", company::delete)
        .on("listServers", company::servers)
        .on("viewServer", company::server)
        .on("listUsers", user::list)
        .on("createUser", user::create)
        .on("viewUser", user::view)
        .on("updateUser", user::update)
        .on("deleteUser", user::delete)
        .on("changePassword", password::change)
        .on("resetPassword", password::reset)
        .on("viewSettings", setting::view)
        .on("createSettings", setting::create)
        .on("replaceSettings", setting::update)
        .on("replaceSettingsAtV1", setting::update)
        .on("listRingKeys", keyring::list)
        .on("prepareRingKey", keyring::prepare)
        .on("activateRingKey", keyring::activate)
        .on("retireRingKey", keyring::retire)
        .on("listSlices", slice::list)
        .on("createSlice", slice::create)
        .on("viewSliceByName", slice::view_by_name)
        .on("viewMetadata", slice::view_metadata)
        .on("refreshSlice", slice::refresh)
        .on("lockSlice", slice::lock)
        .on("unlockSlice", slice::unlock)
        .on("viewSlice", slice::view)
        .on("updateSlice", slice::update)
        .on("deleteSlice", slice::delete)
        .on("listReceivers", receiver::list)
        .on("listVersions", history::versions)
        .on("compareVersions", history::compare)
        .on("publishContent", publish::publish)
        .on("rollbackSlice", history::rollback)
        .on("listGrains", grain::list)
        .on("createGrain", grain::create)
        .on("listGrainsOfSlice", grain::list_by_slice)
        .on("findGrain", grain::view_by_key)
        .on("viewGrain", grain::view)
        .on("deleteGrain", grain::delete)
        .on("listSubscriptions", subscription::list)
        .on("createSubscription", subscription::create)
        .on("viewSubscriptionByName", subscription::view_by_name)
        .on("viewSubscription", subscription::view)
        .on("replaceSubscription", subscription::replace)
        .on("updateSubscription", subscription::update)
        .on("deleteSubscription", subscription::delete)
        .on("listSubscriptionsOfCompany", subscription::list_of_company)
        .on("viewSubscriptionOfCompany", subscription::view_pair)
        .on("listActivity", activity::list)
        .on("recordActivity", activity::create)
        .on("viewActivity", activity::view)
        .on("deleteActivity", activity::delete)
        .on("listTags", tag::list)
        .on("createTag", tag::create)
        .on("viewTag", tag::view)
        .on("updateTag", tag::update)
        .on("deleteTag", tag::delete)
        .on("assignTag", tag::assign)
        .on("unassignTag", tag::unassign)
        .on("openapi", openapi::json)
}

async fn check(request: HttpRequest) -> Result<HttpResponse, Error> {
    reply::ok(&request, &"Sandpiper API OK")
}

async fn server(request: HttpRequest, node: web::Data<Node>, _who: Principal) -> Result<HttpResponse, Error> {
    reply::ok(&request, &node.server)
}
