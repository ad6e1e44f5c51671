//! What readers of a secondary see while a sync is under way, and what a run that was overtaken may still do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use bytes::Bytes;
use secondary::sync::{Event, Outcome, Progress, Report};
use serde_json::{Value, json};
use shared::node::Error;
use shared::store;
use shared::wire::Id;
use tests::fake::{Fake, Upstream, passed_on};
use tests::node::all_grains;
use tests::{TestDatabase, TestPrimary, TestSecondary};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::rows_of;

/// A pair whose feeds stop in the middle until they are let through.
struct Slow {
    primary: TestPrimary,
    secondary: TestSecondary,
    slice: Id,
    gate: Arc<Semaphore>,
}

impl Slow {
    /// Three grains, synced; then `a` is gone, `d` and `e` are new, and each is large enough for a batch of its own.
    async fn start(database: TestDatabase) -> Self {
        let primary = TestPrimary::start().await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let slice = primary.add_slice("items", "pies-items", &json!({ "vcdb": "1" }), company).await;
        for key in ["a", "b", "c"] {
            primary.add_grain(slice, key, &format!("{key} of the first version")).await;
        }
        primary.refresh(slice).await;
        let gate = Arc::new(Semaphore::new(0));
        let (upstream, held) = (Upstream::new(&primary.url), Arc::clone(&gate));
        let proxy = Fake::start(Arc::new(move |asked| {
            let (upstream, gate) = (upstream.clone(), Arc::clone(&held));
            Box::pin(async move {
                let (status, body) = upstream.ask(&asked).await;
                if asked.path.ends_with("/feed") && asked.uri.contains("digest=") {
                    in_two(status, &body, gate)
                } else {
                    passed_on(status, body)
                }
            })
        }));
        let secondary = TestSecondary::start_on(database).await;
        secondary.connect(&proxy.url, "companyadmin").await;
        secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
        let slow = Self { primary, secondary, slice, gate };
        slow.remove("a").await;
        for key in ["d", "e"] {
            slow.primary.add_grain(slice, key, &key.repeat(1_200_000)).await;
        }
        slow.primary.refresh(slice).await;
        slow
    }

    async fn remove(&self, key: &str) {
        let grain: Value = self.primary.admin.get(&format!("/v1/grains/{}/{key}", self.slice)).await.unwrap();
        let path = format!("/v1/grains/{}", grain["id"].as_str().unwrap());
        self.primary.admin.call(reqwest::Method::DELETE, &path).await.unwrap();
    }

    /// Publishes the first version's grains again, under the same ids.
    async fn go_back(&self, old: &[Value]) {
        for key in ["d", "e"] {
            self.remove(key).await;
        }
        let a = old.iter().find(|grain| grain["grain_key"] == "a").unwrap();
        let again = json!({
            "id": a["id"], "slice_id": self.slice, "grain_key": "a", "source": a["source"], "encoding": "raw",
            "payload": a["payload"],
        });
        let _grain: Value = self.primary.admin.post("/v1/grains", &again).await.unwrap();
        self.primary.refresh(self.slice).await;
    }

    /// A run that has staged its first grains and waits for the rest of the feed.
    async fn half_a_run(&self) -> JoinHandle<Result<Report, Error>> {
        let (staged, mut in_the_middle) = mpsc::unbounded_channel();
        let progress = Progress::to(move |event| {
            if matches!(event, Event::Staged { grains: 1.., .. }) {
                // Nobody listens any more once the first has been seen.
                let _gone = staged.send(());
            }
        });
        let (secondary, id) = (Arc::clone(&self.secondary.secondary), self.primary.server_id);
        let run = tokio::spawn(secondary::sync::run(secondary, id, progress));
        let reached = tokio::time::timeout(Duration::from_mins(1), in_the_middle.recv()).await;
        assert!(reached.is_ok_and(|event| event.is_some()), "the run never staged anything");
        run
    }

    /// Kills one in the middle.
    async fn kill_a_run(&self) {
        let run = self.half_a_run().await;
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
    }

    /// Lets every second half through, this one and all later ones: a run that was killed may still hold a place.
    fn open(&self) {
        self.gate.add_permits(1_000);
    }

    /// What a reader sees, over HTTP.
    async fn read(&self) -> Vec<Value> {
        all_grains(&self.secondary.admin, self.slice).await
    }
}

/// The first line with a grain and all before it; the rest when `gate` has a place.
fn in_two(status: StatusCode, body: &[u8], gate: Arc<Semaphore>) -> HttpResponse {
    let text = std::str::from_utf8(body).unwrap();
    let first = text.find("{\"grain\"").unwrap();
    let middle = first + text[first..].find('\n').unwrap() + 1;
    let halves = [&text[..middle], &text[middle..]].map(|half| Bytes::from(half.to_owned()));
    let stream = futures_util::stream::unfold((0, halves, gate), |(next, halves, gate)| async move {
        let half = halves.get(next)?.clone();
        if next > 0 {
            gate.acquire().await.unwrap().forget();
        }
        Some((Ok::<_, std::io::Error>(half), (next + 1, halves, gate)))
    });
    HttpResponse::build(status).content_type("application/x-ndjson").streaming(stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_the_whole_old_slice_until_they_see_the_whole_new_one() {
    for database in TestDatabase::each("readers_see_the_whole_old_slice") {
        let slow = Slow::start(database).await;
        let old = slow.read().await;
        assert_eq!(old.len(), 3);
        let run = slow.half_a_run().await;
        let (slices, path) = (&slow.secondary.admin, format!("/v1/slices/{}", slow.slice));
        for _ in 0..5 {
            assert_eq!(slow.read().await, old, "half of the feed has arrived");
            let listed: Value = slices.get("/v1/grains?payload=yes").await.unwrap();
            assert_eq!(listed["paging"]["items_total"], 3);
            let shown: Value = slices.get(&path).await.unwrap();
            assert_eq!((&shown["content_count"], &shown["metadata"]), (&json!(3), &json!({ "vcdb": "1" })));
        }
        let new = all_grains(&slow.primary.admin, slow.slice).await;
        slow.open();
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let ended = run.is_finished();
            let seen = slow.read().await;
            assert!(seen == old || seen == new, "{} grains", seen.len());
            if ended {
                break;
            }
            assert!(Instant::now() < deadline, "the run did not end");
        }
        run.await.unwrap().unwrap().into_result().unwrap();
        assert_eq!(slow.read().await, new);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_overtaken_changes_nothing_any_more() {
    for database in TestDatabase::each("a_run_that_was_overtaken") {
        let slow = Slow::start(database).await;
        let run = slow.half_a_run().await;
        // As after a pause so long that its lock was lost: another run has begun.
        let (id, now) = (slow.primary.server_id, slow.primary.node.clock.now());
        let raise = move |conn: &mut store::Connection| store::partner::raise_fence(conn, id, now);
        slow.secondary.secondary.node.store.write(raise).await.unwrap();
        let before = rows_of(&slow.secondary, slow.slice).await;
        slow.open();
        let report = run.await.unwrap().unwrap();
        assert!(matches!(report.slices[0].outcome, Outcome::Failed { .. }), "{report:?}");
        assert_eq!(rows_of(&slow.secondary, slow.slice).await, before);
        slow.secondary.sync(id).await.unwrap().into_result().unwrap();
        assert_eq!(slow.read().await, all_grains(&slow.primary.admin, slow.slice).await);
    }
}

/// The reference says "nothing to do" here, with the grains gone for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_killed_in_the_middle_costs_nothing_when_the_primary_goes_back_to_what_it_was() {
    for database in TestDatabase::each("a_run_killed_in_the_middle") {
        let slow = Slow::start(database).await;
        let old = slow.read().await;
        slow.kill_a_run().await;
        assert_eq!(slow.read().await, old);
        slow.go_back(&old).await;
        let report = slow.secondary.sync(slow.primary.server_id).await.unwrap().into_result().unwrap();
        assert!(matches!(report.slices[0].outcome, Outcome::Unchanged), "{report:?}");
        assert_eq!(slow.read().await, old, "nothing to do, and nothing missing");
        // And on from there: what the killed run left is in nobody's way.
        slow.primary.add_grain(slow.slice, "d", "d at last").await;
        slow.remove("a").await;
        slow.primary.refresh(slow.slice).await;
        slow.open();
        slow.secondary.sync(slow.primary.server_id).await.unwrap().into_result().unwrap();
        assert_eq!(slow.read().await, all_grains(&slow.primary.admin, slow.slice).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_run_has_staged_is_no_part_of_the_next_version() {
    for database in TestDatabase::each("what_a_killed_run_has_staged") {
        let slow = Slow::start(database).await;
        slow.kill_a_run().await;
        // What it staged first was withdrawn meanwhile.
        slow.remove("d").await;
        slow.primary.add_grain(slow.slice, "f", "f at last").await;
        slow.primary.refresh(slow.slice).await;
        slow.open();
        slow.secondary.sync(slow.primary.server_id).await.unwrap().into_result().unwrap();
        assert_eq!(slow.read().await, all_grains(&slow.primary.admin, slow.slice).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slice_that_is_found_equal_after_a_killed_run_does_not_stay_updating() {
    for database in TestDatabase::each("a_slice_that_is_found_equal") {
        let slow = Slow::start(database).await;
        slow.kill_a_run().await;
        slow.go_back(&slow.read().await).await;
        slow.secondary.sync(slow.primary.server_id).await.unwrap().into_result().unwrap();
        let shown: Value = slow.secondary.admin.get(&format!("/v1/slices/{}", slow.slice)).await.unwrap();
        assert_eq!(shown["sync_status"], "success");
    }
}
