//! A run that is no longer the newest cannot commit.

use std::sync::Arc;

use secondary::sync::{Outcome, Progress, Report};
use serde_json::json;
use shared::node::Error;
use shared::store;
use shared::wire::Id;
use tests::detour::Detour;
use tests::{Pair, TestDatabase};

use super::{end_lock_sessions, wait_until};

/// A pair with the secondary's way to the primary over a detour.
async fn pair_on(first: TestDatabase, second: TestDatabase) -> (Pair, Detour, [Id; 2]) {
    let pair = Pair::start_on(first, second).await;
    let detour = Detour::start(&pair.primary.url).await;
    let body = json!({
        "url": detour.url, "username": "companyadmin", "password": tests::node::COMPANY_ADMIN_PASSWORD, "moved": true,
    });
    let _moved: serde_json::Value = pair.secondary.admin.post("/v1/servers", &body).await.unwrap();
    let mut slices = Vec::new();
    for name in ["first", "second"] {
        let slice =
            pair.primary.add_slice(name, "pies-items", &json!({ "vcdb": "2026-11-30" }), pair.company).await;
        slices.push(slice);
    }
    let slices = [slices[0], slices[1]];
    publish(&pair, slices, "one").await;
    pair.sync().await;
    (pair, detour, slices)
}

async fn publish(pair: &Pair, slices: [Id; 2], payload: &str) {
    for slice in slices {
        for key in ["a", "b", "c"] {
            pair.primary.add_grain(slice, key, &format!("{payload} {key}")).await;
        }
        pair.primary.refresh(slice).await;
    }
}

type Run = tokio::task::JoinHandle<Result<Report, Error>>;

fn start_run(pair: &Pair) -> Run {
    let (secondary, primary) = (Arc::clone(&pair.secondary.secondary), pair.primary.server_id);
    tokio::spawn(secondary::sync::run(secondary, primary, Progress::silent()))
}

fn assert_overtaken(report: &Report) {
    assert_eq!(report.slices.len(), 2);
    for slice in &report.slices {
        match &slice.outcome {
            Outcome::Failed { error, .. } => assert!(error.contains("already running"), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_a_newer_one_overtook_fails_for_every_slice_and_changes_nothing() {
    for database in TestDatabase::each("a_run_that_a_newer_one_overtook") {
        let (pair, detour, slices) = pair_on(TestDatabase::sqlite(), database).await;
        let before = [pair.grains(slices[0]).await.1, pair.grains(slices[1]).await.1];
        publish(&pair, slices, "two").await;
        let mut gate = detour.catch("/feed");
        let run = start_run(&pair);
        let held = gate.caught().await;
        let (primary, now) = (pair.primary.server_id, pair.primary.node.clock.now());
        let ours = &pair.secondary.secondary.node.store;
        ours.write(move |conn| store::partner::raise_fence(conn, primary, now)).await.unwrap();
        held.let_go();
        gate.open();
        assert_overtaken(&run.await.unwrap().unwrap());
        for (slice, before) in slices.into_iter().zip(before) {
            assert_eq!(pair.grains(slice).await.1, before);
        }
        assert_eq!(pair.sync().await.changed(), 2, "the next run succeeds");
        assert_equal(&pair, slices).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_overtaken_before_it_read_the_subscriptions_takes_none_of_them_over() {
    for database in TestDatabase::each("a_run_that_was_overtaken_before") {
        let (pair, detour, _slices) = pair_on(TestDatabase::sqlite(), database).await;
        let late = pair.primary.add_slice("late", "pies-items", &json!({}), pair.company).await;
        let mut gate = detour.catch("/sync/subs");
        let run = start_run(&pair);
        let held = gate.caught().await;
        let (primary, now) = (pair.primary.server_id, pair.primary.node.clock.now());
        let ours = &pair.secondary.secondary.node.store;
        ours.write(move |conn| store::partner::raise_fence(conn, primary, now)).await.unwrap();
        held.let_go();
        gate.open();
        let ended = run.await.unwrap();
        let taken = ours.read(move |conn| store::slice::find(conn, late)).await.unwrap();
        assert!(taken.is_none(), "{ended:?}");
        assert!(matches!(ended, Err(Error::SyncRunning)), "{ended:?}");
        pair.sync().await;
        let taken = ours.read(move |conn| store::slice::find(conn, late)).await.unwrap();
        assert!(taken.is_some(), "the next run does");
    }
}

async fn assert_equal(pair: &Pair, slices: [Id; 2]) {
    for slice in slices {
        let (ours, theirs) = pair.grains(slice).await;
        assert_eq!(ours, theirs);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_after_the_locks_session_ended_leave_whole_slices() {
    let test = "two_runs_at_once_after_the_locks_session_ended";
    let Some(own) = TestDatabase::postgres_alone(test) else { return };
    let (pair, detour, slices) = pair_on(TestDatabase::sqlite(), own).await;
    let ours = pair.secondary.secondary.node.store.clone();
    for (round, old_first) in [true, false].into_iter().enumerate() {
        publish(&pair, slices, &format!("round {round}, the old run's")).await;
        let mut gate = detour.catch("/feed");
        let old = start_run(&pair);
        // One feed for each slice.
        let olds = [gate.caught().await, gate.caught().await];
        assert!(matches!(pair.secondary.sync(pair.primary.server_id).await, Err(Error::SyncRunning)));
        assert_eq!(end_lock_sessions(&ours).await, 1);
        wait_until("the end of the session", async || end_lock_sessions(&ours).await == 0).await;
        publish(&pair, slices, &format!("round {round}, the new run's")).await;
        let new = start_run(&pair);
        let news = [gate.caught().await, gate.caught().await];
        // Both have staged nothing yet; the one or the other goes on first.
        gate.open();
        let (old, new) = if old_first {
            drop(olds);
            let old = old.await.unwrap();
            drop(news);
            (old, new.await.unwrap())
        } else {
            drop(news);
            let new = new.await.unwrap();
            drop(olds);
            (old.await.unwrap(), new)
        };
        assert_overtaken(&old.unwrap());
        assert_eq!(new.unwrap().into_result().unwrap().changed(), 2);
        assert_equal(&pair, slices).await;
    }
    assert_eq!(pair.sync().await.changed(), 0, "nothing was left to do");
}
