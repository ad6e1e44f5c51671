//! Whatever the network does, a sync ends with one published version or an error, readers never see a mix, and when the network
//! heals the next sync brings both sides together.

use std::time::Duration;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use shared::store;
use shared::wire::Id;
use tests::chaos::Chaos;
use tests::ledger::{Ledger, Publisher, Reader};
use tests::seed::{Draw, draw_of, say, seed};
use tests::weather::{Climate, Weather};
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::{forget_source, rounds, without_sync_2};

const MIB: usize = 1024 * 1024;
/// No sync takes longer than this, whatever it meets.
const DEADLINE: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, PartialEq)]
enum Wire {
    Sync2,
    /// Its payloads have no digest, so nobody can tell that one was changed: they are late, cut off, mixed up or from yesterday, but
    /// they do not lie. And its hash may be one over ids only, so a slice must have metadata for old ones to be told.
    Go,
}

/// A pair with bad weather between the two.
struct World {
    wire: Wire,
    primary: TestPrimary,
    chaos: Chaos,
    secondary: TestSecondary,
    ledger: Ledger,
    publishers: Vec<Publisher>,
}

/// Small and large ones, packed ones, and one that travels in pieces.
fn draw_payload(draw: &mut Draw, is_long: bool) -> (&'static str, String) {
    let word = format!("<{:016x}>ü", draw.random::<u64>());
    let text = |length: usize| word.chars().cycle().take(length).collect::<String>();
    if is_long {
        return ("raw", text(2 * MIB + draw.random_range(0..1000)));
    }
    match draw.random_range(0..10) {
        0 => ("raw", text(70_000)),
        1 | 2 => ("z64", shared::payload::Encoding::Z64.encode(text(9_000).as_bytes()).unwrap()),
        _ => ("raw", text(draw.random_range(1..400))),
    }
}

impl World {
    async fn start(wire: Wire, first: TestDatabase, second: TestDatabase) -> Self {
        let primary = TestPrimary::start_on(first, None).await;
        let secondary = TestSecondary::start_on(second).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let chaos = Chaos::start(&primary.url).await;
        let ledger = Ledger::default();
        let mut publishers = Vec::new();
        for name in ["items", "files"] {
            let metadata = json!({ "vcdb": "0", "name": name });
            let slice = primary.add_slice(name, "pies-items", &metadata, company).await;
            publishers.push(Publisher::of(slice, &metadata, &ledger));
        }
        let world = Self { wire, primary, chaos, secondary, ledger, publishers };
        world.heal();
        world.secondary.connect(&world.chaos.url, "companyadmin").await;
        world
    }

    async fn each(wire: Wire, test: &str) -> Vec<Self> {
        let mut all = vec![Self::start(wire, TestDatabase::sqlite(), TestDatabase::sqlite()).await];
        if let (Some(first), Some(second)) = (TestDatabase::postgres(test), TestDatabase::postgres(test)) {
            all.push(Self::start(wire, first, second).await);
        }
        all
    }

    fn heal(&self) {
        match self.wire {
            Wire::Sync2 => self.chaos.heal(),
            Wire::Go => self.chaos.happen(without_sync_2),
        }
    }

    fn storm(&self, weather: &Weather) {
        let (weather, wire) = (weather.clone(), self.wire);
        self.chaos.happen(move |asked, answer| {
            let answer = if wire == Wire::Go { without_sync_2(asked, answer) } else { answer };
            weather.meet(asked, answer)
        });
    }

    fn slices(&self) -> Vec<Id> {
        self.publishers.iter().map(|publisher| publisher.slice).collect()
    }

    fn store(&self) -> &store::Store {
        &self.secondary.secondary.node.store
    }

    /// Changes one of the slices, and publishes it.
    async fn publish(&mut self, draw: &mut Draw) {
        let which = draw.random_range(0..self.publishers.len());
        let publisher = &mut self.publishers[which];
        for _ in 0..draw.random_range(1..6) {
            let keys = publisher.keys();
            match (draw.random_range(0..4), keys.choose(draw)) {
                (0, Some(key)) => publisher.remove(&self.primary, key).await,
                (1, Some(key)) => {
                    let (encoding, payload) = draw_payload(draw, key == "long");
                    publisher.put(&self.primary, key, encoding, &payload).await;
                }
                _ => {
                    let is_long = which == 1 && draw.random_ratio(1, 3);
                    let key = if is_long { "long".to_owned() } else { format!("{:x}", draw.random::<u32>()) };
                    let (encoding, payload) = draw_payload(draw, is_long);
                    publisher.put(&self.primary, &key, encoding, &payload).await;
                }
            }
        }
        let metadata = json!({ "vcdb": draw.random::<u32>().to_string(), "name": which.to_string() });
        publisher.set_metadata(&self.primary, &metadata).await;
        publisher.publish(&self.primary).await;
    }

    async fn sync(&self) -> Result<(), String> {
        let run = self.secondary.sync(self.primary.server_id);
        let ended = tokio::time::timeout(DEADLINE, run).await.expect("a sync ends");
        ended.and_then(secondary::sync::Report::into_result).map(drop).map_err(|error| error.to_string())
    }

    async fn round(&mut self, test: &str, turn: u32, draw: &mut Draw) -> (usize, usize) {
        for _ in 0..draw.random_range(1..3) {
            self.publish(draw).await;
        }
        if self.wire == Wire::Sync2 && draw.random_ratio(1, 4) {
            for slice in self.slices() {
                forget_source(self.store(), slice).await;
            }
        }
        let places: [&[&str]; 4] = [&[], &["/feed", "/brief", "/subs"], &["/grains", "/payload"], &["/feed"]];
        let chance = [20, 50, 90][draw.random_range(0..3)];
        let only = places[draw.random_range(0..places.len())].to_vec();
        let climate = Climate { chance, may_lie: self.wire == Wire::Sync2, only };
        let weather = Weather::of(test, turn, climate);
        let told = Told { test, turn, weather: weather.clone() };
        self.storm(&weather);
        let (mut good, mut bad) = (0, 0);
        for _ in 0..draw.random_range(1..4) {
            match self.sync().await {
                Ok(()) => good += 1,
                Err(error) => {
                    assert!(!error.is_empty());
                    bad += 1;
                }
            }
            for slice in self.slices() {
                self.ledger.assert_published(self.store(), slice).await;
            }
        }
        self.heal();
        self.sync().await.expect("the network has healed");
        for publisher in &self.publishers {
            let shown = self.ledger.assert_published(self.store(), publisher.slice).await.unwrap();
            if !publisher.published.is_empty() {
                assert_eq!(shown.digest(), publisher.published, "both sides show the same");
                assert_eq!((shown.staged, shown.slice.sync_status.as_str()), (0, "success"));
            }
        }
        drop(told);
        (good, bad)
    }
}

/// Says what happened, and how to have it again, when a round fails.
struct Told<'a> {
    test: &'a str,
    turn: u32,
    weather: Weather,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { test, turn, weather } = self;
            say(&format!(
                "{test} failed in round {turn}; again: SANDPIPER_TEST_SEED={} SANDPIPER_TEST_CHAOS={turn} cargo test -p tests \
                 --test sync -- {test}\n{}",
                seed(),
                weather.told().join("\n")
            ));
        }
    }
}

async fn storms(wire: Wire, test: &'static str) {
    let rounds = rounds(80);
    say(&format!("{test}: {rounds} rounds on each database with SANDPIPER_TEST_SEED={}", seed()));
    for mut world in World::each(wire, test).await {
        let (store, admin) = (world.store().clone(), world.secondary.admin.clone());
        let reader = Reader::start(store, admin, world.slices(), world.ledger.clone());
        let (mut good, mut bad) = (0, 0);
        for turn in 1..=rounds {
            let mut draw = draw_of(test, turn);
            let (more_good, more_bad) = world.round(test, turn, &mut draw).await;
            (good, bad) = (good + more_good, bad + more_bad);
        }
        let looks = reader.stop().await;
        say(&format!("{test}: {good} syncs got through, {bad} failed, {looks} looks of a reader"));
        assert!(looks > 0, "nobody looked");
        assert!(rounds < 5 || bad > 0, "the weather was too good");
        // Its own log says so: all primaries were told what arrived.
        let log: Value = world.secondary.admin.get("/v1/activity").await.unwrap();
        assert_eq!(log["data"][0]["success"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_network_does_readers_see_published_versions_only_and_both_sides_come_together() {
    storms(Wire::Sync2, "whatever_the_network_does").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_on_the_go_wire_readers_see_published_versions_only_and_both_sides_come_together() {
    storms(Wire::Go, "whatever_breaks_on_the_go_wire").await;
}

/// It is well-formed, and only the whole of its payload can tell that it is wrong.
#[tokio::test]
async fn what_was_damaged_before_a_run_was_cut_off_does_not_cost_the_next_run() {
    for mut world in World::each(Wire::Sync2, "what_was_damaged_before").await {
        let (_encoding, payload) = draw_payload(&mut draw_of("what_was_damaged_before", 0), true);
        world.publishers[1].put(&world.primary, "long", "raw", &payload).await;
        world.publishers[1].publish(&world.primary).await;
        world.chaos.happen(|asked, mut answer| {
            match asked.uri.split("offset=").nth(1) {
                Some("0") => answer.body[1_000] ^= 1,
                Some("1048576") => answer.status = actix_web::http::StatusCode::SERVICE_UNAVAILABLE,
                _ => {}
            }
            answer
        });
        let error = world.sync().await.unwrap_err();
        assert!(error.contains("503"), "{error}");
        world.heal();
        world.sync().await.unwrap();
        let shown = world.ledger.assert_published(world.store(), world.slices()[1]).await.unwrap();
        assert_eq!(shown.digest(), world.publishers[1].published);
    }
}
