//! What both servers serve: routes decode and encode, services decide, the store runs SQL.

pub mod auth;
pub mod body;
pub mod body_stream;
pub mod contract;
pub mod error;
pub mod found;
pub mod open;
mod peer;
pub mod permission;
pub mod query;
pub mod reply;
pub mod rings;
pub mod routes;
pub mod service;

use std::sync::Arc;

use tokio::sync::Semaphore;

use self::service::retention::Retention;
use crate::clock::{Clock, Random};
use crate::crypto::mac::MacKey;
use crate::crypto::password::{Passwords, Policy};
use crate::crypto::sealed::SealKey;
use crate::store::api_key::{KeyName, LookedUp};
use crate::store::session::FoundSession;
use crate::store::{Remembered, Store};
use crate::wire::Id;
use crate::wire::network::Network;
use crate::wire::server::{Server, ServerRole};

pub use auth::Principal;
pub use error::Error;
pub use peer::Peer;
pub use rings::Rings;
pub use service::session::Lives;

/// What a node's settings say.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Of people's passwords.
    pub passwords: Policy,
    /// Of people's logins.
    pub sessions: Lives,
    /// Proxies that are believed whom they were asked by.
    pub proxies: Vec<Network>,
    /// Which versions of slices are kept.
    pub retention: Retention,
}

/// A running node: what every route and command needs. No globals.
pub struct Node {
    /// The database.
    pub store: Store,
    /// Where "now" comes from.
    pub clock: Clock,
    /// Where random bytes come from.
    pub random: Random,
    /// Who this node is.
    pub server: Server,
    /// Keys of tokens and api-keys.
    pub rings: Arc<Rings>,
    /// Encrypts what is kept for the retry of a mint, together with the caller's Idempotency-Key.
    pub retries: SealKey,
    /// Hashing of people's passwords.
    pub passwords: Passwords,
    /// Keys that were good a moment ago.
    pub known_keys: Remembered<KeyName, LookedUp>,
    /// Logins of people that were good a moment ago.
    pub known_sessions: Remembered<Id, Option<FoundSession>>,
    /// Logins with a password that may ask the database at a time.
    pub login_turns: Semaphore,
    /// What keys that do not open are looked up as.
    pub decoy: service::login::Decoy,
    /// How long logins of people live.
    pub sessions: Lives,
    /// Hides whose failed logins are counted.
    pub throttle: MacKey,
    /// Proxies that are believed whom they were asked by.
    pub proxies: Vec<Network>,
    /// Which versions of slices are kept.
    pub retention: Retention,
}

impl Node {
    /// The company that owns this node.
    pub fn server_id(&self) -> Id {
        self.server.server_id
    }

    /// Refuses what this node's role does not offer.
    ///
    /// # Errors
    /// [`Error::WrongServerRole`].
    pub fn require_role(&self, role: ServerRole) -> Result<(), Error> {
        if self.server.server_role == role { Ok(()) } else { Err(Error::WrongServerRole) }
    }
}
