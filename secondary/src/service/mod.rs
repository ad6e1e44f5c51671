//! Decisions that only a secondary takes.

pub mod connect;
pub mod partner;
pub mod rotate;
