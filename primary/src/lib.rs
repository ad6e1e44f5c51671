//! The primary: publishes slices of product data to partner companies and mints their api-keys.
//!
//! `routes` decode and encode, `service` decides, [`shared::store`] runs SQL. What a secondary serves too (logins,
//! companies, slices, grains …) lives in [`shared::node`].

pub mod cli;
pub mod routes;
pub mod service;

use actix_web::web;
use shared::node::Node;
use shared::server::serve::{Running, ServeError, ServeOptions};

/// Port of a primary, as the reference's.
pub const DEFAULT_PORT: u16 = 8080;

/// Starts serving `node`; used by `serve`, the demo and tests.
///
/// # Errors
/// [`ServeError`].
pub fn start(node: Node, options: ServeOptions) -> Result<Running, ServeError> {
    shared::server::serve::start(web::Data::new(node), options, routes::register)
}
