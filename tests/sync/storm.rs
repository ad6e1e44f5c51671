//! A publisher who publishes every 50 milliseconds, whoever reads: each sync gets one published version, a newer one each time, and
//! each sync ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rand::RngExt as _;
use serde_json::json;
use shared::wire::Id;
use tests::chaos::{Answer, Chaos};
use tests::fake::Asked;
use tests::ledger::{Ledger, Publisher, Reader};
use tests::seed::{draw_of, say, seed};
use tests::{TestDatabase, TestPrimary, TestSecondary, wait_until};
use tokio::task::JoinHandle;

use super::{forget_source, rounds, without_sync_2};

const PERIOD: Duration = Duration::from_millis(50);
/// Grains of the slice: more than a page has would be several moments to a reader.
const GRAINS: u64 = 120;

/// Publishes until it is told to stop.
struct Press {
    stop: Arc<AtomicBool>,
    /// Versions that are out.
    published: Arc<AtomicU64>,
    task: JoinHandle<Publisher>,
}

impl Press {
    fn start(primary: Arc<TestPrimary>, mut publisher: Publisher) -> Self {
        let (stop, published) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&published));
        let task = tokio::spawn(async move {
            let mut clock = tokio::time::interval(PERIOD);
            clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut turn = 0_u64;
            while !stopped.load(Ordering::SeqCst) {
                clock.tick().await;
                turn += 1;
                // Each version says of every place which one it is, so that a mix of two shows.
                for n in 0..3 {
                    let key = format!("part {}", (turn * 3 + n) % GRAINS);
                    publisher.put(&primary, &key, "raw", &format!("{key} of turn {turn}")).await;
                }
                publisher.set_metadata(&primary, &json!({ "turn": turn.to_string() })).await;
                publisher.publish(&primary).await;
                count.fetch_add(1, Ordering::SeqCst);
            }
            publisher
        });
        Self { stop, published, task }
    }

    fn count(&self) -> u64 {
        self.published.load(Ordering::SeqCst)
    }

    async fn newer_than(&self, count: u64) {
        wait_until("the publisher goes on", async || self.count() > count).await;
    }

    async fn stop(self) -> Publisher {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

/// So slow that a version or two come out during every sync.
fn late(asked: &Asked, mut answer: Answer, turn: u32) -> Answer {
    let mut draw = draw_of(&format!("storm {}", asked.path.rsplit('/').next().unwrap_or_default()), turn);
    answer.wire.delay = Duration::from_millis(draw.random_range(0..30));
    answer
}

struct World {
    primary: Arc<TestPrimary>,
    chaos: Chaos,
    secondary: TestSecondary,
    ledger: Ledger,
    slice: Id,
    press: Press,
    reader: Reader,
}

impl World {
    async fn start(database: TestDatabase, of_primary: TestDatabase, is_go: bool) -> Self {
        let primary = Arc::new(TestPrimary::start_on(of_primary, None).await);
        let secondary = TestSecondary::start_on(database).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let metadata = json!({ "turn": "0" });
        let slice = primary.add_slice("items", "pies-items", &metadata, company).await;
        let chaos = Chaos::start(&primary.url).await;
        if is_go {
            chaos.happen(without_sync_2);
        }
        secondary.connect(&chaos.url, "companyadmin").await;
        let ledger = Ledger::default();
        let press = Press::start(Arc::clone(&primary), Publisher::of(slice, &metadata, &ledger));
        let (store, admin) = (secondary.secondary.node.store.clone(), secondary.admin.clone());
        let reader = Reader::start(store, admin, vec![slice], ledger.clone());
        Self { primary, chaos, secondary, ledger, slice, press, reader }
    }

    async fn sync(&self) -> Result<(), String> {
        let run = self.secondary.sync(self.primary.server_id);
        let ended = tokio::time::timeout(Duration::from_mins(1), run).await.expect("a sync ends");
        ended.and_then(secondary::sync::Report::into_result).map(drop).map_err(|error| error.to_string())
    }

    /// The version of the primary that readers see.
    async fn shown(&self) -> Option<i64> {
        let store = &self.secondary.secondary.node.store;
        self.ledger.assert_published(store, self.slice).await.and_then(|shown| shown.row.source_version)
    }

    /// When the publisher rests both sides come together.
    async fn calm(self) {
        let Self { press, reader, secondary, primary, ledger, slice, .. } = self;
        let publisher = press.stop().await;
        secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
        let store = &secondary.secondary.node.store;
        let shown = ledger.assert_published(store, slice).await.unwrap();
        assert_eq!((shown.digest(), shown.staged), (publisher.published, 0));
        assert!(reader.stop().await > 0, "nobody looked");
    }
}

async fn on_each<F: Future<Output = ()>>(test: &str, story: impl Fn(TestDatabase, TestDatabase) -> F) {
    let (ours, theirs) = (TestDatabase::each(test), TestDatabase::each(test));
    join_all(ours.into_iter().zip(theirs).map(|(ours, theirs)| story(ours, theirs))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_versions_come_out_every_50_ms_each_sync_brings_a_newer_one_and_all_of_it() {
    let syncs = rounds(400);
    say(&format!("{syncs} syncs on each database with SANDPIPER_TEST_SEED={}", seed()));
    on_each("while_versions_come_out", async |ours, theirs| {
        let world = World::start(ours, theirs, false).await;
        let (mut shown, mut during) = (-1, 0);
        for turn in 1..=syncs {
            world.chaos.happen(move |asked, answer| late(asked, answer, turn));
            if turn % 5 == 0 {
                forget_source(&world.secondary.secondary.node.store, world.slice).await;
            }
            let before = world.press.count();
            world.press.newer_than(before).await;
            let before = world.press.count();
            world.sync().await.unwrap();
            during += u32::from(world.press.count() > before);
            let now = world.shown().await.expect("a version of the primary");
            assert!(now > shown, "sync {turn} brought {now} after {shown}");
            shown = now;
        }
        say(&format!("{syncs} syncs, {} versions, in {during} syncs one came out", world.press.count()));
        assert!(during > syncs / 3, "nothing came out during the syncs");
        world.calm().await;
    })
    .await;
}

/// That wire reads a list and its hash at two moments, so a sync may find that they do not fit: then it fails, and nothing is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_versions_come_out_every_50_ms_a_sync_over_the_go_wire_gets_one_of_them_or_an_error() {
    let syncs = rounds(200);
    say(&format!("{syncs} syncs on each database with SANDPIPER_TEST_SEED={}", seed()));
    on_each("while_versions_come_out_on_the_go_wire", async |ours, theirs| {
        let world = World::start(ours, theirs, true).await;
        let (mut good, mut bad) = (0, 0);
        for turn in 1..=syncs {
            world.chaos.happen(move |asked, answer| late(asked, without_sync_2(asked, answer), turn));
            match world.sync().await {
                Ok(()) => good += 1,
                Err(error) => {
                    assert!(error.contains("do not match") || error.contains("404"), "{error}");
                    bad += 1;
                }
            }
            world.shown().await;
        }
        say(&format!("over the Go wire {good} syncs got a version, {bad} none"));
        world.chaos.happen(without_sync_2);
        world.calm().await;
    })
    .await;
}
