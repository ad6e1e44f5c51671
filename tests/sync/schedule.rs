//! A secondary that syncs by itself. Its clock is the test's, and the test takes the scheduler's steps.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::HttpResponse;
use chrono::Duration;
use secondary::schedule::Scheduler;
use secondary::sync::{Progress, begin};
use serde_json::{Value, json};
use shared::client::ClientError;
use shared::clock::Clock;
use shared::store;
use shared::wire::{Id, Timestamp};
use tests::fake::{Asked, Fake, Upstream, passed_on};
use tests::{TestDatabase, TestPrimary, TestSecondary};

/// A pair in which the primary may be away, and time is the test's.
struct Timed {
    primary: TestPrimary,
    secondary: TestSecondary,
    moment: Arc<Mutex<Timestamp>>,
    is_away: Arc<AtomicBool>,
}

impl Timed {
    async fn start(database: TestDatabase) -> Self {
        let moment = Arc::new(Mutex::new(Clock::System.now()));
        let secondary = TestSecondary::start_at(database, Clock::Fixed(Arc::clone(&moment))).await;
        let primary = TestPrimary::start().await;
        primary.add_company("Retail Parts", "companyadmin").await;
        let is_away = Arc::new(AtomicBool::new(false));
        let (upstream, away) = (Upstream::new(&primary.url), Arc::clone(&is_away));
        let between = Fake::start(Arc::new(move |asked: Asked| {
            let (upstream, is_away) = (upstream.clone(), away.load(Ordering::SeqCst));
            Box::pin(async move {
                if is_away {
                    return HttpResponse::ServiceUnavailable().finish();
                }
                let (status, body) = upstream.ask(&asked).await;
                passed_on(status, body)
            })
        }));
        secondary.connect(&between.url, "companyadmin").await;
        Self { primary, secondary, moment, is_away }
    }

    async fn each(test: &str) -> Vec<Self> {
        let mut all = Vec::new();
        for database in TestDatabase::each(test) {
            all.push(Self::start(database).await);
        }
        all
    }

    fn now(&self) -> Timestamp {
        *self.moment.lock().unwrap()
    }

    fn later(&self, by: Duration) {
        let mut moment = self.moment.lock().unwrap();
        *moment = moment.plus(by);
    }

    fn jump(&self, to: &str) {
        *self.moment.lock().unwrap() = at(to);
    }

    fn scheduler(&self) -> Scheduler {
        Scheduler::new(Arc::clone(&self.secondary.secondary))
    }

    fn path(&self) -> String {
        format!("/v1/sync/schedules/{}", self.primary.server_id)
    }

    async fn put(&self, body: &Value) -> Value {
        let answer = tests::stranger()
            .put(format!("{}{}", self.secondary.url, self.path()))
            .bearer_auth(self.token().await)
            .json(body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let mut answer: Value = answer.json().await.unwrap();
        answer["status"] = json!(status);
        answer
    }

    /// Time goes by: a token of a moment ago may have ended.
    async fn token(&self) -> String {
        let body = json!({ "username": tests::ADMIN.0, "password": tests::ADMIN.1 });
        let url = format!("{}/login", self.secondary.url);
        let answer: Value =
            tests::stranger().post(url).json(&body).send().await.unwrap().json().await.unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    async fn row(&self) -> store::schedule::ScheduleRow {
        let primary = self.primary.server_id;
        let store = &self.secondary.secondary.node.store;
        store.read(move |conn| store::schedule::find(conn, primary)).await.unwrap().unwrap()
    }

    /// How many runs there were.
    async fn runs(&self) -> i64 {
        let selection = store::list::Selection::all(&store::sync_run::COLUMNS);
        let store = &self.secondary.secondary.node.store;
        store.read(move |conn| store::sync_run::list(conn, &selection)).await.unwrap().1
    }

    async fn call(&self, verb: &str) -> Value {
        let admin = tests::node::login(&self.secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        admin.post(&format!("{}/{verb}", self.path()), &json!({})).await.unwrap()
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// One step, to its end: how many runs it began.
async fn step(scheduler: &Scheduler) -> usize {
    let begun = scheduler.due().await.unwrap();
    let count = begun.len();
    for run in begun {
        run.await.unwrap();
    }
    count
}

#[tokio::test]
async fn a_period_runs_at_once_then_each_time_and_catches_up_once_also_after_a_restart() {
    for timed in Timed::each("a_period_runs_at_once").await {
        let scheduler = timed.scheduler();
        assert_eq!(step(&scheduler).await, 0);
        let set = timed.put(&json!({ "period_seconds": 3_600 })).await;
        assert_eq!((&set["status"], &set["period_seconds"]), (&json!(200), &json!(3_600)), "{set}");
        let began = timed.now();
        assert_eq!((step(&scheduler).await, step(&scheduler).await), (1, 0));
        let row = timed.row().await;
        assert_eq!(row.next_run_at, began.plus(Duration::hours(1)));
        assert!(row.claim.is_none() && row.last_run_id.is_some() && row.last_error.is_empty(), "{row:?}");
        timed.later(Duration::minutes(59));
        assert_eq!(step(&scheduler).await, 0);
        timed.later(Duration::minutes(1));
        assert_eq!(step(&scheduler).await, 1);
        // Two days later another process finds one run to make up for, not forty-eight.
        timed.later(Duration::days(2));
        let another = timed.secondary.another(Clock::Fixed(Arc::clone(&timed.moment))).await;
        let restarted = Scheduler::new(another);
        assert_eq!((step(&restarted).await, step(&restarted).await), (1, 0));
        assert_eq!(timed.row().await.next_run_at, timed.now().plus(Duration::hours(1)));
        assert_eq!(timed.runs().await, 3);
        let runs = store::list::Selection::all(&store::sync_run::COLUMNS);
        let store = &timed.secondary.secondary.node.store;
        let (runs, _total) = store.read(move |conn| store::sync_run::list(conn, &runs)).await.unwrap();
        assert!(runs.iter().all(|run| run.asked_by == "schedule" && run.state == "success"), "{runs:?}");
    }
}

#[tokio::test]
async fn an_expression_is_meant_in_its_zone_and_runs_once_when_the_clocks_change() {
    for timed in Timed::each("an_expression_is_meant_in_its_zone").await {
        let scheduler = timed.scheduler();
        timed.jump("2027-10-30T12:00:00Z");
        let set = timed.put(&json!({ "cron": "30 2 * * *", "zone": "Europe/Berlin" })).await;
        assert_eq!(set["next_run_at"], "2027-10-31T00:30:00Z", "{set}");
        let mut began = Vec::new();
        for hour in 0..40 {
            timed.jump("2027-10-30T12:30:00Z");
            timed.later(Duration::hours(hour));
            if step(&scheduler).await > 0 {
                began.push(timed.now().to_string());
            }
        }
        // Half past two comes twice that night.
        assert_eq!(began, ["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"]);
        // A server that was away: one run, and then the next regular moment.
        timed.jump("2027-11-20T12:00:00Z");
        assert_eq!((step(&scheduler).await, step(&scheduler).await), (1, 0));
        assert_eq!(timed.row().await.next_run_at, at("2027-11-21T01:30:00Z"));
        // With chance it comes later, and not by more.
        let set =
            timed.put(&json!({ "cron": "@daily", "zone": "America/Detroit", "jitter_seconds": 600 })).await;
        let next = at(set["next_run_at"].as_str().unwrap());
        let (least, most) = (at("2027-11-21T05:00:00Z"), at("2027-11-21T05:10:00Z"));
        assert!((least..=most).contains(&next), "{next}");
    }
}

#[tokio::test]
async fn failures_come_less_and_less_often_and_a_success_forgets_them() {
    for timed in Timed::each("failures_come_less_and_less_often").await {
        let scheduler = timed.scheduler();
        timed.put(&json!({ "period_seconds": 86_400 })).await;
        timed.is_away.store(true, Ordering::SeqCst);
        let mut waits = Vec::new();
        for failures in 1..=12 {
            assert_eq!(step(&scheduler).await, 1);
            let row = timed.row().await;
            assert_eq!(row.failures, failures);
            assert!(row.last_error.contains("503"), "{row:?}");
            let wait = row.next_run_at.get() - timed.now().get();
            waits.push(wait.num_seconds());
            timed.later(wait - Duration::seconds(1));
            assert_eq!(step(&scheduler).await, 0);
            timed.later(Duration::seconds(1));
        }
        // A minute, doubled each time up to six hours, and by chance a tenth more.
        for (wait, minutes) in waits.iter().zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]) {
            assert!((minutes * 60..=minutes * 66).contains(wait), "{waits:?}");
        }
        timed.is_away.store(false, Ordering::SeqCst);
        assert_eq!(step(&scheduler).await, 1);
        let row = timed.row().await;
        assert_eq!((row.failures, row.last_error.as_str()), (0, ""));
        assert_eq!(row.next_run_at, timed.now().plus(Duration::days(1)));
        // What trying again does not help is tried less often from the beginning.
        let admin = tests::node::login(&timed.secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let company = format!("/v1/companies/{}", timed.primary.server_id);
        let off = tests::stranger().patch(format!("{}{company}", timed.secondary.url));
        let off = off.bearer_auth(timed.token().await).json(&json!({ "active": false }));
        assert_eq!(off.send().await.unwrap().status(), 200);
        timed.later(Duration::days(1));
        assert_eq!(step(&scheduler).await, 1);
        let row = timed.row().await;
        assert!(row.last_error.contains("inactive") && row.failures == 1, "{row:?}");
        let wait = (row.next_run_at.get() - timed.now().get()).num_seconds();
        assert!((900..=990).contains(&wait), "{wait}");
        drop(admin);
    }
}

#[tokio::test]
async fn a_paused_schedule_waits_a_resumed_one_makes_up_for_nothing_and_a_removed_one_is_gone() {
    for timed in Timed::each("a_paused_schedule_waits").await {
        let scheduler = timed.scheduler();
        timed.put(&json!({ "period_seconds": 3_600, "paused": true })).await;
        timed.later(Duration::days(1));
        assert_eq!(step(&scheduler).await, 0);
        let resumed = timed.call("resume").await;
        assert_eq!(resumed["paused"], false);
        assert_eq!(at(resumed["next_run_at"].as_str().unwrap()), timed.now().plus(Duration::hours(1)));
        timed.later(Duration::hours(1));
        assert_eq!(step(&scheduler).await, 1);
        // Twice is once.
        timed.call("pause").await;
        assert_eq!(timed.call("pause").await["paused"], true);
        timed.later(Duration::hours(5));
        assert_eq!(step(&scheduler).await, 0);
        let admin = tests::node::login(&timed.secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let list: Value = admin.get("/v1/sync/schedules?filter=paused:true").await.unwrap();
        assert_eq!(
            (&list["data"][0]["primary"], &list["paging"]["items_total"]),
            (&json!("Better Brakes"), &json!(1))
        );
        admin.call(reqwest::Method::DELETE, &timed.path()).await.unwrap();
        for missing in [
            admin.call(reqwest::Method::DELETE, &timed.path()).await,
            admin.get::<Value>(&timed.path()).await.map(|_schedule| ()),
            admin.post::<Value>(&format!("{}/pause", timed.path()), &json!({})).await.map(|_schedule| ()),
            admin.post::<Value>(&format!("{}/resume", timed.path()), &json!({})).await.map(|_schedule| ()),
        ] {
            assert!(matches!(&missing, Err(error) if error.is_status(404)), "{missing:?}");
        }
        assert_eq!(timed.runs().await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_one_database_run_a_schedule_once_and_one_that_died_keeps_nothing() {
    for timed in Timed::each("servers_on_one_database").await {
        timed.put(&json!({ "period_seconds": 60 })).await;
        let mut servers = vec![timed.scheduler()];
        for _ in 0..3 {
            let another = timed.secondary.another(Clock::Fixed(Arc::clone(&timed.moment))).await;
            servers.push(Scheduler::new(another));
        }
        for round in 1..=5 {
            let steps = servers.iter().map(step);
            let begun: usize = futures_util::future::join_all(steps).await.into_iter().sum();
            assert_eq!((begun, timed.runs().await), (1, round));
            timed.later(Duration::minutes(1));
        }
        // A server that claims, and dies.
        let (store, now) = (&timed.secondary.secondary.node.store, timed.now());
        let (dead, until) = (shared::clock::Random::System.id(), now.plus(Duration::minutes(1)));
        let claimed = store.write(move |conn| store::schedule::claim(conn, dead, now, until)).await.unwrap();
        assert!(claimed.is_some());
        assert_eq!(step(&servers[1]).await, 0);
        timed.later(Duration::minutes(1));
        assert_eq!(step(&servers[1]).await, 1);
        // Should it come back, it settles nothing.
        let before = timed.row().await;
        let settled = store::schedule::Settled {
            next_run_at: now,
            failures: 9,
            run_id: None,
            error: "late".to_owned(),
        };
        let primary = timed.primary.server_id;
        store.write(move |conn| store::schedule::settle(conn, primary, dead, &settled)).await.unwrap();
        assert_eq!(format!("{:?}", timed.row().await), format!("{before:?}"));
    }
}

#[tokio::test]
async fn a_sync_by_somebody_else_is_no_failure() {
    for timed in Timed::each("a_sync_by_somebody_else").await {
        let scheduler = timed.scheduler();
        timed.put(&json!({ "period_seconds": 86_400 })).await;
        let other = Arc::clone(&timed.secondary.secondary);
        let other = begin(other, timed.primary.server_id, "anna", Progress::silent()).await.unwrap();
        assert_eq!(step(&scheduler).await, 1);
        let row = timed.row().await;
        assert_eq!((row.failures, row.next_run_at), (0, timed.now().plus(Duration::minutes(1))));
        other.finish().await.unwrap();
        timed.later(Duration::minutes(1));
        assert_eq!(step(&scheduler).await, 1);
        assert_eq!(timed.runs().await, 2);
    }
}

#[tokio::test]
async fn no_more_primaries_are_synced_at_a_time_than_the_setting_says() {
    for database in TestDatabase::each("no_more_primaries_are_synced") {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let held = Arc::clone(&gate);
        let stuck = Fake::start(Arc::new(move |_asked: Asked| {
            let held = Arc::clone(&held);
            Box::pin(async move {
                drop(held.acquire().await);
                HttpResponse::ServiceUnavailable().finish()
            })
        }));
        let settings = secondary::Settings { sync_jobs: 2, ..secondary::Settings::default() };
        let secondary = TestSecondary::start_with(database, settings).await;
        for number in 1..=3 {
            let name = format!("Primary {number}");
            let body =
                json!({ "name": name, "sync_addr": format!("{}/{number}", stuck.url), "active": true });
            let company: Value = secondary.admin.post("/v1/companies", &body).await.unwrap();
            let id: Id = company["id"].as_str().unwrap().parse().unwrap();
            let key = shared::crypto::Secret::from("a key");
            secondary::service::partner::store_key(&secondary.secondary, id, &key).await.unwrap();
            let by = shared::node::permission::By::Operator;
            let body = shared::wire::schedule::SetSchedule { period_seconds: Some(60), ..Default::default() };
            secondary::service::schedule::set(&secondary.secondary, by, id, body).await.unwrap();
        }
        let scheduler = Scheduler::new(Arc::clone(&secondary.secondary));
        let begun = scheduler.due().await.unwrap();
        assert_eq!((begun.len(), scheduler.due().await.unwrap().len()), (2, 0));
        gate.add_permits(100);
        for run in begun {
            run.await.unwrap();
        }
        assert_eq!(step(&scheduler).await, 1);
    }
}

#[tokio::test]
async fn what_cannot_be_a_schedule_is_refused_with_the_remedy() {
    let timed = Timed::start(TestDatabase::sqlite()).await;
    for (body, words) in [
        (json!({ "cron": "61 2 * * *" }), "five fields"),
        (json!({ "cron": "@daily", "zone": "Berlin" }), "Europe/Berlin"),
        (json!({ "period_seconds": 10 }), "60 to 31622400"),
        (json!({ "period_seconds": 60, "cron": "@daily" }), "either"),
        (json!({}), "either"),
        (json!({ "period_seconds": 60, "jitter_seconds": 61 }), "0 to 60"),
        (json!({ "cron": "0 0 31 2 *" }), "never comes"),
    ] {
        let refused = timed.put(&body).await;
        assert_eq!(refused["status"], 400, "{body}: {refused}");
        assert!(refused["message"].as_str().unwrap().contains(words), "{body}: {refused}");
    }
    let set = timed.put(&json!({ "period_seconds": 60, "zone": "no zone\u{0}" })).await;
    assert_eq!((&set["status"], &set["zone"]), (&json!(200), &json!("UTC")), "a period has none: {set}");
    timed.call("pause").await;
    let admin = tests::node::login(&timed.secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    admin.call(reqwest::Method::DELETE, &timed.path()).await.unwrap();
    let unknown = tests::stranger()
        .put(format!("{}/v1/sync/schedules/{}", timed.secondary.url, shared::clock::Random::System.id()))
        .bearer_auth(timed.token().await)
        .json(&json!({ "cron": "@daily" }));
    assert_eq!(unknown.send().await.unwrap().status(), 404);
    let none: Result<Value, ClientError> = admin.get(&timed.path()).await;
    assert!(none.is_err_and(|error| error.is_status(404)));
}
