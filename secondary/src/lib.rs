//! The secondary: keeps exact copies of the slices that its company subscribes to.
//!
//! `routes` decode and encode, `service` keeps the credentials of primaries and decides, [`sync`] pulls, [`schedule`] says when. What a primary serves too
//! (logins, companies, slices, grains …) lives in [`shared::node`].

pub mod cli;
pub mod routes;
pub mod schedule;
pub mod service;
pub mod sync;

use std::sync::Arc;

use actix_web::web;
use shared::client::{ClientError, Http};
use shared::crypto::root_key::{PARTNER_KEYS, RootKey};
use shared::crypto::sealed::SealKey;
use shared::node::Node;
use shared::server::config::ConfigFile;
use shared::server::data_dir::Misconfigured;
use shared::server::serve::{Running, ServeError, ServeOptions};

use service::hook::Hook;

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
#[derive(Clone, Debug)]
pub struct Settings {
    /// Talk plain HTTP to primaries on other machines.
    pub allow_http: bool,
    /// Replace an api-key that is older, at the next sync.
    pub rotate_every: Option<chrono::Duration>,
    /// Primaries that schedules sync at the same time.
    pub sync_jobs: usize,
    /// Who is told of a sync that changed something.
    pub hook: Hook,
}

/// Primaries that schedules sync at the same time if the settings do not say.
const SYNC_JOBS: usize = 4;

impl Default for Settings {
    fn default() -> Self {
        Self { allow_http: false, rotate_every: None, sync_jobs: SYNC_JOBS, hook: Hook::default() }
    }
}

impl Settings {
    /// As the settings file and the environment say.
    ///
    /// # Errors
    /// [`Misconfigured`] naming the setting.
    pub fn of(config: &ConfigFile) -> Result<Self, Misconfigured> {
        let days = config.rotate_every_days;
        Ok(Self {
            allow_http: config.allow_http_primaries,
            rotate_every: days.map(|days| chrono::Duration::days(i64::from(days))),
            sync_jobs: config.sync_jobs.and_then(|jobs| usize::try_from(jobs).ok()).unwrap_or(SYNC_JOBS),
            hook: Hook::of(config)?,
        })
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
