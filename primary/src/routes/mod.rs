//! Every route of a primary: the shared ones, and what only a primary has.

mod api_key;
mod sync;

use actix_web::middleware::from_fn;
use actix_web::web;
use shared::node::auth::authenticate;
use shared::node::routes::{self as shared_routes, update_company, wrong_server_role};

/// The tree.
#[rustfmt::skip]
pub fn all(config: &mut web::ServiceConfig) {
    config
        .configure(shared_routes::root)
        .service(api_key_resource().wrap(from_fn(authenticate)))
        .service(web::resource("/sync/{id}").wrap(from_fn(authenticate)).route(web::post().to(wrong_server_role)))
        .service(web::scope("/v1")
            .wrap(from_fn(authenticate))
            .configure(shared_routes::v1)
            .service(shared_routes::company_by_id().route(web::patch().to(update_company)))
            .service(shared_routes::servers().route(web::post().to(wrong_server_role)))
            .service(web::resource("/servers/{id}/rotate").route(web::post().to(wrong_server_role)))
            .service(api_key_resource())
            .service(web::resource("/sync").route(web::get().to(sync::index)))
            .service(web::resource("/sync/subs").route(web::get().to(sync::subscriptions)))
            .service(web::resource("/sync/slice/{id}").route(web::get().to(sync::grains)))
            .service(web::resource("/sync/slices/{id}/feed").route(web::get().to(sync::feed)))
            .service(web::resource("/sync/slices/{id}/grains").route(web::post().to(sync::wanted)))
            .service(web::resource("/sync/{id}").route(web::post().to(wrong_server_role))));
}

/// `/v1/apikey`, and `/apikey` as seed 002 writes it.
fn api_key_resource() -> actix_web::Resource {
    web::resource("/apikey")
        .route(web::post().to(api_key::mint))
        .route(web::get().to(api_key::list))
        .route(web::delete().to(api_key::revoke))
}
