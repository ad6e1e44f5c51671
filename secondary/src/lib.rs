//! The secondary: keeps exact copies of the slices that its company subscribes to.
//!
//! `routes` decode and encode, `service` keeps the credentials of primaries, [`sync`] pulls. What a primary serves too
//! (logins, companies, slices, grains …) lives in [`shared::node`].

pub mod cli;
pub mod routes;
pub mod service;
pub mod sync;

use std::sync::Arc;

use actix_web::web;
use shared::client::{ClientError, Http};
use shared::crypto::root_key::{PARTNER_KEYS, RootKey};
use shared::crypto::sealed::SealKey;
use shared::node::Node;
use shared::server::config::ConfigFile;
use shared::server::serve::{Running, ServeError, ServeOptions};

/// Port of a secondary, as the reference's.
pub const DEFAULT_PORT: u16 = 8081;

/// A secondary: a node, and what encrypts the keys it keeps for primaries.
pub struct Secondary {
    /// What both servers have.
    pub node: Arc<Node>,
    /// Encrypts stored api-keys; derived from the root key.
    pub vault: SealKey,
    /// Connections to primaries.
    pub http: Http,
    /// What the operator wants.
    pub settings: Settings,
}

/// Settings that only a secondary has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Talk plain HTTP to primaries on other machines.
    pub allow_http: bool,
    /// Replace an api-key that is older, at the next sync.
    pub rotate_every: Option<chrono::Duration>,
}

impl From<&ConfigFile> for Settings {
    fn from(config: &ConfigFile) -> Self {
        let days = config.rotate_every_days;
        Self {
            allow_http: config.allow_http_primaries,
            rotate_every: days.map(|days| chrono::Duration::days(i64::from(days))),
        }
    }
}

impl Secondary {
    /// From an opened node.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(node: Node, root_key: &RootKey, settings: Settings) -> Result<Self, ClientError> {
        let vault = root_key.derive(PARTNER_KEYS);
        Ok(Self { node: Arc::new(node), vault, http: Http::new()?, settings })
    }
}

/// Starts serving; used by `serve`, the demo and tests.
///
/// # Errors
/// [`ServeError`].
pub fn start(secondary: Arc<Secondary>, options: ServeOptions) -> Result<Running, ServeError> {
    let node = web::Data::from(Arc::clone(&secondary.node));
    let own = web::Data::from(secondary);
    shared::server::serve::start(node, options, move |config| {
        config.app_data(own.clone());
        routes::register(config);
    })
}
