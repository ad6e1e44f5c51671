//! Decisions that only a secondary takes.

pub mod connect;
pub mod hook;
pub mod partner;
pub mod rotate;
pub mod run;
pub mod schedule;
pub mod slice;
