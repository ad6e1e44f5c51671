//! What tests and the demo start: databases, servers on free ports, sample data.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set itself up should say where and stop"
)]

pub mod beside;
pub mod binaries;
pub mod database;
pub mod detour;
pub mod fake;
pub mod liar;
pub mod node;
pub mod postgres;
pub mod sample;

pub use database::TestDatabase;
pub use node::{ADMIN, Pair, TestPrimary, TestSecondary};
