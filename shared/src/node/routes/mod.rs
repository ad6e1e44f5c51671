//! Routes that both servers have: they decode, call one service and encode.

mod activity;
mod company;
mod grain;
mod history;
mod login;
mod receiver;
mod slice;
mod subscription;
mod user;

use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};

use super::auth::authenticate;
use super::{Error, Node, Principal, reply};

/// What needs no token, and what has no `/v1` in front.
pub fn root(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/check").route(web::get().to(check)))
        .service(web::resource("/login").route(web::post().to(login::login)))
        .service(web::resource("/synclogin").route(web::post().to(login::sync_login)))
        .service(web::resource("/refresh/{token}").route(web::get().to(login::refresh)))
        .service(web::resource("/me").wrap(from_fn(authenticate)).route(web::get().to(user::me)))
        .service(web::resource("/server").wrap(from_fn(authenticate)).route(web::get().to(server)));
}

/// What stands under `/v1` on both servers.
#[rustfmt::skip]
pub fn v1(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/companies")
            .route(web::get().to(company::list))
            .route(web::post().to(company::create)))
        .service(web::resource("/servers/{id}").route(web::get().to(company::server)))
        .service(web::resource("/companies/{id}/subs").route(web::get().to(subscription::list_of_company)))
        .service(web::resource("/companies/{id}/subs/{slice}").route(web::get().to(subscription::view_pair)))
        .service(web::resource("/users")
            .route(web::get().to(user::list))
            .route(web::post().to(user::create)))
        .service(web::resource("/users/{id}")
            .route(web::get().to(user::view))
            .route(web::patch().to(user::update))
            .route(web::delete().to(user::delete)))
        .service(web::resource("/slices")
            .route(web::get().to(slice::list))
            .route(web::post().to(slice::create)))
        .service(web::resource("/slices/name/{name}").route(web::get().to(slice::view_by_name)))
        .service(web::resource("/slices/metadata/{id}").route(web::get().to(slice::view_metadata)))
        .service(web::resource("/slices/refresh/{id}").route(web::post().to(slice::refresh)))
        .service(web::resource("/slices/lock/{id}").route(web::put().to(slice::lock)))
        .service(web::resource("/slices/unlock/{id}").route(web::put().to(slice::unlock)))
        .service(web::resource("/slices/{id}").route(web::get().to(slice::view)))
        .service(web::resource("/slices/{id}/receivers").route(web::get().to(receiver::list)))
        .service(web::resource("/slices/{id}/versions").route(web::get().to(history::versions)))
        .service(web::resource("/slices/{id}/compare").route(web::get().to(history::compare)))
        .service(web::resource("/slices/{id}/rollback").route(web::post().to(history::rollback)))
        .service(web::resource("/grains")
            .route(web::get().to(grain::list))
            .route(web::post().to(grain::create)))
        .service(web::resource("/grains/slice/{id}").route(web::get().to(grain::list_by_slice)))
        .service(web::resource("/grains/{slice}/{key}").route(web::get().to(grain::view_by_key)))
        .service(web::resource("/grains/{id}")
            .route(web::get().to(grain::view))
            .route(web::delete().to(grain::delete)))
        .service(web::resource("/subs")
            .route(web::get().to(subscription::list))
            .route(web::post().to(subscription::create)))
        .service(web::resource("/subs/name/{name}").route(web::get().to(subscription::view_by_name)))
        .service(web::resource("/subs/{id}")
            .route(web::get().to(subscription::view))
            .route(web::delete().to(subscription::delete)))
        .service(web::resource("/activity")
            .route(web::get().to(activity::list))
            .route(web::post().to(activity::create)))
        .service(web::resource("/activity/{id}").route(web::get().to(activity::view)));
}

/// `/v1/companies/{id}`: shared, but for a secondary's PATCH, which may carry an api-key.
pub fn company_by_id() -> actix_web::Resource {
    web::resource("/companies/{id}")
        .route(web::get().to(company::view))
        .route(web::delete().to(company::delete))
}

/// `/v1/servers`: shared, but for a secondary's POST, which connects to a primary.
pub fn servers() -> actix_web::Resource {
    web::resource("/servers").route(web::get().to(company::servers))
}

/// Stands where the other server role has something.
///
/// # Errors
/// Always [`Error::WrongServerRole`].
#[expect(clippy::unused_async, reason = "a handler")]
pub async fn wrong_server_role(_who: Principal) -> Result<HttpResponse, Error> {
    Err(Error::WrongServerRole)
}

/// PATCH of a company without anything secret in it.
pub use company::update as update_company;

async fn check(request: HttpRequest) -> Result<HttpResponse, Error> {
    reply::ok(&request, &"Sandpiper API OK")
}

async fn server(request: HttpRequest, node: web::Data<Node>, _who: Principal) -> Result<HttpResponse, Error> {
    reply::ok(&request, &node.server)
}
