//! The model against the code: walks through the model are taken by a running primary and two running secondaries, and
//! after each step the databases on both sides hold what the model says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use diesel::RunQueryDsl as _;
use futures_util::future::join_all;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use secondary::service::{partner, rotate};
use secondary::sync::Progress;
use serde_json::{Value, json};
use shared::node::service::api_key;
use shared::store::{self, Store, StoreError, on_backend};
use shared::wire::Id;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, TestDatabase, TestPrimary, TestSecondary};
use tokio::task::JoinHandle;

use super::gate::{Gate, Held, Letter, Reply, send};
use super::primary::{Answer, BAD, Key, KeyRow, Life, Request, Stage};
use super::protocol::{Action, Admin, Fate, Hands, Party, Protocol, State};

const SEED: u64 = 2026;
const STEPS: usize = 60;

/// What may happen on a walk: everything.
fn world() -> Protocol {
    Protocol {
        secondaries: 2,
        admins: 2,
        keys: Some(30),
        retries: true,
        strays: 2,
        hands: Hands::Always,
        switching: true,
        whole: true,
        fault: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_code_does_what_the_model_says() {
    let databases = TestDatabase::each("the_code_does_what_the_model_says");
    join_all(databases.into_iter().map(|database| async move {
        let mut pair = Pair::start(database).await;
        let mut steps = 0;
        let walks = if super::is_thorough() { 80 } else { 24 };
        for walk in 0..walks {
            let mut draw = Xoshiro256PlusPlus::seed_from_u64(SEED + u64::from(walk));
            pair.begin(walk).await;
            for _step in 0..STEPS {
                let action = choose(&pair.state, &mut draw);
                pair.take(action).await;
                steps += 1;
            }
            pair.log_in_with_all().await;
        }
        println!("model: {}: {walks} walks from seed {SEED}, {steps} steps, as the model says", pair.kind);
        pair.stop().await;
    }))
    .await;
}

/// Mostly on with what is under way, so that a walk comes far.
fn choose(state: &State, draw: &mut Xoshiro256PlusPlus) -> Action {
    let world = world();
    let possible: Vec<Action> = world
        .possible(state)
        .into_iter()
        .filter(|action| world.step(state, *action).is_some())
        .flat_map(|action| {
            let weight = match action {
                Action::Serve(_) | Action::Proceed(_) => 8,
                Action::Rotate(_) | Action::Sync(_) => 4,
                Action::CutOff(..) | Action::ServeStray(_) | Action::Double(_) | Action::Unheard(_) => 2,
                _ => 1,
            };
            std::iter::repeat_n(action, weight)
        })
        .collect();
    possible[draw.random_range(0..possible.len())]
}

/// A secondary, the gate before its primary, and its turn under way.
struct Receiver {
    server: TestSecondary,
    gate: Gate,
    turn: Option<JoinHandle<()>>,
    held: Option<Held>,
    /// What the primary answered to what is held.
    reply: Option<Reply>,
}

/// A primary, its secondaries, and the state of the model that they should be in.
struct Pair {
    kind: &'static str,
    primary: TestPrimary,
    receivers: Vec<Receiver>,
    http: reqwest::Client,
    staff: String,
    world: Protocol,
    state: State,
    taken: Vec<Action>,
    company: Id,
    company_name: String,
    admin: String,
    /// What each admin asks with.
    admins: Vec<Option<Letter>>,
    strays: Vec<Letter>,
    /// The keys, by the order of minting.
    keys: Vec<String>,
}

impl Pair {
    async fn start(database: TestDatabase) -> Self {
        let kind = if database.text().starts_with("sqlite") { "SQLite" } else { "PostgreSQL" };
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("First", "first").await;
        let mut receivers = Vec::new();
        for _ in 0..2 {
            let (server, gate) = (TestSecondary::start().await, Gate::start(&primary.url));
            server.connect(&gate.url, "first").await;
            receivers.push(Receiver { server, gate, turn: None, held: None, reply: None });
        }
        let (world, http) = (world(), tests::stranger());
        let staff = token(&http, &primary.url, ADMIN.0, ADMIN.1).await;
        let state = world.start();
        Self {
            kind,
            primary,
            receivers,
            http,
            staff,
            world,
            state,
            taken: Vec::new(),
            company,
            company_name: "First".to_owned(),
            admin: String::new(),
            admins: Vec::new(),
            strays: Vec::new(),
            keys: Vec::new(),
        }
    }

    async fn stop(self) {
        for receiver in self.receivers {
            receiver.gate.stop().await;
            receiver.server.stop().await;
        }
        self.primary.stop().await;
    }

    /// A company of its own for each walk, with one key that both secondaries have proven.
    async fn begin(&mut self, walk: u32) {
        for at in 0..self.receivers.len() {
            self.cut_off(at).await;
        }
        self.company_name = format!("Company {walk}");
        let username = format!("admin{walk}");
        self.company = self.primary.add_company(&self.company_name, &username).await;
        self.admin = token(&self.http, &self.primary.url, &username, COMPANY_ADMIN_PASSWORD).await;
        self.state = self.world.start();
        self.taken.clear();
        self.keys.clear();
        self.strays.clear();
        self.admins = vec![None; self.state.admins.len()];
        let reply = self.send(&self.mint_letter(None, false)).await;
        self.learn(&reply);
        let (id, key) = (self.primary.server_id, self.keys[0].as_str().into());
        for receiver in &self.receivers {
            receiver.gate.is_shut.store(false, Ordering::SeqCst);
            let own = &receiver.server.secondary;
            own.node.store.write(move |conn| store::partner::set_rotation(conn, id, None)).await.unwrap();
            partner::store_key(own, id, &key).await.unwrap();
            partner::login(own, id).await.unwrap();
            receiver.gate.is_shut.store(true, Ordering::SeqCst);
        }
        self.compare().await;
    }

    /// Takes one step, here and in the model, and compares.
    async fn take(&mut self, action: Action) {
        self.taken.push(action);
        let before = self.state.clone();
        self.state = self.world.step(&before, action).expect("a world that is large enough");
        match action {
            Action::Rotate(number) | Action::Sync(number) => {
                self.begin_turn(number.into(), matches!(action, Action::Rotate(_))).await;
            }
            Action::Serve(Party::Secondary(number)) => {
                let at = usize::from(number);
                let held = self.receivers[at].held.as_ref().expect("a request");
                let reply = self.send(&held.letter.clone()).await;
                let (request, _stage) = before.secondaries[at].waits_for(number).expect("a request");
                self.expect(&before, request, &reply);
                self.receivers[at].reply = Some(reply);
            }
            Action::Serve(Party::Admin(number)) | Action::Unheard(number) => {
                let letter = self.admins[usize::from(number)].clone().expect("a request");
                let reply = self.send(&letter).await;
                let (request, _stage) = before.waits_for(Party::Admin(number)).expect("a request");
                self.expect(&before, request, &reply);
            }
            Action::ServeStray(at) => {
                let letter = self.strays.remove(at);
                let reply = self.send(&letter).await;
                let (request, _stage) = before.strays[at];
                self.expect(&before, request, &reply);
            }
            Action::Proceed(number) => {
                let receiver = &mut self.receivers[usize::from(number)];
                let (held, reply) = (receiver.held.take(), receiver.reply.take());
                held.expect("a request").reply.send(reply.expect("an answer")).expect("one who waits");
                self.follow(number.into()).await;
            }
            Action::CutOff(number, fate) => {
                let at = usize::from(number);
                if fate == Fate::Delayed {
                    let held = self.receivers[at].held.as_ref().expect("a request");
                    self.strays.push(held.letter.clone());
                }
                self.cut_off(at).await;
            }
            Action::Miss(number, fate) => {
                if fate == Fate::Delayed {
                    self.strays.push(self.admins[usize::from(number)].clone().expect("a request"));
                }
            }
            Action::Double(party) => self.strays.push(match party {
                Party::Secondary(number) => {
                    self.receivers[usize::from(number)].held.as_ref().expect("a request").letter.clone()
                }
                Party::Admin(number) => self.admins[usize::from(number)].clone().expect("a request"),
            }),
            Action::PrimaryDies => {
                for (number, at) in (0..).zip(0..self.receivers.len()) {
                    if before.secondaries[at].waits_for(number).is_some() {
                        self.cut_off(at).await;
                    }
                }
            }
            Action::Ask { admin, idempotent, overlap } => {
                let asked = idempotent.then(|| format!("intent {}", self.taken.len()));
                self.admins[usize::from(admin)] = Some(self.mint_letter(asked.as_deref(), overlap));
            }
            Action::Retry(_) => {}
            Action::Give { admin, secondary } => {
                let Admin::Holds { key } = before.admins[usize::from(admin)] else { panic!("no key") };
                self.place(secondary.into(), &self.keys[usize::from(key) - 1]).await;
            }
            Action::GiveBad(secondary) => self.place(secondary.into(), "aabb").await,
            Action::Revoke => {
                let path = format!("{}/v1/apikey", self.primary.url);
                let request = self.http.delete(path).bearer_auth(&self.admin);
                let status = request.send().await.unwrap().status().as_u16();
                if before.primary.is_off {
                    assert_eq!(status, 401, "{self}");
                    api_key::revoke_for(&self.primary.node, self.company, "operator").await.unwrap();
                } else {
                    assert_eq!(status, 200, "{self}");
                }
            }
            Action::Switch => {
                let path = format!("{}/v1/companies/{}", self.primary.url, self.company);
                let body = json!({ "active": !self.state.primary.is_off });
                let request = self.http.patch(path).bearer_auth(&self.staff).json(&body);
                assert_eq!(request.send().await.unwrap().status().as_u16(), 200, "{self}");
            }
            Action::EndOverlap(key) => {
                self.change(&format!("UPDATE api_keys SET valid_until = created_at WHERE {}", self.row(key)))
                    .await;
            }
            Action::ForgetReply(asked) => {
                let replies = &before.primary.replies;
                let key = replies.iter().find(|reply| reply.asked == asked).expect("a reply").key;
                self.change(&format!(
                    "UPDATE mint_replies SET expires_at = created_at WHERE key_id = (SELECT key_id FROM api_keys WHERE {})",
                    self.row(key)
                ))
                .await;
            }
        }
        self.compare().await;
    }

    async fn begin_turn(&mut self, at: usize, rotates: bool) {
        let own = Arc::clone(&self.receivers[at].server.secondary);
        let id = self.primary.server_id;
        // How it ends is seen in the database.
        self.receivers[at].turn = Some(if rotates {
            tokio::spawn(async move { drop(rotate::rotate(&own, id).await) })
        } else {
            tokio::spawn(async move { drop(secondary::sync::run(own, id, Progress::silent()).await) })
        });
        self.follow(at).await;
    }

    /// Waits for the next request of a turn, or for its end.
    async fn follow(&mut self, at: usize) {
        let receiver = &mut self.receivers[at];
        if self.state.secondaries[at].turn.is_some() {
            receiver.held = receiver.gate.held().await;
            assert!(self.receivers[at].held.is_some(), "no login and no mint, {self}");
        } else if let Some(turn) = receiver.turn.take() {
            turn.await.unwrap();
            assert!(receiver.gate.is_empty(), "one more request after {:?}", self.taken);
        }
    }

    /// Breaks the connection, or loses the answer.
    async fn cut_off(&mut self, at: usize) {
        let receiver = &mut self.receivers[at];
        receiver.held = None;
        receiver.reply = None;
        if let Some(turn) = receiver.turn.take() {
            turn.await.unwrap();
        }
    }

    async fn place(&self, at: usize, key: &str) {
        let own = &self.receivers[at].server.secondary;
        partner::store_key(own, self.primary.server_id, &key.into()).await.unwrap();
    }

    fn mint_letter(&self, asked: Option<&str>, overlap: bool) -> Letter {
        let mut headers = vec![
            ("authorization", format!("Bearer {}", self.admin)),
            ("content-type", "application/json".to_owned()),
        ];
        headers.extend(asked.map(|asked| ("idempotency-key", asked.to_owned())));
        let overlap_seconds = if overlap { 3600 } else { 0 };
        Letter {
            method: reqwest::Method::POST,
            path: "/v1/apikey".to_owned(),
            headers,
            body: json!({ "overlap_seconds": overlap_seconds }).to_string().into_bytes(),
        }
    }

    async fn send(&self, letter: &Letter) -> Reply {
        send(&self.http, &self.primary.url, letter).await
    }

    /// Compares an answer with the model's, which is asked once more.
    fn expect(&mut self, before: &State, request: Request, reply: &Reply) {
        let mut primary = before.primary.clone();
        let mut served = primary.serve(request, Stage::Sent, None);
        if let Ok(stage) = served {
            served = primary.serve(request, stage, None);
        }
        let expected = match served.expect_err("an answer") {
            Answer::LoggedIn => (200, None),
            Answer::Minted(key) | Answer::Again(key) => (200, Some(u64::from(key))),
            Answer::Spent => (409, None),
            Answer::Refused => (401, None),
        };
        assert_eq!((reply.0, generation(reply)), expected, "{self}");
        self.learn(reply);
    }

    /// Remembers a new key.
    fn learn(&mut self, reply: &Reply) {
        let Some(generation) = generation(reply) else { return };
        let key = body(reply)["sync_api_key"].as_str().unwrap().to_owned();
        let known = self.keys.len();
        match usize::try_from(generation).unwrap() - 1 {
            new if new == known => self.keys.push(key),
            old => assert_eq!(self.keys[old], key, "the very bytes that were answered before"),
        }
    }

    fn row(&self, key: Key) -> String {
        let company = format!("(SELECT id FROM companies WHERE name = '{}')", self.company_name);
        format!("generation = {key} AND company_id = {company}")
    }

    async fn change(&self, sql: &str) {
        let sql = sql.to_owned();
        let store: &Store = &self.primary.node.store;
        let changed = store
            .write(move |conn| -> Result<usize, StoreError> {
                Ok(on_backend!(conn, |c| diesel::sql_query(sql).execute(c))?)
            })
            .await;
        assert_eq!(changed.unwrap(), 1, "{self}");
    }

    /// What the databases hold against what the model says.
    async fn compare(&self) {
        let listed = api_key::list_for(&self.primary.node, Some(self.company)).await.unwrap();
        let found: Vec<(i64, String, bool)> = listed
            .into_iter()
            .rev()
            .map(|key| (key.generation, key.state, key.first_used_at.is_some()))
            .collect();
        let expected: Vec<(i64, String, bool)> = self.state.primary.keys.iter().map(as_listed).collect();
        assert_eq!(found, expected, "the primary, {self}");
        let id = self.primary.server_id;
        for (receiver, expected) in self.receivers.iter().zip(&self.state.secondaries) {
            let own = &receiver.server.secondary;
            let row = own.node.store.read(move |conn| store::partner::find(conn, id)).await.unwrap().unwrap();
            let number = |sealed: Option<Vec<u8>>| {
                let key = own.vault.open(&sealed?, id.as_bytes()).unwrap();
                let at = self.keys.iter().position(|known| known.as_bytes() == key.as_slice());
                Some(at.map_or(BAD, |at| u8::try_from(at + 1).unwrap()))
            };
            let intent = row.rotation_key.is_some();
            let found = (number(row.api_key), number(row.candidate_key), number(row.minted_key), intent);
            let expected = (expected.proven, expected.candidate, expected.minted, expected.intent.is_some());
            assert_eq!(found, expected, "a secondary's proven key, candidate, minted key and intent, {self}");
        }
    }

    /// At the end every key there ever was tries to log in.
    async fn log_in_with_all(&mut self) {
        for (key, text) in (1..).zip(self.keys.clone()) {
            let letter = Letter {
                method: reqwest::Method::POST,
                path: "/synclogin".to_owned(),
                headers: vec![("content-type", "application/json".to_owned())],
                body: json!({ "sync-api-key": text }).to_string().into_bytes(),
            };
            let (reply, before) = (self.send(&letter).await, self.state.clone());
            let request = Request::Login { key };
            self.expect(&before, request, &reply);
            if let Ok(stage) = self.state.primary.serve(request, Stage::Sent, None) {
                self.state.primary.serve(request, stage, None).expect_err("an answer");
            }
        }
        self.compare().await;
    }
}

impl std::fmt::Display for Pair {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}, {}, after {:?}", self.kind, self.company_name, self.taken)
    }
}

fn as_listed(row: &KeyRow) -> (i64, String, bool) {
    let state = match row.life {
        Life::Active => "active",
        Life::Overlap { is_over: false, .. } => "overlap",
        Life::Overlap { is_over: true, .. } => "expired",
        Life::Revoked => "revoked",
    };
    (row.generation.into(), state.to_owned(), row.is_used)
}

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.1).unwrap_or_default()
}

fn generation(reply: &Reply) -> Option<u64> {
    body(reply)["generation"].as_u64()
}

async fn token(http: &reqwest::Client, url: &str, username: &str, password: &str) -> String {
    let body = json!({ "username": username, "password": password });
    let answer = http.post(format!("{url}/login")).json(&body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    answer["token"].as_str().unwrap().to_owned()
}
