//! Credentials and hashes: pure functions over bytes, no I/O, no database, no web.

pub mod api_key;
pub mod content_digest;
pub mod content_hash;
pub mod keyring;
pub mod mac;
pub mod password;
pub mod refresh;
pub mod retry;
pub mod root_key;
pub mod scannable_key;
pub mod sealed;
mod secret;
pub mod set_hash;
pub mod signature;
pub mod token;

pub use secret::Secret;
pub(crate) use secret::read_line;
