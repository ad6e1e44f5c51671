//! What crosses the wire: serde types, one file a resource. Members, order and nulls are the reference's (design D1).

pub mod activity;
pub mod api_key;
pub mod auth;
pub mod company;
pub mod error;
pub mod grain;
pub mod history;
mod id;
pub mod page;
pub mod receiver;
pub mod server;
pub mod slice;
pub mod subscription;
pub mod sync;
mod time;
pub mod user;

pub use id::{Id, InvalidId};
pub use time::{Timestamp, never};
