//! Real clients of the reference, replayed from recordings: what they send must be understood, what they get must have
//! the recorded shape.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod replay;
