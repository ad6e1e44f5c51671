//! Decisions that only a secondary takes.

pub mod partner;
