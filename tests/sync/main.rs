//! Syncs between running servers, on every pair of databases that can be had.

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
mod exact;
mod fault;
mod go_primary;
mod history;
mod hook;
mod isolation;
mod outage;
mod publish;
mod receivers;
mod resume;
mod retention;
mod runs;
mod schedule;

use secondary::sync::{Change, Outcome, Report};
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
