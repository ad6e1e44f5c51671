//! Decisions that only a primary takes.

pub mod feed;
pub mod slice_type;
