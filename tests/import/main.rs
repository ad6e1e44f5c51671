//! Taking over an installation of the reference: two complete databases that its own servers wrote, imported by the real
//! binaries into both kinds of database.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, tells a story in one go, and looks at a server with a stranger's client"
)]

mod cut_off;
mod dump;
mod hostile;
mod pair;
mod program;
mod refused;
mod source;
mod whole;
