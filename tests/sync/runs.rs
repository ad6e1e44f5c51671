//! Runs that nobody waits for: how far they are, having them stop, and what the primary hears of them later.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use bytes::Bytes;
use chrono::Duration as Span;
use futures_util::{StreamExt as _, stream};
use secondary::sync::{Outcome, Progress, begin};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::server::serve::ServeOptions;
use shared::store::{self, StoreError};
use shared::wire::Id;
use tests::fake::{Asked, Fake, Upstream, passed_on};
use tests::node::{COMPANY_ADMIN_PASSWORD, login};
use tests::{ADMIN, TestDatabase, TestPrimary, TestSecondary, stranger, wait_until};

use super::change;

/// What the one in between answers to requests whose path ends so, in the server's place.
type Busy = Arc<Mutex<Option<(&'static str, u16)>>>;

/// A pair whose feeds drip while they shall, with somebody between the two.
struct Between {
    primary: TestPrimary,
    secondary: TestSecondary,
    fake: Fake,
    drips: Arc<AtomicBool>,
    busy: Busy,
    company: Id,
    token: String,
}

impl Between {
    async fn start(first: TestDatabase, second: TestDatabase) -> Self {
        let primary = TestPrimary::start_on(first, None).await;
        let secondary = TestSecondary::start_on(second).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let (drips, busy) = (Arc::new(AtomicBool::new(false)), Busy::default());
        let (upstream, slow, script) = (Upstream::new(&primary.url), Arc::clone(&drips), Arc::clone(&busy));
        let fake = Fake::start(Arc::new(move |asked: Asked| {
            let (upstream, slow) = (upstream.clone(), Arc::clone(&slow));
            let busy = script.lock().unwrap().filter(|(end, _status)| asked.path.ends_with(end));
            Box::pin(async move {
                if let Some((_end, status)) = busy {
                    return HttpResponse::build(status.try_into().unwrap()).finish();
                }
                let (status, body) = upstream.ask(&asked).await;
                if asked.path.ends_with("/feed") && slow.load(Ordering::SeqCst) {
                    return HttpResponse::build(status).streaming(dripping(&body, slow));
                }
                passed_on(status, body)
            })
        }));
        secondary.connect(&fake.url, "companyadmin").await;
        let token = token(&secondary.url).await;
        Self { primary, secondary, fake, drips, busy, company, token }
    }

    async fn each(test: &str) -> Vec<Self> {
        let mut all = vec![Self::start(TestDatabase::sqlite(), TestDatabase::sqlite()).await];
        if let (Some(first), Some(second)) = (TestDatabase::postgres(test), TestDatabase::postgres(test)) {
            all.push(Self::start(first, second).await);
        }
        all
    }

    /// A slice with so many grains of two KiB.
    async fn add_slice(&self, name: &str, count: usize) -> Id {
        let slice = self.primary.add_slice(name, "pies-items", &json!({}), self.company).await;
        let (store, now) = (&self.primary.node.store, self.primary.node.clock.now());
        let grains: Vec<_> = (0..count)
            .map(|number| {
                let (id, key) = (shared::clock::Random::System.id(), format!("{name}-{number}"));
                let payload = format!("{number:0>2048}");
                let digest = shared::crypto::set_hash::grain_digest(id, &key, "raw", "test", &payload);
                store::grain::NewGrain {
                    slice_id: slice,
                    id,
                    digest: digest.to_vec(),
                    grain_key: key,
                    source: "test".to_owned(),
                    encoding: "raw".to_owned(),
                    payload,
                    added_in: 1,
                    created_at: now,
                }
            })
            .collect();
        let stored =
            store.write(move |conn| -> Result<(), StoreError> { store::grain::insert(conn, &grains) });
        stored.await.unwrap();
        self.primary.refresh(slice).await;
        slice
    }

    /// Begins a run that nobody waits for.
    async fn begin(&self) -> Value {
        let path = format!("/v1/sync/{}", self.primary.server_id);
        let answer = self.post(&path, Some("foo=1, Respond-Async; wait=5")).await;
        assert_eq!(answer.status(), 202);
        let (location, applied) =
            (answer.headers()["location"].clone(), answer.headers()["preference-applied"].clone());
        let body: Value = answer.json().await.unwrap();
        let id = body["run_id"].as_str().unwrap();
        assert_eq!(location, format!("/v1/sync/runs/{id}").as_str());
        assert_eq!(applied, "respond-async");
        json!(id)
    }

    async fn post(&self, path: &str, prefer: Option<&str>) -> reqwest::Response {
        let mut request = stranger().post(format!("{}{path}", self.secondary.url)).bearer_auth(&self.token);
        if let Some(prefer) = prefer {
            request = request.header("Prefer", prefer);
        }
        request.send().await.unwrap()
    }

    /// Waits until a run has told the primary what it did too, and has let go of its lock.
    async fn let_go(&self) {
        let (store, primary) = (&self.secondary.secondary.node.store, self.primary.server_id);
        wait_until("the lock is free", async || !store.is_run_locked(primary).await.unwrap()).await;
    }

    async fn run(&self, id: &Value) -> Value {
        self.secondary.admin.get(&format!("/v1/sync/runs/{}", id.as_str().unwrap())).await.unwrap()
    }

    async fn activity(&self) -> Vec<String> {
        let log: Value = self.primary.admin.get("/v1/activity?pagesize=250").await.unwrap();
        let records = log["data"].as_array().cloned().unwrap_or_default();
        records.iter().rev().map(|one| format!("{} {}", one["message"], one["error"])).collect()
    }
}

/// Two thirds at once, then line by line, until it shall not any more.
fn dripping(
    body: &[u8],
    slow: Arc<AtomicBool>,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + 'static {
    let at = body.len() * 2 / 3;
    let end_of_line = at + body[at..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut parts = vec![Bytes::copy_from_slice(&body[..end_of_line])];
    parts.extend(body[end_of_line..].split_inclusive(|byte| *byte == b'\n').map(Bytes::copy_from_slice));
    stream::iter(parts).then(move |part| {
        let slow = Arc::clone(&slow);
        async move {
            if slow.load(Ordering::SeqCst) {
                // A slow line, not a wait for something to happen.
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            Ok(part)
        }
    })
}

async fn token(url: &str) -> String {
    let body = json!({ "username": ADMIN.0, "password": ADMIN.1 });
    let answer: Value =
        stranger().post(format!("{url}/login")).json(&body).send().await.unwrap().json().await.unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

/// Events of a stream, as (name, data), until `enough` says so or it ends.
async fn events(
    url: &str,
    token: &str,
    run: &Value,
    mut enough: impl AsyncFnMut(&str, &Value) -> bool,
) -> Vec<(String, Value)> {
    let path = format!("{url}/v1/sync/runs/{}/events", run.as_str().unwrap());
    let answer = stranger().get(path).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let (mut stream, mut text, mut found) = (answer.bytes_stream(), String::new(), Vec::new());
    while let Some(chunk) = stream.next().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        while let Some((event, rest)) =
            text.split_once("\n\n").map(|(event, rest)| (event.to_owned(), rest.to_owned()))
        {
            text = rest;
            if event.starts_with(':') {
                continue;
            }
            let (name, data) = event.split_once('\n').unwrap();
            let name = name.strip_prefix("event: ").unwrap().to_owned();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            let is_enough = enough(&name, &data).await;
            found.push((name, data));
            if is_enough {
                return found;
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_the_background_is_watched_and_cancelled_from_another_process_and_the_next_goes_on() {
    for pair in Between::each("a_run_in_the_background").await {
        pair.add_slice("done", 1).await;
        let slice = pair.add_slice("long", 3_000).await;
        pair.drips.store(true, Ordering::SeqCst);
        let run = pair.begin().await;
        let again = pair.post(&format!("/v1/sync/{}", pair.primary.server_id), Some("respond-async")).await;
        assert_eq!(again.status(), 409, "one at a time");
        assert_eq!(again.json::<Value>().await.unwrap()["code"], "sync_running");

        let beside = pair.secondary.another(Clock::System).await;
        let beside = secondary::start(beside, ServeOptions::loopback()).unwrap();
        let other = login(&beside.url(), ADMIN.0, ADMIN.1).await;
        let seen = events(&beside.url(), &pair.token, &run, async |name, data| {
            if name == "progress" && data["grains_done"].as_i64().unwrap() > 1 {
                let path = format!("/v1/sync/runs/{}/cancel", run.as_str().unwrap());
                let asked: Value = other.post(&path, &json!({})).await.unwrap();
                assert_eq!(asked["cancel_asked"], true);
            }
            false
        })
        .await;
        let (first, last) = (seen.first().unwrap(), seen.last().unwrap());
        assert_eq!((first.0.as_str(), &first.1["state"]), ("progress", &json!("running")), "{seen:?}");
        assert_eq!((last.0.as_str(), &last.1["state"]), ("end", &json!("cancelled")), "{seen:?}");
        let far = seen.iter().find(|(_name, data)| data["grains_done"].as_i64().unwrap() > 1).unwrap();
        assert_eq!((&far.1["slices_total"], &far.1["run_id"]), (&json!(2), &run));
        assert_eq!(far.1["slice"], "long");
        let number = |name: &str| far.1[name].as_i64().unwrap();
        assert!(number("grains_total") >= 3_000 && number("grains_done") < 3_001, "{far:?}");
        assert!(number("bytes_done") > 0 && number("bytes_total") >= 3_000 * 2_048, "{far:?}");
        assert!(number("bytes_per_second") > 0 && far.1["eta_seconds"].as_i64().is_some(), "{far:?}");

        let ended = pair.run(&run).await;
        assert_eq!((&ended["state"], &ended["asked_by"]), (&json!("cancelled"), &json!(ADMIN.0)), "{ended}");
        let outcome = |name: &str| {
            let slices = ended["slices"].as_array().unwrap();
            slices.iter().find(|slice| slice["slice"] == name).unwrap()["outcome"].clone()
        };
        assert_eq!((outcome("done"), outcome("long")), (json!("changed"), json!("cancelled")));
        // Again, when it is over: it stays as it is.
        let path = format!("/v1/sync/runs/{}/cancel", run.as_str().unwrap());
        let answer = pair.post(&path, None).await;
        assert_eq!(answer.status(), 202);
        assert_eq!(answer.json::<Value>().await.unwrap()["state"], "cancelled");
        // Whoever comes late is told the end at once.
        let late = events(&pair.secondary.url, &pair.token, &run, async |_name, _data| false).await;
        assert_eq!((late.len(), late[0].0.as_str()), (1, "end"));

        pair.drips.store(false, Ordering::SeqCst);
        pair.let_go().await;
        pair.fake.seen.lock().unwrap().clear();
        let report = pair.secondary.sync(pair.primary.server_id).await.unwrap().into_result().unwrap();
        let seen = std::mem::take(&mut *pair.fake.seen.lock().unwrap());
        let feeds: Vec<String> =
            seen.into_iter().filter(|asked| asked.path.ends_with("/feed")).map(|asked| asked.uri).collect();
        assert!(feeds.len() == 1 && feeds[0].contains("after="), "it goes on: {feeds:?}");
        let moved = report.slices.iter().find(|report| report.slice_id == slice).unwrap();
        let Outcome::Changed(moved) = &moved.outcome else { panic!("{moved:?}") };
        assert!((1..2_000).contains(&moved.grains_added), "{moved:?}");
        beside.stop().await;
    }
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_told_apart_by_primary_and_state() {
    for pair in Between::each("runs_are_listed").await {
        pair.add_slice("items", 2).await;
        let first = pair.begin().await;
        wait_until("the run ends", async || pair.run(&first).await["state"] == "success").await;
        pair.let_go().await;
        let run = pair.run(&first).await;
        assert_eq!((&run["grains_added"], &run["slices_changed"]), (&json!(2), &json!(1)), "{run}");
        let progress = &run["progress"];
        assert_eq!(
            (&progress["slices_done"], &progress["grains_done"], &progress["grains_total"]),
            (&json!(1), &json!(2), &json!(2)),
            "{run}"
        );
        assert_eq!(
            (&run["slices"][0]["outcome"], &run["primary"]),
            (&json!("changed"), &json!("Better Brakes"))
        );
        // Without the header it answers when all is done, as ever.
        let path = format!("/v1/sync/{}", pair.primary.server_id);
        let answer = pair.post(&path, Some("wait=10, handling=lenient")).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (200, String::new()));
        *pair.busy.lock().unwrap() = Some(("/login", 503));
        assert_eq!(pair.post(&path, None).await.status(), 502);
        let get = async |query: &str| -> Value {
            pair.secondary.admin.get(&format!("/v1/sync/runs{query}")).await.unwrap()
        };
        let all = get("").await;
        let states: Vec<&str> =
            all["data"].as_array().unwrap().iter().map(|run| run["state"].as_str().unwrap()).collect();
        assert_eq!(
            (states, &all["paging"]["items_total"]),
            (vec!["failed", "success", "success"], &json!(3))
        );
        assert!(all["data"][0]["error"].as_str().unwrap().contains("503"), "{all}");
        assert!(all["data"][0].get("slices").is_none(), "{all}");
        assert_eq!(get("?filter=state:failed").await["paging"]["items_total"], 1);
        assert_eq!(
            get(&format!("?filter=state:success,primary_id:{}", pair.primary.server_id)).await["paging"]["items_total"],
            2
        );
        assert_eq!(get(&format!("?filter=primary_id:{}", pair.company)).await["data"], Value::Null);
        let page = get("?pagesize=1").await;
        let next = page["paging"]["next"].as_str().unwrap();
        assert_eq!(get(&format!("?pagesize=1&next={next}")).await["data"][0], all["data"][1]);
        let oldest = get("?sort=started_at").await;
        assert_eq!(oldest["data"][0]["id"], first);
    }
}

#[tokio::test]
async fn what_cannot_be_told_to_the_primary_is_told_at_the_next_contact_in_order() {
    for pair in Between::each("what_cannot_be_told").await {
        let slice = pair.add_slice("items", 1).await;
        let sync = async || pair.secondary.sync(pair.primary.server_id).await;
        *pair.busy.lock().unwrap() = Some(("/v1/activity", 503));
        sync().await.unwrap().into_result().unwrap();
        assert_eq!(pair.activity().await, [""; 0], "the run is good all the same");
        *pair.busy.lock().unwrap() = Some(("/login", 503));
        assert!(sync().await.unwrap_err().is_temporary());
        *pair.busy.lock().unwrap() = None;
        pair.primary.add_grain(slice, "new", "1").await;
        pair.primary.refresh(slice).await;
        assert_eq!(change(&sync().await.unwrap()).grains_added, 1);
        let told = pair.activity().await;
        let words = [
            "Sync: 1 of 1 slices changed (20",
            "items",
            "Sync (20",
            "Sync: 1 of 1 slices changed\"",
            "items",
        ];
        assert_eq!(told.len(), words.len(), "{told:#?}");
        for (line, words) in told.iter().zip(words) {
            assert!(line.contains(words), "{words}: {told:#?}");
        }
        assert!(told[2].contains("503") && told[1].contains("(20"), "{told:#?}");
        // And never again.
        sync().await.unwrap();
        assert_eq!(pair.activity().await.len(), words.len() + 1);
        let receivers: Value =
            pair.primary.admin.get(&format!("/v1/slices/{slice}/receivers")).await.unwrap();
        assert_eq!(
            (&receivers["data"][0]["version"], &receivers["data"][0]["current"]),
            (&json!(2), &json!(true))
        );
    }
}

#[tokio::test]
async fn a_record_that_the_primary_never_takes_is_given_up_and_no_outbox_grows_for_ever() {
    for pair in Between::each("a_record_that_the_primary_never_takes").await {
        pair.add_slice("items", 1).await;
        *pair.busy.lock().unwrap() = Some(("/v1/activity", 500));
        for _ in 0..8 {
            pair.secondary.sync(pair.primary.server_id).await.unwrap().into_result().unwrap();
        }
        let (store, primary) = (&pair.secondary.secondary.node.store, pair.primary.server_id);
        let waiting = store.read(move |conn| store::outbox::page(conn, primary, 0, 100)).await.unwrap();
        // Two each time; of those before them three were given up.
        assert!(waiting.iter().all(|row| row.attempts < 5) && waiting.len() == 13, "{waiting:?}");
        let now = pair.secondary.secondary.node.clock.now();
        let many = vec!["{}".to_owned(); 1_100];
        store.write(move |conn| store::outbox::add(conn, primary, many, now)).await.unwrap();
        let waiting = store.read(move |conn| store::outbox::page(conn, primary, 0, 5_000)).await.unwrap();
        assert_eq!(waiting.len(), 1_000);
        store.write(move |conn| store::outbox::expire(conn, primary, now.plus(Span::days(1)))).await.unwrap();
        let waiting = store.read(move |conn| store::outbox::page(conn, primary, 0, 10)).await.unwrap();
        assert!(waiting.is_empty());
    }
}

#[tokio::test]
async fn a_run_whose_process_died_is_told_as_interrupted() {
    for database in TestDatabase::each("a_run_whose_process_died") {
        let moment = Arc::new(Mutex::new(Clock::System.now()));
        let secondary = TestSecondary::start_at(database, Clock::Fixed(Arc::clone(&moment))).await;
        let primary = TestPrimary::start().await;
        primary.add_company("Retail Parts", "companyadmin").await;
        secondary.connect(&primary.url, "companyadmin").await;
        let started = begin(Arc::clone(&secondary.secondary), primary.server_id, "test", Progress::silent());
        let started = started.await.unwrap();
        let path = format!("/v1/sync/runs/{}", started.run_id());
        let state = async || secondary.admin.get::<Value>(&path).await.unwrap()["state"].clone();
        let later = |seconds| {
            let mut moment = moment.lock().unwrap();
            *moment = moment.plus(Span::seconds(seconds));
        };
        later(60);
        assert_eq!(state().await, "running", "it is quiet, and holds its lock");
        drop(started);
        wait_until("its lock ends with it", async || state().await == "interrupted").await;
        assert!(secondary.sync(primary.server_id).await.is_ok());
    }
}

#[tokio::test]
async fn nobody_but_staff_sees_or_changes_runs_and_schedules() {
    let pair = Between::start(TestDatabase::sqlite(), TestDatabase::sqlite()).await;
    let run = pair.begin().await;
    let run = run.as_str().unwrap();
    let primary = pair.primary.server_id;
    for (role, name) in [(120, "boss"), (200, "machine"), (300, "person")] {
        let user = json!({
            "first_name": "Some", "last_name": "Body", "username": name, "email": format!("{name}@example.com"),
            "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD,
            "company_id": primary, "role": role, "active": true,
        });
        let _user: Value = pair.secondary.admin.post("/v1/users", &user).await.unwrap();
        let other = login(&pair.secondary.url, name, COMPANY_ADMIN_PASSWORD).await;
        for (method, path) in [
            ("GET", "/v1/sync/runs".to_owned()),
            ("GET", format!("/v1/sync/runs/{run}")),
            ("GET", format!("/v1/sync/runs/{run}/events")),
            ("POST", format!("/v1/sync/runs/{run}/cancel")),
            ("GET", "/v1/sync/schedules".to_owned()),
            ("GET", format!("/v1/sync/schedules/{primary}")),
            ("DELETE", format!("/v1/sync/schedules/{primary}")),
            ("POST", format!("/v1/sync/schedules/{primary}/pause")),
            ("POST", format!("/v1/sync/schedules/{primary}/resume")),
        ] {
            let refused = other.call(method.parse().unwrap(), &path).await.unwrap_err();
            assert!(refused.is_status(403), "{name} {method} {path}: {refused}");
        }
    }
}
