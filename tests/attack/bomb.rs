//! Small answers that unpack to gigabytes, against a real process, whose memory the system counts.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use bytes::Bytes;
use serde_json::{Value, json};
use shared::crypto::set_hash::grain_digest;
use tests::fake::{Asked, Fake, Script, json as answer};
use tests::seed::say;

use super::Caller;
use super::process::{PASSWORD, Secondary};

const PRIMARY: &str = "10000000-0000-4000-8000-000000000001";
const SLICE: &str = "2c000000-0000-4000-8000-000000000001";
const MIB: usize = 1024 * 1024;
/// What a bomb unpacks to.
const BOMB: usize = 4 * 1024 * MIB;
/// What a secondary may need for whatever one answer holds, in MiB, above what it needs when it rests.
const BOUND: u64 = 64;
/// How long it may look at it.
const DEADLINE: Duration = Duration::from_secs(5);
/// Of subscriptions, which are two hundred times as many as there may be.
const SUBSCRIPTIONS: usize = 10_000_000;
/// Levels of JSON.
const LEVELS: usize = 1_000_000;

/// An answer made of little: how it begins, what it repeats up to `size`, and how it ends.
struct Bomb {
    target: &'static str,
    head: String,
    again: String,
    size: usize,
    tail: String,
}

type Plan = Arc<Mutex<Arc<Bomb>>>;

impl Bomb {
    /// Text without an end.
    fn endless(target: &'static str, head: &str, again: &str) -> Arc<Self> {
        Self::whole(target, head, again, BOMB, "")
    }

    /// A document that is well-formed to its last byte.
    fn whole(target: &'static str, head: &str, again: &str, size: usize, tail: &str) -> Arc<Self> {
        Arc::new(Self { target, head: head.to_owned(), again: again.to_owned(), size, tail: tail.to_owned() })
    }

    fn answer(&self) -> HttpResponse {
        let block = Bytes::from(self.again.repeat((MIB / self.again.len()).max(1)));
        let blocks = self.size.div_ceil(block.len());
        let head = [Bytes::from(self.head.clone())].into_iter();
        let pieces = head.chain(std::iter::repeat_n(block, blocks)).chain([Bytes::from(self.tail.clone())]);
        let pieces = pieces.map(Ok::<_, std::io::Error>);
        HttpResponse::Ok().content_type("application/json").streaming(futures_util::stream::iter(pieces))
    }
}

fn subscription() -> Value {
    let digest = "0".repeat(64);
    json!({
        "id": "50000000-0000-4000-8000-000000000001", "slice_id": SLICE, "company_id": PRIMARY, "name": "sub",
        "active": true, "slice": {
            "id": SLICE, "slice_name": "items", "slice_type": "pies-items", "allow_sync": true, "content_count": 5,
            "content_hash": "", "version": { "epoch": PRIMARY, "number": 3, "digest": digest },
            "sync_status": "none", "content_date": "2026-01-01T00:00:00Z",
            "last_sync_attempt": "0001-01-01T00:00:00Z", "last_good_sync": "0001-01-01T00:00:00Z",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        },
    })
}

fn header() -> String {
    header_of(5, 1 << 38)
}

fn header_of(count: i64, payload_bytes: i64) -> String {
    json!({
        "mode": "full", "slice_id": SLICE, "epoch": PRIMARY, "version": 3, "digest": "0".repeat(64), "count": count,
        "payload_bytes": payload_bytes, "content_hash": "", "ids_hash": "", "metadata": [],
    })
    .to_string()
}

/// A good grain, as a line.
fn grain_line() -> String {
    let (id, key, payload) = (shared::clock::Random::System.id(), "part", "x".repeat(1_000));
    let digest = data_encoding::HEXLOWER.encode(&grain_digest(id, key, "raw", "", &payload));
    let grain = json!({
        "id": id, "grain_key": key, "source": "", "encoding": "raw", "digest": digest, "payload": payload,
    });
    format!("{}\n", json!({ "grain": grain }))
}

fn honest(asked: &Asked) -> HttpResponse {
    let body = match asked.path.as_str() {
        "/login" => json!({ "token": "t", "expires": "2099-01-01T00:00:00Z", "refresh_token": "r" }),
        "/server" => json!({ "server-id": PRIMARY, "server-role": "primary", "features": ["sync-2"] }),
        "/v1/sync/subs" => json!([subscription()]),
        _ => return HttpResponse::NotFound().finish(),
    };
    answer(StatusCode::OK, body.to_string())
}

fn script(plan: Plan) -> Script {
    Arc::new(move |asked| {
        let bomb = Arc::clone(&plan.lock().unwrap());
        Box::pin(
            async move { if asked.path.ends_with(bomb.target) { bomb.answer() } else { honest(&asked) } },
        )
    })
}

fn endless() -> Vec<Arc<Bomb>> {
    let header = header();
    let subscription = subscription();
    let grain = format!("{header}\n{{\"grain\":{{\"payload\":\"");
    vec![
        Bomb::endless("/login", "{\"token\":\"", "a"),
        Bomb::endless("/login", "[", "["),
        Bomb::endless("/server", "{\"server-id\":\"", " "),
        Bomb::endless("/v1/sync/subs", "[{\"name\":\"", "a"),
        Bomb::endless("/v1/sync/subs", "[", &format!("{subscription},")),
        // A line without an end, as the header and as a grain; and lines without an end.
        Bomb::endless("/feed", "", "a"),
        Bomb::endless("/feed", &grain, "a"),
        Bomb::endless("/feed", &format!("{header}\n"), "{\"remove\":\"x\"}\n"),
        Bomb::endless("/feed", &format!("{header}\n"), "\n"),
    ]
}

/// Well-formed to the last byte, and many times larger as objects than as text.
fn well_formed() -> Vec<Arc<Bomb>> {
    let id = PRIMARY;
    let least = format!("{{\"id\":\"{id}\",\"slice_id\":\"{id}\",\"company_id\":\"{id}\"}}");
    let header = header();
    let (before, behind) = header.split_once("\"metadata\":[").unwrap();
    let (before, pair) = (format!("{before}\"metadata\":["), "{\"key\":\"k\",\"val\":\"v\"}");
    vec![
        Bomb::whole("/v1/sync/subs", "[", &format!("{least},"), 250 * MIB, &format!("{least}]")),
        Bomb::whole("/feed", &before, &format!("{pair},"), 130 * MIB, &format!("{pair}{behind}\n\"end\"\n")),
    ]
}

/// Objects in objects, a million deep, wherever an answer is read.
fn deep() -> Vec<Arc<Bomb>> {
    let header = header();
    let nested = |target, head: &str, again: &str| Bomb::whole(target, head, again, LEVELS * again.len(), "");
    let mut all = Vec::new();
    for again in ["[", "{\"a\":"] {
        all.push(nested("/login", "", again));
        all.push(nested("/login", "{\"token\":\"t\",\"more\":", again));
        all.push(nested("/server", "{\"features\":", again));
        all.push(nested("/v1/sync/subs", "", again));
        all.push(nested("/v1/sync/subs", "[{\"more\":", again));
        all.push(nested("/feed", "", again));
        all.push(nested("/feed", "{\"metadata\":", again));
        all.push(nested("/feed", &format!("{header}\n"), again));
        all.push(nested("/feed", &format!("{header}\n{{\"grain\":"), again));
    }
    all
}

/// Each is small and good, but there are ten million of them.
fn many() -> Vec<Arc<Bomb>> {
    let subscription = subscription().to_string();
    let id = PRIMARY;
    let least = format!("{{\"id\":\"{id}\",\"slice_id\":\"{id}\",\"company_id\":\"{id}\"}}");
    [subscription, least]
        .into_iter()
        .map(|one| {
            let size = SUBSCRIPTIONS * (one.len() + 1);
            Bomb::whole("/v1/sync/subs", "[", &format!("{one},"), size, &format!("{one}]"))
        })
        .collect()
}

/// Good lines without an end, and a header that allows for all of them.
fn unlimited() -> Vec<Arc<Bomb>> {
    let line = grain_line();
    [(i64::MAX, i64::MAX), (i64::MAX, 1 << 30), (5, i64::MAX)]
        .into_iter()
        .map(|(count, bytes)| Bomb::endless("/feed", &format!("{}\n", header_of(count, bytes)), &line))
        .collect()
}

/// Lets a real secondary sync with each; it must refuse, within its bound of memory.
async fn survives(bombs: &[Arc<Bomb>], codings: &[&'static str]) {
    let secondary = tokio::task::spawn_blocking(Secondary::new).await.unwrap();
    let server = secondary.serve();
    let admin = Caller::password(&server.url, "admin", PASSWORD).await;
    let plan: Plan = Arc::new(Mutex::new(Arc::clone(&bombs[0])));
    let company =
        json!({ "id": PRIMARY, "name": "Evil Brakes", "sync_addr": "http://127.0.0.1:1", "active": true });
    assert_eq!(admin.call("POST", "/v1/companies", Some(company)).await.0, 201);
    let path = format!("/v1/companies/{PRIMARY}");
    for coding in codings {
        let fake = Fake::start_with(script(Arc::clone(&plan)), coding);
        let change = json!({ "sync_addr": fake.url, "sync_api_key": "aabbccdd" });
        assert_eq!(admin.call("PATCH", &path, Some(change)).await.0, 200);
        for (number, bomb) in bombs.iter().enumerate() {
            *plan.lock().unwrap() = Arc::clone(bomb);
            server.forget_peak();
            let idle = server.peak_mib();
            let start = Instant::now();
            let (status, body) = admin.call("POST", &format!("/v1/sync/{PRIMARY}"), None).await;
            let (took, above) = (start.elapsed(), server.peak_mib().saturating_sub(idle));
            let what = format!("{coding} {} {number}: {} ms, {above} MiB", bomb.target, took.as_millis());
            say(&what);
            assert_eq!(status, 502, "{what}: {body}");
            assert!(above < BOUND && took < DEADLINE, "{what}: {body}");
            let seen = std::mem::take(&mut *fake.seen.lock().unwrap());
            assert!(
                seen.iter().any(|asked| asked.path.ends_with(bomb.target)),
                "the bomb {number} was never asked for"
            );
        }
    }
    // Still at work.
    assert_eq!(admin.get("/server").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_unpacks_to_gigabytes_is_refused_and_costs_bounded_memory() {
    survives(&endless(), &["gzip", "zstd"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_well_formed_answer_costs_no_more_than_a_broken_one() {
    survives(&well_formed(), &["gzip"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_a_million_levels_deep_is_refused_wherever_it_is_read() {
    survives(&deep(), &["identity", "gzip", "zstd"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_million_subscriptions_are_refused_at_the_first_that_is_too_many() {
    survives(&many(), &["identity", "zstd"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_announces_more_than_any_slice_has_is_refused_at_its_header() {
    survives(&unlimited(), &["identity", "gzip", "zstd"]).await;
}
