//! Decisions, one file a resource: they know roles and rules, not HTTP and not SQL.

pub mod activity;
pub mod api_key;
mod caller;
pub mod company;
pub mod grain;
pub mod history;
pub mod import;
pub mod key_life;
pub mod keyring;
pub mod login;
pub mod mint;
pub mod password;
pub mod publish;
pub mod receiver;
pub mod recover;
pub mod refresh;
pub mod retention;
mod rollback;
pub mod session;
pub mod setting;
pub mod slice;
pub mod slice_edit;
pub mod subscription;
pub mod tag;
pub mod throttle;
pub mod user;
pub mod version;
