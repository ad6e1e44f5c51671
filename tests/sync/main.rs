//! Syncs between running servers, on every pair of databases that can be had.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SANDPIPER_TEST_SEED` | a number: draws the same weather, damages and delays again. Every run prints its own |
//! | `SANDPIPER_TEST_THOROUGH` | `1`: as many rounds as a test says. Else a twentieth |
//! | `SANDPIPER_TEST_CHAOS` | so many rounds, or syncs, in bad weather, with eight primaries, and while somebody publishes |
//! | `SANDPIPER_TEST_CORRUPTIONS` | so many damaged answers on each database |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, tells a story in one go, and looks at a server with a stranger's client"
)]

mod chaos;
mod corrupt;
mod corrupt_go;
mod exact;
mod fault;
mod go_primary;
mod history;
mod hook;
mod isolation;
mod many;
mod outage;
mod publish;
mod receivers;
mod resume;
mod retention;
mod runs;
mod schedule;
mod storm;

use secondary::sync::{Change, Outcome, Report};
use shared::store::{self, Store};
use shared::wire::Id;
use tests::chaos::Answer;
use tests::fake::Asked;
use tests::{Pair, TestDatabase};

/// A pair on SQLite, and one on PostgreSQL where there is one.
async fn pairs(test: &str) -> Vec<Pair> {
    let mut pairs = vec![Pair::start().await];
    if let (Some(first), Some(second)) = (TestDatabase::postgres(test), TestDatabase::postgres(test)) {
        pairs.push(Pair::start_on(first, second).await);
    }
    pairs
}

/// What travelled for the only slice of a run.
fn change(report: &Report) -> Change {
    match report.slices.as_slice() {
        [only] => match &only.outcome {
            Outcome::Changed(change) => *change,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn is_unchanged(report: &Report) -> bool {
    report.slices.iter().all(|slice| matches!(slice.outcome, Outcome::Unchanged))
}

/// What was read from a server of ours looks as if a server of the reference had sent it.
fn without_sync_2(asked: &Asked, mut answer: Answer) -> Answer {
    if asked.path == "/server" {
        answer.body = String::from_utf8(answer.body).unwrap().replace("sync-2", "sync-0").into_bytes();
    }
    answer
}

/// As after a restore: nobody at the primary knows the version that is here, so ids are compared.
async fn forget_source(store: &Store, slice: Id) {
    let stray = (shared::clock::Random::System.id(), 77);
    let write = move |conn: &mut store::Connection| -> Result<(), store::StoreError> {
        let Some(row) = store::slice::find(conn, slice)? else { return Ok(()) };
        store::version::set_source(conn, slice, row.current_version, stray, None)
    };
    store.write(write).await.unwrap();
}

/// How many rounds, or syncs, of one test: as `SANDPIPER_TEST_CHAOS` says, or so many with `SANDPIPER_TEST_THOROUGH=1`.
fn rounds(thorough: u32) -> u32 {
    tests::seed::number("SANDPIPER_TEST_CHAOS").unwrap_or_else(|| tests::times(thorough))
}
