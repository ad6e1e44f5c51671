//! What any of our HTTP servers needs around its routes.

pub mod config;
pub mod core_dump;
pub mod data_dir;
mod linger;
pub mod request;
pub mod serve;
pub mod telemetry;
pub mod tls;
