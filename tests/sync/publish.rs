//! Publishing in one call: a file or a set of changes, streamed, whole or not at all, and what receivers get of it.

use bytes::Bytes;
use reqwest::Body;
use serde_json::{Value, json};
use shared::clock::Random;
use shared::node::Node;
use shared::payload::{Encoding, MAX_UNPACKED_BYTES};
use shared::store;
use shared::wire::Id;
use shared::wire::publication::NDJSON;
use tests::node::{ADMIN, published_grains};
use tests::{Pair, TestPrimary, wait_until};
use tokio::sync::mpsc;

use super::{change, pairs};

/// Staff of a primary with a client that streams.
struct Publisher {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Publisher {
    async fn of(primary: &TestPrimary) -> Self {
        let http = tests::stranger();
        let body = json!({ "username": ADMIN.0, "password": ADMIN.1 });
        let answer = http.post(format!("{}/login", primary.url)).json(&body).send().await.unwrap();
        let login: Value = answer.json().await.unwrap();
        Self { http, url: primary.url.clone(), token: login["token"].as_str().unwrap().to_owned() }
    }

    async fn publish(&self, path: &str, kind: &str, body: impl Into<Body>) -> (u16, Value) {
        let request = self.http.post(format!("{}/v1/slices/{path}", self.url)).header("content-type", kind);
        let answer = request.bearer_auth(&self.token).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn file(&self, slice: Id, source: &str, content: Vec<u8>) -> Value {
        let (status, answer) =
            self.publish(&format!("{slice}/publish?source={source}"), "application/xml", content).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn changes(&self, slice: Id, mode: &str, lines: &[Value]) -> (u16, Value) {
        self.publish(&format!("{slice}/publish?mode={mode}"), NDJSON, ndjson(lines)).await
    }
}

fn ndjson(lines: &[Value]) -> String {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    // The last line has no end: many writers leave it out.
    lines.join("\n")
}

fn noise(mib: usize) -> Vec<u8> {
    (0..mib * 1024 * 32).flat_map(|_| Random::System.bytes::<32>()).collect()
}

/// The one file of a slice, unpacked.
async fn content(node: &Node, slice: Id) -> (String, Vec<u8>) {
    let (row, text) = node
        .store
        .read(move |conn| -> Result<_, store::StoreError> {
            let version = store::slice::find(conn, slice)?.unwrap().current_version;
            let row = store::grain::page(conn, slice, version, None, 2)?.pop().unwrap();
            let text = store::payload::of_row(conn, &row)?;
            Ok((row, text))
        })
        .await
        .unwrap();
    let encoding: Encoding = row.encoding.parse().unwrap();
    (row.source, encoding.decode(&text, MAX_UNPACKED_BYTES).unwrap())
}

fn put(key: &str, payload: &str) -> Value {
    json!({ "put": { "grain_key": key, "source": "s", "encoding": "raw", "payload": payload } })
}

fn keys(grains: &[Value]) -> Vec<(String, String)> {
    let text = |grain: &Value, name: &str| grain[name].as_str().unwrap().to_owned();
    let mut keys: Vec<_> =
        grains.iter().map(|grain| (text(grain, "grain_key"), text(grain, "payload"))).collect();
    keys.sort();
    keys
}

async fn keys_of(pair: &Pair, slice: Id) -> Vec<(String, String)> {
    keys(&published_grains(&pair.primary.node.store, slice).await)
}

#[tokio::test]
async fn a_file_of_any_size_becomes_the_whole_content_and_the_same_bytes_again_change_nothing() {
    for pair in pairs("a_file_of_any_size").await {
        let publisher = Publisher::of(&pair.primary).await;
        let slice = pair.primary.add_slice("file", "pies-file", &json!({ "k": "v" }), pair.company).await;
        for (version, content_now) in
            [(1, noise(5)), (2, b"<PIES/>".to_vec()), (3, Vec::new()), (4, noise(3))]
        {
            let answer = publisher.file(slice, "a.xml", content_now.clone()).await;
            assert_eq!(
                (&answer["version"], &answer["changed"], &answer["content_count"]),
                (&json!(version), &json!(true), &json!(1)),
                "{answer}"
            );
            let again = publisher.file(slice, "a.xml", content_now.clone()).await;
            assert_eq!((&again["version"], &again["changed"]), (&json!(version), &json!(false)), "{again}");
            assert_eq!(content(&pair.primary.node, slice).await, ("a.xml".to_owned(), content_now.clone()));
            pair.sync().await;
            let received = content(&pair.secondary.secondary.node, slice).await;
            assert_eq!(received, ("a.xml".to_owned(), content_now));
        }
        // Another compressor's text of the same file is the same file; another name is another file.
        let last = content(&pair.primary.node, slice).await.1;
        let renamed = publisher.file(slice, "b.xml", last).await;
        assert_eq!((&renamed["version"], &renamed["changed"]), (&json!(5), &json!(true)));
        let shown: Value = pair.primary.admin.get(&format!("/v1/slices/{slice}")).await.unwrap();
        assert_eq!(shown["metadata"], json!({ "k": "v" }), "given when it was made");
        let (status, refused) = publisher.publish(&format!("{slice}/publish"), "text/xml", "<a/>").await;
        assert!(status == 400 && refused.to_string().contains("?source="), "{refused}");
    }
}

#[tokio::test]
async fn a_set_of_changes_is_applied_in_order_and_says_what_it_came_to() {
    for pair in pairs("a_set_of_changes").await {
        let publisher = Publisher::of(&pair.primary).await;
        let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        let first = [put("A", "1"), put("b", "2"), put("c", "3"), json!({ "metadata": { "k": "1" } })];
        let (status, answer) = publisher.changes(slice, "change", &first).await;
        assert_eq!((status, &answer["version"], &answer["changes"]["added"]), (200, &json!(1), &json!(3)));
        pair.sync().await;
        let ids = published_grains(&pair.primary.node.store, slice).await;
        // `c` is the same, and keeps its id; `b` goes and comes back as something else; `x` never was.
        let second = [
            put("c", "3"),
            put("a", "new"),
            json!({ "delete": "B" }),
            put("b", "back"),
            json!({ "delete": "x" }),
        ];
        let (status, answer) = publisher.changes(slice, "change", &second).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            answer["changes"],
            json!({ "added": 1, "replaced": 1, "removed": 1, "unchanged": 1, "missing": 1 })
        );
        let expected = [("a", "new"), ("b", "back"), ("c", "3")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(keys_of(&pair, slice).await, expected);
        let now = published_grains(&pair.primary.node.store, slice).await;
        let c = |grains: &[Value]| grains.iter().find(|grain| grain["grain_key"] == "c").cloned();
        assert_eq!(c(&now), c(&ids));
        let moved = change(&pair.sync().await);
        assert_eq!((moved.grains_added, moved.grains_removed), (2, 2));
        // The same once more changes nothing but the order of deleting and putting.
        let (_status, answer) = publisher.changes(slice, "change", &[put("c", "3"), put("a", "new")]).await;
        assert_eq!((&answer["changed"], &answer["version"]), (&json!(false), &json!(2)), "{answer}");
        // What is not named goes.
        let (_status, answer) = publisher.changes(slice, "replace", &[put("c", "3"), put("d", "4")]).await;
        assert_eq!(
            answer["changes"],
            json!({ "added": 1, "replaced": 0, "removed": 2, "unchanged": 1, "missing": 0 }),
            "{answer}"
        );
        assert_eq!(keys_of(&pair, slice).await.len(), 2);
        let shown: Value = pair.primary.admin.get(&format!("/v1/slices/{slice}")).await.unwrap();
        assert_eq!(shown["metadata"], json!({ "k": "1" }), "nothing was said of them");
        pair.sync().await;
        let ours = published_grains(&pair.secondary.secondary.node.store, slice).await;
        assert_eq!(ours, published_grains(&pair.primary.node.store, slice).await);
        let (_status, empty) = publisher.changes(slice, "replace", &[]).await;
        assert_eq!((&empty["content_count"], &empty["changes"]["removed"]), (&json!(0), &json!(2)));
    }
}

#[tokio::test]
async fn a_large_set_of_changes_in_many_batches_is_one_version() {
    for pair in pairs("a_large_set_of_changes").await {
        let publisher = Publisher::of(&pair.primary).await;
        let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        let lines: Vec<Value> = (0..3_000).map(|n| put(&format!("part-{n}"), &"x".repeat(1_000))).collect();
        let (status, answer) = publisher.changes(slice, "replace", &lines).await;
        assert_eq!((status, &answer["version"], &answer["content_count"]), (200, &json!(1), &json!(3_000)));
        // A key that is named again and again, within a batch and beyond: the last one counts.
        let lines: Vec<Value> = (0..1_200).map(|n| put(&format!("part-{}", n % 7), &n.to_string())).collect();
        let (status, answer) = publisher.changes(slice, "change", &lines).await;
        assert_eq!((status, &answer["version"], &answer["content_count"]), (200, &json!(2), &json!(3_000)));
        let now = keys_of(&pair, slice).await;
        for (key, value) in
            (0..7).map(|n| (format!("part-{n}"), (1_193..1_200).find(|m| m % 7 == n).unwrap()))
        {
            assert!(now.contains(&(key.clone(), value.to_string())), "{key}");
        }
        pair.sync().await;
        let ours = published_grains(&pair.secondary.secondary.node.store, slice).await;
        assert_eq!(keys(&ours), now);
    }
}

#[tokio::test]
async fn a_set_with_a_wrong_line_is_refused_by_its_number_and_changes_nothing() {
    for pair in pairs("a_set_with_a_wrong_line").await {
        let publisher = Publisher::of(&pair.primary).await;
        let slice = pair.primary.add_slice("items", "pies-items", &json!({ "k": "v" }), pair.company).await;
        publisher.changes(slice, "change", &[put("a", "1")]).await;
        let before = published_grains(&pair.primary.node.store, slice).await;
        let other = before[0]["id"].clone();
        let many: Vec<Value> = (0..700).map(|n| put(&format!("part-{n}"), "x")).collect();
        let nul = "\u{0}";
        for (wrong, says) in [
            (
                json!({ "put": { "grain_key": "k", "encoding": "zip", "payload": "x" } }),
                "unknown payload encoding",
            ),
            (json!({ "put": { "grain_key": "", "encoding": "raw", "payload": "x" } }), "empty"),
            (json!({ "put": { "grain_key": "k", "encoding": "z64", "payload": "!!" } }), "base64"),
            (put("k", nul), "NUL"),
            (put(&"k".repeat(3_000), "x"), "bytes"),
            (put("k", &"x".repeat(1024 * 1024 + 1)), "as a file"),
            (json!({ "remove": "k" }), "no change"),
            (
                json!({ "put": { "grain_key": "k", "encoding": "raw", "payload": "x", "colour": "red" } }),
                "colour",
            ),
            (json!({ "put": { "grain_key": "k", "id": other, "encoding": "raw", "payload": "x" } }), "id"),
            (json!("words"), "no change"),
        ] {
            let lines = [many.clone(), vec![wrong]].concat();
            let (status, answer) = publisher.changes(slice, "change", &lines).await;
            let text = answer["message"].to_string();
            assert!(matches!(status, 400 | 409), "{status} {text}");
            assert!(text.contains("line 701") && text.contains(says), "{says}: {text}");
            assert!(text.contains("nothing was published"), "{text}");
            assert_eq!(published_grains(&pair.primary.node.store, slice).await, before);
        }
        // The draft is empty, too.
        pair.primary.refresh(slice).await;
        assert_eq!(published_grains(&pair.primary.node.store, slice).await, before);
        let (status, answer) = publisher.changes(slice, "sometimes", &[]).await;
        assert!(status == 400 && answer.to_string().contains("sometimes"), "{answer}");
    }
}

#[tokio::test]
async fn while_it_arrives_readers_see_the_old_version_editors_are_told_and_a_broken_body_leaves_nothing() {
    for pair in pairs("while_it_arrives").await {
        let publisher = Publisher::of(&pair.primary).await;
        let (primary, admin) = (&pair.primary, &pair.primary.admin);
        let slice = primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        publisher.changes(slice, "change", &[put("a", "old")]).await;
        let before = published_grains(&primary.node.store, slice).await;
        for is_file in [true, false] {
            let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(1);
            let body = Body::wrap_stream(futures_util::stream::unfold(receiver, async |mut receiver| {
                receiver.recv().await.map(|chunk| (chunk, receiver))
            }));
            let path = format!("{slice}/publish?source=a.xml");
            let kind = if is_file { "text/xml" } else { NDJSON };
            let request = publisher.http.post(format!("{}/v1/slices/{path}", publisher.url));
            let request =
                request.header("content-type", kind).bearer_auth(&publisher.token).body(body).send();
            let running = tokio::spawn(request);
            let lines: Vec<Value> = (0..900).map(|n| put(&format!("k{n}"), "new")).collect();
            let begin = if is_file { noise(4) } else { ndjson(&lines).into_bytes() };
            for chunk in begin.chunks(60_000) {
                sender.send(Ok(Bytes::copy_from_slice(chunk))).await.unwrap();
            }
            let store = primary.node.store.clone();
            wait_until("half a draft", async || {
                let added = store.read(move |conn| {
                    store::grain::added_between(conn, slice, 1, 2, None, 5).map(|rows| rows.len())
                });
                added.await.unwrap() > 0
            })
            .await;
            assert_eq!(published_grains(&primary.node.store, slice).await, before);
            let listed: Value = admin.get(&format!("/v1/grains/slice/{slice}")).await.unwrap();
            assert_eq!(listed["paging"]["items_total"], 1, "staff do not see half a draft either: {listed}");
            let grain = json!({ "slice_id": slice, "grain_key": "x", "encoding": "raw", "payload": "x" });
            let refused = admin.post::<Value>("/v1/grains", &grain).await.unwrap_err();
            assert!(refused.is_status(409) && refused.to_string().contains("a publication by"), "{refused}");
            let (status, other) = publisher.changes(slice, "change", &[put("z", "z")]).await;
            assert!(status == 409 && other.to_string().contains("a publication by"), "{other}");
            // It breaks off, and there is nothing to wait for.
            drop(sender.send(Err(std::io::Error::other("cut"))).await);
            assert!(running.await.unwrap().is_err());
            wait_until("an empty draft", async || {
                store.read(move |conn| store::stage::find(conn, slice)).await.unwrap().is_none()
            })
            .await;
            primary.refresh(slice).await;
            assert_eq!(published_grains(&primary.node.store, slice).await, before);
        }
        // Unpublished edits are somebody's work.
        primary.add_grain(slice, "draft", "draft").await;
        let (status, answer) = publisher.changes(slice, "change", &[put("z", "z")]).await;
        assert!(status == 409 && answer.to_string().contains("unpublished"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_publications_at_once_each_is_whole_or_refused() {
    for pair in pairs("of_many_publications").await {
        let publisher = std::sync::Arc::new(Publisher::of(&pair.primary).await);
        let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        let tasks: Vec<_> = (0..12)
            .map(|number| {
                let publisher = std::sync::Arc::clone(&publisher);
                tokio::spawn(async move {
                    let lines: Vec<Value> =
                        (0..60).map(|n| put(&format!("k{n}"), &format!("{number}"))).collect();
                    publisher.changes(slice, "replace", &lines).await
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            let (status, answer) = task.await.unwrap();
            assert!(matches!(status, 200 | 409), "{status} {answer}");
            done += i64::from(status == 200);
        }
        assert!(done > 0);
        let now = keys_of(&pair, slice).await;
        assert!(now.len() == 60 && now.iter().all(|(_key, payload)| *payload == now[0].1), "{now:?}");
        let current = pair.primary.node.store.read(move |conn| store::slice::find(conn, slice)).await;
        assert_eq!(current.unwrap().unwrap().current_version, done);
    }
}
