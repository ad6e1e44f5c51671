//! Eight primaries at the same time: every row comes from the one that it belongs to.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::join_all;
use rand::RngExt as _;
use serde_json::{Value, json};
use shared::store;
use shared::wire::Id;
use tests::chaos::Chaos;
use tests::ledger::{Ledger, Publisher, Shown};
use tests::seed::{draw_of, say, seed};
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::rounds;

const PRIMARIES: usize = 8;

/// A primary with one slice, the slow way to it, and who publishes there.
struct Site {
    number: usize,
    name: String,
    primary: TestPrimary,
    company: Id,
    chaos: Chaos,
    publisher: Publisher,
}

impl Site {
    async fn start(number: usize, ledger: &Ledger) -> Self {
        let id = shared::clock::Random::System.id();
        let name = format!("Primary {number}");
        let primary = TestPrimary::start_as(TestDatabase::sqlite(), id, &name).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let metadata = json!({});
        // The same name everywhere.
        let slice = primary.add_slice("items", "pies-items", &metadata, company).await;
        let chaos = Chaos::start(&primary.url).await;
        let publisher = Publisher::of(slice, &metadata, ledger);
        Self { number, name, primary, company, chaos, publisher }
    }

    fn stamp(&self, round: u32) -> String {
        format!("of {} in round {round}.", self.name)
    }

    /// The same keys everywhere, and one that is nobody else's.
    async fn publish(&mut self, round: u32) {
        let stamp = self.stamp(round);
        for key in ["a", &format!("own {}", self.number)] {
            self.publisher.put(&self.primary, key, "raw", &stamp).await;
        }
        self.publisher.set_metadata(&self.primary, &json!({ "owner": self.name, "stamp": stamp })).await;
        self.publisher.publish(&self.primary).await;
    }

    /// Answers come in another order each time.
    fn delay(&self, round: u32) {
        let number = self.number;
        self.chaos.happen(move |asked, mut answer| {
            let mut draw = draw_of(&format!("many {number} {}", asked.path), round);
            answer.wire.delay = Duration::from_micros(draw.random_range(0..4_000));
            answer
        });
    }

    async fn check(&self, secondary: &TestSecondary, round: u32) {
        let store = &secondary.secondary.node.store;
        let shown = Shown::of(store, self.publisher.slice).await.expect("the slice");
        shown.assert_sound();
        assert_eq!(shown.slice.primary_id, Some(self.primary.server_id), "whose slice");
        assert_eq!(shown.digest(), self.publisher.published, "{} in round {round}", self.name);
        let stamp = self.stamp(round);
        assert!(shown.grains.len() == 2 && shown.grains.iter().all(|grain| grain["payload"] == stamp));
        assert!(shown.metadata.contains(&("stamp".to_owned(), stamp)));
        let (slice, company) = (self.publisher.slice, self.primary.server_id);
        let sub = store.read(move |conn| store::subscription::find_pair(conn, slice, company)).await.unwrap();
        assert!(sub.is_some_and(|sub| sub.active && sub.offered), "whose subscription");
    }

    /// What this primary was told, asked and shown is of its own slice and with its own key.
    async fn credentials(&self) -> HashSet<String> {
        let log: Value =
            self.primary.admin.get("/v1/activity?pagesize=250&include=subscription").await.unwrap();
        for row in log["data"].as_array().unwrap() {
            assert_eq!(row["company_id"], self.company.to_string());
            let slice = &row["subscription"]["slice_id"];
            assert!(slice.is_null() || *slice == self.publisher.slice.to_string(), "{row}");
        }
        let mut credentials = HashSet::new();
        for asked in self.chaos.seen.lock().unwrap().iter() {
            credentials.insert(asked.authorization.clone());
            if asked.path == "/login" {
                credentials.insert(String::from_utf8_lossy(&asked.body).into_owned());
            }
            let is_own = asked.path.contains(&self.publisher.slice.to_string());
            assert!(is_own || !asked.path.contains("/slices/"), "{}", asked.path);
        }
        credentials.remove("");
        credentials
    }
}

/// The newest record of each run: of the primary that it is about.
async fn check_log(secondary: &TestSecondary, sites: &[Site]) {
    let log: Value = secondary.admin.get(&format!("/v1/activity?pagesize={PRIMARIES}")).await.unwrap();
    let names: HashMap<String, &str> =
        sites.iter().map(|site| (site.primary.server_id.to_string(), site.name.as_str())).collect();
    let mut told = HashSet::new();
    for row in log["data"].as_array().unwrap() {
        let company = row["company_id"].as_str().unwrap();
        assert_eq!(row["message"], format!("Syncing \"{}\"", names[company]));
        assert_eq!(row["success"], true);
        told.insert(company.to_owned());
    }
    assert_eq!(told.len(), PRIMARIES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_primaries_synced_at_once_never_leave_a_row_with_the_wrong_one() {
    let rounds = rounds(100);
    say(&format!(
        "{PRIMARIES} primaries, {rounds} rounds on each database with SANDPIPER_TEST_SEED={}",
        seed()
    ));
    for database in TestDatabase::each("eight_primaries_synced_at_once") {
        let ledger = Ledger::default();
        let mut sites = join_all((0..PRIMARIES).map(|number| Site::start(number, &ledger))).await;
        let secondary = TestSecondary::start_on(database).await;
        for site in &sites {
            secondary.connect(&site.chaos.url, "companyadmin").await;
            // The company admin's password, which is the same everywhere, is no part of a sync.
            site.chaos.seen.lock().unwrap().clear();
        }
        for round in 1..=rounds {
            join_all(sites.iter_mut().map(|site| site.publish(round))).await;
            for site in &sites {
                site.delay(round);
            }
            let runs = join_all(sites.iter().map(|site| secondary.sync(site.primary.server_id))).await;
            for run in runs {
                let report = run.unwrap().into_result().unwrap();
                assert_eq!((report.changed(), report.total().grains_added), (1, 2), "{report:?}");
            }
            join_all(sites.iter().map(|site| site.check(&secondary, round))).await;
            check_log(&secondary, &sites).await;
        }
        let mut all = HashSet::new();
        for site in &sites {
            for credential in site.credentials().await {
                assert!(all.insert(credential), "a credential of one came to another");
            }
        }
        assert!(all.len() >= 2 * PRIMARIES);
    }
}
