//! Decisions, one file a resource: they know roles and rules, not HTTP and not SQL.

pub mod activity;
pub mod api_key;
pub mod company;
pub mod grain;
pub mod history;
pub mod login;
pub mod publish;
pub mod receiver;
mod rollback;
pub mod slice;
pub mod subscription;
pub mod user;
pub mod version;
