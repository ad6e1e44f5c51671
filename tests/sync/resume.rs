//! A sync that is cut off goes on where it was, and long payloads travel in pieces.

use std::sync::{Arc, Mutex};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use bytes::Bytes;
use secondary::sync::Report;
use serde_json::{Value, json};
use shared::crypto::content_digest::content_digest;
use shared::crypto::set_hash::grain_digest;
use shared::node::Error;
use shared::store::{self, StoreError};
use shared::wire::Id;
use tests::fake::{Asked, Fake, Upstream};
use tests::node::published_grains;
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::change;

const MIB: usize = 1024 * 1024;

/// What happens to an answer.
type Fault = Box<dyn Fn(&Asked, &mut Vec<u8>) -> Fate + Send>;

#[derive(Clone, Copy)]
enum Fate {
    /// It passes.
    Pass,
    /// It ends after so many bytes.
    Cut(usize),
    /// The server is said to be busy.
    Busy,
}

/// A pair with somebody between the two.
struct Apart {
    primary: TestPrimary,
    secondary: TestSecondary,
    between: Fake,
    fault: Arc<Mutex<Fault>>,
    slice: Id,
}

impl Apart {
    async fn start(first: TestDatabase, second: TestDatabase) -> Self {
        let primary = TestPrimary::start_on(first, None).await;
        let secondary = TestSecondary::start_on(second).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let slice = primary.add_slice("items", "pies-items", &json!({ "a": "b" }), company).await;
        let fault: Arc<Mutex<Fault>> = Arc::new(Mutex::new(Box::new(|_asked, _body| Fate::Pass)));
        let (upstream, shared) = (Upstream::new(&primary.url), Arc::clone(&fault));
        let between = Fake::start(Arc::new(move |asked| {
            let (upstream, fault) = (upstream.clone(), Arc::clone(&shared));
            Box::pin(async move {
                let (status, mut body) = upstream.ask(&asked).await;
                let digest = content_digest(&body);
                let fate = fault.lock().unwrap()(&asked, &mut body);
                answer(fate, status, body, digest)
            })
        }));
        secondary.connect(&between.url, "companyadmin").await;
        Self { primary, secondary, between, fault, slice }
    }

    async fn each(test: &str) -> Vec<Self> {
        let mut all = vec![Self::start(TestDatabase::sqlite(), TestDatabase::sqlite()).await];
        if let (Some(first), Some(second)) = (TestDatabase::postgres(test), TestDatabase::postgres(test)) {
            all.push(Self::start(first, second).await);
        }
        all
    }

    fn happen(&self, fault: impl Fn(&Asked, &mut Vec<u8>) -> Fate + Send + 'static) {
        *self.fault.lock().unwrap() = Box::new(fault);
    }

    /// From now on everything passes.
    fn heal(&self) {
        self.happen(|_asked, _body| Fate::Pass);
    }

    async fn sync(&self) -> Result<Report, Error> {
        self.secondary.sync(self.primary.server_id).await.and_then(Report::into_result)
    }

    /// Requests whose path ends so, since the last time that somebody asked.
    fn asked(&self, end: &str) -> Vec<String> {
        let mut seen = self.between.seen.lock().unwrap();
        let all = std::mem::take(&mut *seen);
        all.into_iter().filter(|asked| asked.path.ends_with(end)).map(|asked| asked.uri).collect()
    }

    async fn is_equal(&self) -> bool {
        let ours = published_grains(&self.primary.node.store, self.slice).await;
        ours == published_grains(&self.secondary.secondary.node.store, self.slice).await
    }

    /// Puts grains into the draft and publishes it.
    async fn publish(&self, count: usize, bytes: usize) {
        let (slice, now) = (self.slice, self.primary.node.clock.now());
        let store = &self.primary.node.store;
        store
            .write(move |conn| -> Result<(), StoreError> {
                let draft = store::slice::find(conn, slice)?.unwrap().current_version + 1;
                let grains: Vec<_> = (0..count)
                    .map(|number| {
                        let id = shared::clock::Random::System.id();
                        let key = format!("{draft}-{number}");
                        let payload = format!("{number:0>bytes$}");
                        store::grain::NewGrain {
                            slice_id: slice,
                            id,
                            digest: grain_digest(id, &key, "raw", "test", &payload).to_vec(),
                            grain_key: key,
                            source: "test".to_owned(),
                            encoding: "raw".to_owned(),
                            payload,
                            added_in: draft,
                            created_at: now,
                        }
                    })
                    .collect();
                store::grain::insert(conn, &grains)
            })
            .await
            .unwrap();
        self.primary.refresh(slice).await;
    }

    /// Adds one grain with a payload of `bytes` bytes, whose characters have two each, and publishes.
    async fn publish_long(&self, key: &str, bytes: usize) {
        // Characters lie across the borders of pieces.
        let payload = format!("x{}", "ü".repeat(bytes / 2));
        self.primary.add_grain(self.slice, key, &payload).await;
        self.primary.refresh(self.slice).await;
    }
}

fn answer(fate: Fate, status: StatusCode, body: Vec<u8>, digest: String) -> HttpResponse {
    match fate {
        Fate::Pass => HttpResponse::build(status).insert_header(("content-digest", digest)).body(body),
        Fate::Cut(bytes) => {
            let begin = Bytes::from(body).slice(..bytes);
            let chunks = [Ok(begin), Err(std::io::Error::other("cut"))];
            HttpResponse::build(status).streaming(futures_util::stream::iter(chunks))
        }
        Fate::Busy => HttpResponse::ServiceUnavailable().finish(),
    }
}

fn is_feed(asked: &Asked) -> bool {
    asked.path.ends_with("/feed")
}

#[tokio::test]
async fn a_first_load_and_a_delta_that_break_off_go_on_where_they_were() {
    for pair in Apart::each("a_first_load_and_a_delta").await {
        for (round, count) in [(1, 3_000), (2, 4_000)] {
            pair.publish(count, 2_048).await;
            pair.happen(
                |asked, body| if is_feed(asked) { Fate::Cut(body.len() * 2 / 3) } else { Fate::Pass },
            );
            let error = pair.sync().await.unwrap_err();
            assert!(error.to_string().contains("cannot be reached"), "{error}");
            assert!(pair.asked("/feed").iter().all(|uri| !uri.contains("after=")), "{round}");
            pair.heal();
            let moved = change(&pair.sync().await.unwrap());
            let feeds = pair.asked("/feed");
            assert!(feeds.len() == 1 && feeds[0].contains("after="), "{round}: {feeds:?}");
            let most = i64::try_from(count / 2).unwrap();
            assert!((1..most).contains(&moved.grains_added), "{round}: {moved:?}");
            assert!(pair.is_equal().await, "{round}");
        }
    }
}

#[tokio::test]
async fn a_long_payload_travels_in_pieces_and_goes_on_at_the_piece_where_it_was_cut_off() {
    for pair in Apart::each("a_long_payload_travels").await {
        pair.publish_long("long", 4 * MIB + 100).await;
        pair.happen(
            |asked, _body| if asked.uri.ends_with("offset=2097152") { Fate::Busy } else { Fate::Pass },
        );
        let error = pair.sync().await.unwrap_err();
        assert!(error.is_temporary() || matches!(error, Error::SlicesFailed(_)), "{error}");
        pair.heal();
        drop(pair.asked(""));
        pair.sync().await.unwrap();
        let mut offsets: Vec<String> = pair
            .asked("/payload")
            .iter()
            .map(|uri| uri.split("offset=").nth(1).unwrap().to_owned())
            .collect();
        // Several are on their way at the same time.
        offsets.sort_unstable();
        assert_eq!(offsets, ["2097152", "3145728", "4194304"]);
        assert!(pair.is_equal().await);
        let path = format!("/v1/grains/{}/long", pair.slice);
        let (ours, theirs): (Value, Value) =
            (pair.primary.admin.get(&path).await.unwrap(), pair.secondary.admin.get(&path).await.unwrap());
        assert_eq!(ours["payload_len"], theirs["payload_len"]);
        assert_eq!(ours["payload_len"], 1 + 2 * MIB + 50, "characters, not bytes");
    }
}

#[tokio::test]
async fn a_long_payload_that_is_gone_on_with_survives_the_next_long_one() {
    for pair in Apart::each("a_long_payload_that_is_gone_on_with").await {
        for key in ["one", "two", "three"] {
            pair.primary.add_grain(pair.slice, key, &key.repeat(MIB)).await;
        }
        pair.primary.refresh(pair.slice).await;
        pair.happen(
            |asked, _body| if asked.uri.ends_with("offset=2097152") { Fate::Busy } else { Fate::Pass },
        );
        pair.sync().await.unwrap_err();
        pair.heal();
        pair.sync().await.unwrap();
        assert!(pair.is_equal().await);
    }
}

#[tokio::test]
async fn a_piece_that_arrives_damaged_is_asked_for_again_and_a_payload_that_stays_so_is_refused_by_name() {
    for pair in Apart::each("a_piece_that_arrives_damaged").await {
        pair.publish(10, 100).await;
        pair.sync().await.unwrap();
        let before = published_grains(&pair.secondary.secondary.node.store, pair.slice).await;
        pair.publish_long("long", 2 * MIB).await;
        let always = |asked: &Asked, body: &mut Vec<u8>| {
            if asked.uri.ends_with("offset=1048576") {
                body[1_000] ^= 1;
            }
            Fate::Pass
        };
        pair.happen(always);
        let long: Value =
            pair.primary.admin.get(&format!("/v1/grains/{}/long?payload=no", pair.slice)).await.unwrap();
        let error = pair.sync().await.unwrap_err().to_string();
        assert!(error.contains(long["id"].as_str().unwrap()) && error.contains("damaged"), "{error}");
        assert_eq!(published_grains(&pair.secondary.secondary.node.store, pair.slice).await, before);
        let once = Mutex::new(true);
        pair.happen(move |asked, body| {
            if asked.uri.ends_with("offset=1048576") && std::mem::take(&mut *once.lock().unwrap()) {
                body[1_000] ^= 1;
            }
            Fate::Pass
        });
        pair.sync().await.unwrap();
        assert!(pair.is_equal().await);
    }
}

#[tokio::test]
async fn a_comparison_by_ids_that_breaks_off_asks_only_for_what_is_still_missing() {
    for pair in Apart::each("a_comparison_by_ids").await {
        pair.publish(20, 100).await;
        pair.sync().await.unwrap();
        // The version there is of another life of the primary: nobody knows the way from it.
        let (slice, other) = (pair.slice, shared::clock::Random::System.id());
        pair.secondary
            .secondary
            .node
            .store
            .write(move |conn| store::version::set_source(conn, slice, 1, (other, 7), None))
            .await
            .unwrap();
        pair.publish(4_000, 2_048).await;
        pair.publish_long("long", 3 * MIB).await;
        pair.happen(|asked, body| {
            if asked.path.ends_with("/grains") { Fate::Cut(body.len() * 9 / 10) } else { Fate::Pass }
        });
        pair.sync().await.unwrap_err();
        let wanted = |asked: &Asked| {
            let body: Value = serde_json::from_slice(&asked.body).unwrap();
            body["ids"].as_array().unwrap().len()
        };
        drop(pair.asked(""));
        pair.heal();
        pair.sync().await.unwrap();
        let asked: usize = {
            let seen = pair.between.seen.lock().unwrap();
            seen.iter().filter(|asked| asked.path.ends_with("/grains")).map(wanted).sum()
        };
        assert!((1..4_000).contains(&asked), "{asked}");
        assert!(pair.is_equal().await);
    }
}

#[tokio::test]
async fn what_the_primary_cannot_go_on_with_is_begun_anew() {
    for pair in Apart::each("what_the_primary_cannot_go_on_with").await {
        pair.publish(3_000, 2_048).await;
        pair.happen(|asked, body| if is_feed(asked) { Fate::Cut(body.len() * 2 / 3) } else { Fate::Pass });
        pair.sync().await.unwrap_err();
        pair.happen(|asked, body| {
            if asked.uri.contains("after=") {
                *body = br#"{"message":"gone"}"#.to_vec();
                return Fate::Busy;
            }
            Fate::Pass
        });
        // Busy is no reason: the next run tries again.
        pair.sync().await.unwrap_err();
        // A version that is not there is one.
        let slice = pair.slice;
        pair.secondary
            .secondary
            .node
            .store
            .write(move |conn| -> Result<(), StoreError> {
                let mut row = store::stage::find(conn, slice)?.expect("a stage to go on with");
                row.source_version = 99;
                store::stage::begin(conn, &row)
            })
            .await
            .unwrap();
        pair.heal();
        drop(pair.asked(""));
        assert_eq!(change(&pair.sync().await.unwrap()).grains_added, 3_000);
        let feeds = pair.asked("/feed");
        assert!(feeds.len() == 2 && feeds[0].contains("after=") && !feeds[1].contains("after="), "{feeds:?}");
        assert!(pair.is_equal().await);
    }
}
