//! A storm of everything that makes, uses and ends credentials, at three primaries on one database. Whatever is answered must
//! fit an order in which it could have happened.
//!
//! `SANDPIPER_TEST_CREDENTIAL_OPERATIONS=200000 cargo test --release -p tests --test race credential` runs the whole of it.

mod timeline;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::{join, join_all};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use shared::crypto::keyring::Purpose;
use shared::node::permission::By;
use shared::node::service::keyring;
use shared::store::{self, Store, StoreError};
use shared::wire::Id;
use tests::{ADMIN, TestPrimary};

use super::{Http, on_each, text};
use timeline::{Clock, Timeline};

const COMPANIES: usize = 24;
const OBSERVERS: usize = 24;
/// Of a hundred operations at most one is a login of a person.
const PEOPLE: u64 = 200;
/// Turns of the rings in the whole storm.
const TURNS: u64 = 20;

fn operations() -> u64 {
    let wish = std::env::var("SANDPIPER_TEST_CREDENTIAL_OPERATIONS").ok();
    wish.map_or_else(|| u64::from(tests::times(20_000)), |wish| wish.parse().expect("a number of operations"))
}

/// A key that somebody may try.
struct Key {
    text: String,
    line: Timeline,
}

struct Company {
    id: Id,
    admin: String,
    username: String,
    /// The newest last; older ones are tried too, as thieves would.
    keys: Mutex<Vec<Arc<Key>>>,
}

struct Storm {
    http: Http,
    nodes: Vec<String>,
    clock: Clock,
    done: AtomicU64,
    people: AtomicU64,
    wanted: u64,
    companies: Vec<Company>,
    staff: String,
    store: Store,
}

impl Storm {
    fn is_over(&self) -> bool {
        self.done.load(Ordering::SeqCst) >= self.wanted
    }

    fn node(&self, random: &mut StdRng) -> &str {
        let at = random.random_range(0..self.nodes.len());
        &self.nodes[at]
    }

    fn count(&self) -> u64 {
        self.done.fetch_add(1, Ordering::SeqCst)
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        self.count();
        Http::send(request).await
    }

    /// What a company's admin does, one thing after the other: so he knows what there is.
    async fn own(&self, company: &Company, seed: u64) -> i64 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut generation = 0;
        while !self.is_over() {
            match random.random_range(0..10) {
                0..6 => generation = self.mint(company, &mut random).await,
                6..8 => self.revoke(company, &mut random).await,
                _ => self.switch_off_and_on(company, &mut random).await,
            }
            self.try_newest(company, &mut random).await;
        }
        generation
    }

    async fn mint(&self, company: &Company, random: &mut StdRng) -> i64 {
        let before = company.keys.lock().unwrap().last().cloned();
        if let Some(before) = &before {
            before.line.begin(self.clock.tick(), false);
        }
        let url = format!("{}/v1/apikey", self.node(random));
        let (status, minted) = self.ask(self.http.0.post(url).bearer_auth(&company.admin)).await;
        assert_eq!(status, 200, "{minted}");
        let now = self.clock.tick();
        if let Some(before) = &before {
            before.line.settle(now);
        }
        let key = Arc::new(Key { text: text(&minted["sync_api_key"]), line: Timeline::default() });
        key.line.begin(now, true);
        key.line.settle(now);
        company.keys.lock().unwrap().push(key);
        minted["generation"].as_i64().unwrap()
    }

    async fn revoke(&self, company: &Company, random: &mut StdRng) {
        let newest = company.keys.lock().unwrap().last().cloned();
        let Some(newest) = newest else { return };
        newest.line.begin(self.clock.tick(), false);
        let url = format!("{}/v1/apikey", self.node(random));
        let (status, body) = self.ask(self.http.0.delete(url).bearer_auth(&company.admin)).await;
        assert_eq!(status, 200, "{body}");
        newest.line.settle(self.clock.tick());
    }

    /// The machine user, by staff.
    async fn switch_off_and_on(&self, company: &Company, random: &mut StdRng) {
        let newest = company.keys.lock().unwrap().last().cloned();
        let Some(newest) = newest else { return };
        let id = company.id;
        let machine =
            self.store.read(move |conn| store::user::find_sync_user(conn, id)).await.unwrap().unwrap().id;
        let was_good = newest.line.could_be(self.clock.tick(), self.clock.tick()).0;
        for active in [false, true] {
            newest.line.begin(self.clock.tick(), active && was_good);
            let url = format!("{}/v1/users/{machine}", self.node(random));
            let request = self.http.0.patch(url).bearer_auth(&self.staff).json(&json!({ "active": active }));
            let (status, body) = self.ask(request).await;
            assert_eq!(status, 200, "{body}");
            newest.line.settle(self.clock.tick());
        }
    }

    /// A key that was just minted logs in, at any server, unless something has ended it: nobody else touches the company.
    async fn try_newest(&self, company: &Company, random: &mut StdRng) {
        let newest = company.keys.lock().unwrap().last().cloned();
        if let Some(key) = newest {
            self.try_key(&key, random).await;
        }
    }

    /// Logs in with a key, and with what that gives; each answer must be possible.
    async fn try_key(&self, key: &Key, random: &mut StdRng) {
        let from = self.clock.tick();
        let body = json!({ "sync-api-key": key.text });
        let (status, login) =
            self.ask(self.http.0.post(format!("{}/login", self.node(random))).json(&body)).await;
        let to = self.clock.tick();
        Self::judge("login", key, (from, to), status);
        if status != 200 {
            return;
        }
        for _ in 0..random.random_range(0..3) {
            let (what, request) = if random.random_range(0..2) == 0 {
                let url = format!("{}/me", self.node(random));
                ("token", self.http.0.get(url).bearer_auth(text(&login["token"])))
            } else {
                let url = format!("{}/refresh/{}", self.node(random), text(&login["refresh_token"]));
                ("refresh token", self.http.0.get(url))
            };
            let start = self.clock.tick();
            let (status, _body) = self.ask(request).await;
            Self::judge(what, key, (start, self.clock.tick()), status);
        }
    }

    fn judge(what: &str, key: &Key, (from, to): (u64, u64), status: u16) {
        let (may_be_good, may_be_bad) = key.line.could_be(from, to);
        match status {
            200 => assert!(may_be_good, "stale accept: a {what} of a key that was dead from {from} to {to}"),
            401 => assert!(
                may_be_bad,
                "lost key: a {what} of a key that was good from {from} to {to} was refused"
            ),
            other => panic!("a {what} was answered {other}"),
        }
    }

    /// Tries keys of all companies, new and old, and logs a person in now and then.
    async fn observe(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        while !self.is_over() {
            let company = &self.companies[random.random_range(0..self.companies.len())];
            if self.people.load(Ordering::SeqCst) * PEOPLE < self.done.load(Ordering::SeqCst) {
                self.people.fetch_add(1, Ordering::SeqCst);
                let body = json!({ "username": ADMIN.0, "password": ADMIN.1 });
                let url = format!("{}/login", self.node(&mut random));
                let (status, body) = self.ask(self.http.0.post(url).json(&body)).await;
                assert_eq!(status, 200, "{}: {body}", company.username);
            }
            let key = {
                let keys = company.keys.lock().unwrap();
                let back = if random.random_range(0..3) == 0 { random.random_range(0..5) } else { 0 };
                keys.len().checked_sub(1 + back).and_then(|at| keys.get(at)).cloned()
            };
            match key {
                Some(key) => self.try_key(&key, &mut random).await,
                None => tokio::task::yield_now().await,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_of_credential_operations_every_answer_fits_an_order_in_which_it_could_have_happened() {
    on_each("a_storm_of_credentials", |database| async move {
        let here = TestPrimary::start_on(database, None).await;
        let (there, yonder) = (here.beside().await, here.beside().await);
        let http = Http::new();
        let mut companies = Vec::new();
        for number in 0..COMPANIES {
            let username = format!("admin{number}");
            let id = here.add_company(&format!("Company {number}"), &username).await;
            let admin = http.person(&here.url, &username).await;
            companies.push(Company { id, admin, username, keys: Mutex::default() });
        }
        let storm = Storm {
            staff: http.staff(&here.url, ADMIN.0).await,
            store: here.node.store.clone(),
            http,
            nodes: [&here, &there, &yonder].map(|primary| primary.url.clone()).to_vec(),
            clock: Clock::default(),
            done: AtomicU64::default(),
            people: AtomicU64::default(),
            wanted: operations(),
            companies,
        };
        let seed = u64::from(rand::random::<u32>());
        println!("credential storm: seed {seed}, {} operations", storm.wanted);
        let owners = join_all(
            storm.companies.iter().zip(0..).map(|(company, number)| storm.own(company, seed + number)),
        );
        let observers = join_all((0..OBSERVERS).zip(1_000..).map(|(_, number)| storm.observe(seed + number)));
        let turning = async {
            for turn in 0..TURNS {
                while !storm.is_over()
                    && storm.done.load(Ordering::SeqCst) < storm.wanted * (turn + 1) / (TURNS + 1)
                {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                for purpose in [Purpose::Seal, Purpose::Jwt] {
                    // Eight keys are all that a ring holds; no key of a token lives as long as this.
                    let _full = keyring::rotate(&here.node, By::Operator, purpose).await;
                }
            }
        };
        let ((generations, _), ()) = join(join(owners, observers), turning).await;

        // Nothing was lost: what each owner heard last is what there is.
        for (company, generation) in storm.companies.iter().zip(generations) {
            let id = company.id;
            let (row, keys) = here
                .node
                .store
                .read(move |conn| -> Result<_, StoreError> {
                    Ok((store::company::find(conn, id)?.unwrap(), store::api_key::list(conn, Some(id))?))
                })
                .await
                .unwrap();
            assert_eq!(row.key_generation, generation, "lost update");
            assert!(row.active);
            assert!(keys.iter().filter(|key| key.state == "active").count() <= 1, "two active keys");
            assert_eq!(i64::try_from(keys.len()).unwrap(), generation, "a key for each mint");
        }
        println!("credential storm: {} operations, 0 violations", storm.done.load(Ordering::SeqCst));
        there.stop().await;
        yonder.stop().await;
        here.stop().await;
    })
    .await;
}
