//! Real clients of the reference, replayed from recordings: what they send must be understood, what they get must have
//! the recorded shape.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, tells a story in one go, and looks at a server with a stranger's client"
)]

mod difference;
mod go_client;
mod installation;
mod likeness;
mod recorded;
mod recording;
mod replay;
mod shape;
