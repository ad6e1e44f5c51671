//! What crosses the wire.
mod id;
mod time;
pub use id::{Id, InvalidId};
pub use time::{Timestamp, never};
