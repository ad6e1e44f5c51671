//! Two primaries synced at the same time.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};
use shared::clock::Random;
use shared::store;
use shared::wire::Id;
use tests::detour::Detour;
use tests::node::published_grains;
use tests::{TestDatabase, TestPrimary, TestSecondary};

const ROUNDS: u32 = 500;
const KEYS: u64 = 6;
/// Every this many rounds a grain goes.
const GONE_EVERY: u64 = 7;

/// A primary with two slices, and the way to it.
struct Publisher {
    name: &'static str,
    primary: TestPrimary,
    detour: Detour,
    company: Id,
    slices: [Id; 2],
    /// The grain of each slice and key.
    ids: Mutex<HashMap<(Id, String), Id>>,
}

impl Publisher {
    async fn start(name: &'static str, database: TestDatabase, seed: u64) -> Self {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let detour = Detour::delaying(&primary.url, seed, Duration::from_millis(20)).await;
        let mut slices = Vec::new();
        for slice in ["brakes", "filters"] {
            slices.push(primary.add_slice(slice, "pies-items", &json!({ "owner": name }), company).await);
        }
        Self { name, primary, detour, company, slices: [slices[0], slices[1]], ids: Mutex::default() }
    }

    /// Publishes what `round` brings: the other primary gets a grain of the same id and key, with another payload.
    async fn change(&self, round: u64, id: Id) {
        let slice = self.slices[usize::from(round % 2 == 1)];
        let key = format!("item-{}", round / 2 % KEYS);
        let admin = &self.primary.admin;
        let newest = (slice, key.clone());
        let old = self.ids.lock().unwrap().insert(newest.clone(), id);
        if let Some(old) = old.filter(|_old| round.is_multiple_of(GONE_EVERY)) {
            admin.call(Method::DELETE, &format!("/v1/grains/{old}")).await.unwrap();
            self.ids.lock().unwrap().remove(&newest);
        } else {
            let body = json!({
                "id": id, "slice_id": slice, "grain_key": key, "source": "test", "encoding": "raw",
                "payload": format!("{} {round}", self.name),
            });
            let _grain: Value = admin.post("/v1/grains?replace=yes", &body).await.unwrap();
        }
        self.primary.refresh(slice).await;
    }

    /// One more slice.
    async fn offer(&self, name: &str) -> Id {
        self.primary.add_slice(name, "pies-items", &json!({}), self.company).await
    }

    /// A run in which nothing fails.
    async fn take_over(&self, secondary: &TestSecondary) {
        let report = secondary.sync(self.primary.server_id).await.unwrap();
        assert!(report.failures().is_empty(), "{}: {:?}", self.name, report.failures());
    }

    /// One run in which one slice changes; afterwards the copies are what this primary has.
    async fn sync(&self, secondary: &TestSecondary, round: u64) {
        let report = secondary.sync(self.primary.server_id).await.unwrap().into_result().unwrap();
        assert_eq!(
            (report.slices.len(), report.changed()),
            (2, 1),
            "{} round {round}: {report:?}",
            self.name
        );
    }

    async fn assert_copied(&self, secondary: &TestSecondary, round: u64) {
        for slice in self.slices {
            let ours = published_grains(&self.primary.node.store, slice).await;
            let theirs = published_grains(&secondary.secondary.node.store, slice).await;
            assert_eq!(ours, theirs, "{} round {round}", self.name);
            let own = |grain: &Value| grain["payload"].as_str().unwrap().starts_with(self.name);
            assert!(theirs.iter().all(own), "{} round {round}: {theirs:?}", self.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_primaries_synced_at_once_never_get_a_row_of_the_other() {
    let test = "two_primaries_synced_at_once";
    let trios =
        TestDatabase::each(test).into_iter().zip(TestDatabase::each(test)).zip(TestDatabase::each(test));
    join_all(trios.map(|((first, second), third)| async move {
        let publishers = [
            Publisher::start("Better Brakes", first, 1).await,
            Publisher::start("Other Brakes", second, 2_000_000).await,
        ];
        let secondary = TestSecondary::start_on(third).await;
        for publisher in &publishers {
            secondary.connect(&publisher.detour.url, "companyadmin").await;
        }
        let [one, other] = &publishers;
        // Both slices once, so that from here on each round changes one of the two.
        for round in 0..2 {
            let id = Random::System.id();
            join(one.change(round, id), other.change(round, id)).await;
        }
        for publisher in &publishers {
            publisher.take_over(&secondary).await;
        }
        for round in 2..u64::from(tests::times(ROUNDS)) + 2 {
            let id = Random::System.id();
            join(one.change(round, id), other.change(round, id)).await;
            join(one.sync(&secondary, round), other.sync(&secondary, round)).await;
            join(one.assert_copied(&secondary, round), other.assert_copied(&secondary, round)).await;
        }
        let grains = published_grains(&secondary.secondary.node.store, one.slices[0]).await;
        assert!(!grains.is_empty(), "there was something to mix up");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_of_equal_names_from_two_primaries_are_taken_over_at_the_same_time() {
    for database in TestDatabase::each("slices_of_equal_names") {
        let one = Publisher::start("Better Brakes", TestDatabase::sqlite(), 3).await;
        let other = Publisher::start("Other Brakes", TestDatabase::sqlite(), 4_000_000).await;
        let secondary = TestSecondary::start_on(database).await;
        for publisher in [&one, &other] {
            secondary.connect(&publisher.detour.url, "companyadmin").await;
        }
        for round in 0..8 {
            let name = format!("slice {round}");
            let added = join(one.offer(&name), other.offer(&name)).await;
            let mut gates = [one.detour.catch("/sync/subs"), other.detour.catch("/sync/subs")];
            let runs = join(one.take_over(&secondary), other.take_over(&secondary));
            let both_at_once = async {
                let [first, second] = &mut gates;
                drop(join(first.caught(), second.caught()).await);
            };
            join(runs, both_at_once).await;
            let [first, second] =
                [added.0, added.1].map(|id| {
                    let store = &secondary.secondary.node.store;
                    async move {
                        store.read(move |conn| store::slice::find(conn, id)).await.unwrap().unwrap().name
                    }
                });
            let (first, second) = join(first, second).await;
            let renamed = format!("{name} ({})", if first == name { added.1 } else { added.0 });
            assert!(
                first == name && second == renamed || second == name && first == renamed,
                "{first}, {second}"
            );
        }
    }
}
