//! What crosses the wire: serde types, one file a resource. Members, order and nulls are the reference's (design D1).

pub mod activity;
pub mod api_key;
pub mod auth;
pub mod company;
pub mod connection;
pub mod error;
pub mod grain;
pub mod history;
mod id;
pub mod keyring;
pub mod name;
pub mod network;
pub mod page;
pub mod password;
pub mod patch;
pub mod publication;
pub mod receiver;
pub mod run;
pub mod schedule;
pub mod server;
pub mod session;
pub mod setting;
pub mod slice;
pub mod subscription;
pub mod sync;
pub mod tag;
mod time;
pub mod user;

pub use id::{Id, InvalidId};
pub use time::{Timestamp, never};
