//! Decisions that only a primary takes.

pub mod feed;
