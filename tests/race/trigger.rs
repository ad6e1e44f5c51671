//! Many triggers of one primary, from several processes of one secondary.

use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::json;
use shared::wire::Id;
use tests::detour::Detour;
use tests::node::published_grains;
use tests::{TestDatabase, TestPrimary};
use tokio::sync::mpsc;

use super::process::{Installed, Told, Trigger, build, told};

/// So many of each kind: 32 in all.
const FROM_EACH_SERVER: usize = 12;
const FROM_THE_COMMAND_LINE: usize = 8;
const DEADLINE: Duration = Duration::from_mins(1);

/// A primary with one slice, the way to it, and a real secondary that is connected.
pub struct Chain {
    pub primary: TestPrimary,
    pub detour: Detour,
    pub secondary: Installed,
    pub slice: Id,
    round: u32,
}

impl Chain {
    /// With the secondary on SQLite, or on `database`.
    pub async fn start(database: Option<TestDatabase>) -> Self {
        build().await;
        let primary = TestPrimary::start().await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let slice = primary.add_slice("items", "pies-items", &json!({}), company).await;
        let detour = Detour::start(&primary.url).await;
        // Commands are processes to wait for: not where the proxy runs.
        let url = detour.url.clone();
        let secondary = tokio::task::spawn_blocking(move || {
            let secondary = Installed::new(database);
            secondary.connect(&url);
            secondary
        });
        let secondary = secondary.await.unwrap();
        Self { primary, detour, secondary, slice, round: 0 }
    }

    /// One for each kind of database that can be had.
    pub async fn each(test: &str) -> Vec<Self> {
        let mut chains = vec![Self::start(None).await];
        if let Some(database) = TestDatabase::postgres_alone(test) {
            chains.push(Self::start(Some(database)).await);
        }
        chains
    }

    /// Publishes something new, so that the next run fetches a feed.
    pub async fn publish(&mut self) {
        self.round += 1;
        for key in ["a", "b"] {
            self.primary.add_grain(self.slice, key, &format!("{key} {}", self.round)).await;
        }
        self.primary.refresh(self.slice).await;
    }

    /// Whether the secondary has what the primary published.
    pub async fn is_copied(&self) -> bool {
        let theirs = published_grains(&self.secondary.store(), self.slice).await;
        theirs == published_grains(&self.primary.node.store, self.slice).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_32_parallel_triggers_from_servers_and_commands_one_runs_and_the_others_are_told() {
    for mut chain in Chain::each("of_32_parallel_triggers").await {
        let primary = chain.primary.server_id;
        let servers = [chain.secondary.serve().await, chain.secondary.serve().await];
        chain.publish().await;
        let mut gate = chain.detour.catch("/feed");
        let (tell, mut answers) = mpsc::unbounded_channel();
        for n in 0..FROM_EACH_SERVER {
            for server in &servers {
                pull(&server.trigger, primary, tell.clone());
            }
            if n < FROM_THE_COMMAND_LINE {
                wait_for(chain.secondary.start_sync(), tell.clone());
            }
        }
        let total = 2 * FROM_EACH_SERVER + FROM_THE_COMMAND_LINE;
        for n in 1..total {
            let answer = tokio::time::timeout(DEADLINE, answers.recv()).await;
            assert_eq!(answer.expect("all but one are answered"), Some(Told::Running), "the {n}th");
        }
        let runs = gate.caught().await;
        assert!(answers.is_empty() && gate.is_empty(), "one is still at it, and only one");
        assert!(!chain.is_copied().await);
        runs.let_go();
        gate.open();
        let last = tokio::time::timeout(DEADLINE, answers.recv()).await;
        assert_eq!(last.expect("the last one"), Some(Told::Ran));
        assert!(chain.is_copied().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_of_the_runner_the_next_trigger_from_another_process_runs_at_once() {
    for mut chain in Chain::each("after_kill_9_of_the_runner").await {
        let primary = chain.primary.server_id;
        let (first, second) = (chain.secondary.serve().await, chain.secondary.serve().await);

        // A server runs and is killed; a command is next.
        chain.publish().await;
        let mut gate = chain.detour.catch("/feed");
        let (tell, mut answers) = mpsc::unbounded_channel();
        pull(&first.trigger, primary, tell.clone());
        let held = gate.caught().await;
        assert_eq!(second.trigger.pull(primary).await, Told::Running);
        first.kill();
        drop(held);
        gate.open();
        let broken = answers.recv().await;
        assert!(matches!(broken, Some(Told::Other(_))), "{broken:?}");
        runs_at_once(async || by_command(&chain).await).await;
        assert!(chain.is_copied().await);

        // A command runs and is killed; a server is next.
        chain.publish().await;
        let mut gate = chain.detour.catch("/feed");
        let mut runner = chain.secondary.start_sync();
        let held = gate.caught().await;
        assert_eq!(second.trigger.pull(primary).await, Told::Running);
        runner.kill().unwrap();
        runner.wait().unwrap();
        drop(held);
        gate.open();
        runs_at_once(async || second.trigger.pull(primary).await).await;
        assert!(chain.is_copied().await);
    }
}

/// Pulls until a run gets through. SQLite's lock is gone with the process; PostgreSQL's goes when its server has seen
/// that the connection is, which nobody can wait for from outside.
async fn runs_at_once(trigger: impl AsyncFn() -> Told) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match trigger().await {
            Told::Running => assert!(Instant::now() < deadline, "the dead run's lock stays"),
            other => return assert_eq!(other, Told::Ran),
        }
    }
}

async fn by_command(chain: &Chain) -> Told {
    let child = chain.secondary.start_sync();
    tokio::task::spawn_blocking(move || told(child)).await.unwrap()
}

/// Tells what a trigger over HTTP was answered.
pub fn pull(trigger: &Trigger, primary: Id, tell: mpsc::UnboundedSender<Told>) {
    let trigger = trigger.clone();
    tokio::spawn(async move { tell.send(trigger.pull(primary).await) });
}

fn wait_for(child: Child, tell: mpsc::UnboundedSender<Told>) {
    tokio::task::spawn_blocking(move || tell.send(told(child)));
}
