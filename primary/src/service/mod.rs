//! Decisions that only a primary takes.

pub mod feed;
pub mod go_wire;
mod mark;
pub mod offer;
pub mod piece;
mod reader;
pub mod slice_type;
mod stream;
