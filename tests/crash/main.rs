//! The real binaries, killed by SIGKILL at any moment and at named ones: what was acknowledged stays, readers see whole
//! versions only, and the next sync heals the rest without a person.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SANDPIPER_TEST_SEED` | a number: draws the same changes and moments again. Every run prints its own |
//! | `SANDPIPER_TEST_THOROUGH` | `1`: as many rounds as the test says. Else a twentieth |
//! | `SANDPIPER_TEST_KILLS` | so many rounds in each loop, instead; CI takes 100 |
//! | `SANDPIPER_TEST_WALKS` | so many walks past all named points, instead of one |
//! | `SANDPIPER_TEST_ROUND` | this round only, over and over: moments depend on the machine, so one try may miss |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, tells a story in one go, and looks at a server with a stranger's client"
)]

mod content;
mod failpoints;
mod init;
mod lost_reply;
mod migration;
mod observe;
mod pair;
mod program;
mod publisher;
mod reader;
mod rotate_kills;
mod seed;
mod session;
mod sync_kills;

use pair::Kind;
