//! A runner that stands still in mid-run and wakes up later.

use tests::TestDatabase;
use tokio::sync::mpsc;

use super::process::Told;
use super::trigger::{Chain, pull};
use super::{end_lock_sessions, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_runner_keeps_its_lock_and_ends_its_run_when_it_goes_on() {
    for mut chain in Chain::each("a_stopped_runner_keeps_its_lock").await {
        let primary = chain.primary.server_id;
        let (first, second) = (chain.secondary.serve().await, chain.secondary.serve().await);
        chain.publish().await;
        let mut gate = chain.detour.catch("/feed");
        let (tell, mut answers) = mpsc::unbounded_channel();
        pull(&first.trigger, primary, tell);
        let held = gate.caught().await;
        first.freeze().await;
        held.let_go();
        gate.open();
        assert_eq!(
            second.trigger.pull(primary).await,
            Told::Running,
            "nobody can know that it will not go on"
        );
        assert!(!chain.is_copied().await);
        first.thaw();
        assert_eq!(answers.recv().await, Some(Told::Ran));
        assert!(chain.is_copied().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_runner_whose_lock_was_taken_over_changes_nothing_when_it_goes_on() {
    let Some(database) = TestDatabase::postgres_alone("a_stopped_runner_whose_lock_was_taken") else {
        return;
    };
    let mut chain = Chain::start(Some(database)).await;
    let primary = chain.primary.server_id;
    let (first, second) = (chain.secondary.serve().await, chain.secondary.serve().await);
    chain.publish().await;
    let mut gate = chain.detour.catch("/feed");
    let (tell, mut answers) = mpsc::unbounded_channel();
    pull(&first.trigger, primary, tell);
    let held = gate.caught().await;
    first.freeze().await;
    held.let_go();
    gate.open();
    let store = chain.secondary.store();
    assert_eq!(end_lock_sessions(&store).await, 1);
    wait_until("the end of the session", async || end_lock_sessions(&store).await == 0).await;
    // It waited with the feed of one version; the others go on to the next.
    chain.publish().await;
    assert_eq!(second.trigger.pull(primary).await, Told::Ran);
    assert!(chain.is_copied().await);
    first.thaw();
    match answers.recv().await {
        Some(Told::Other(text)) => assert!(text.contains("already running"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(chain.is_copied().await);
    chain.publish().await;
    assert_eq!(first.trigger.pull(primary).await, Told::Ran, "its next run is a run like any other");
    assert!(chain.is_copied().await);
}
