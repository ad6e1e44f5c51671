//! Payloads changed on the way, under the ids they had.

use std::sync::{Arc, Mutex};

use secondary::sync::Outcome;
use serde_json::{Value, json};
use shared::crypto::set_hash::grain_digest;
use shared::wire::Id;
use tests::liar::Liar;
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::rows_of;

/// How a payload is changed; the line's own digest may be made to fit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Forgery {
    None,
    Payload,
    PayloadAndDigest,
    Encoding,
    Key,
}

/// Lets honest lines pass and forges the grain of `key`.
fn forge(body: Vec<u8>, key: &str, forgery: Forgery) -> Vec<u8> {
    let text = String::from_utf8(body).unwrap();
    let mut out = String::new();
    for line in text.lines() {
        let mut value: Value = serde_json::from_str(line).unwrap();
        if let Some(grain) = value.get_mut("grain").filter(|grain| grain["grain_key"] == key) {
            let field = |grain: &Value, name: &str| grain[name].as_str().unwrap().to_owned();
            match forgery {
                Forgery::None => {}
                Forgery::Payload | Forgery::PayloadAndDigest => {
                    // One character in the middle, the length as it was.
                    let mut payload = field(grain, "payload").into_bytes();
                    let at = payload.len() / 2;
                    payload[at] = if payload[at] == b'A' { b'B' } else { b'A' };
                    grain["payload"] = json!(String::from_utf8(payload).unwrap());
                }
                Forgery::Encoding => grain["encoding"] = json!("a85"),
                Forgery::Key => grain["grain_key"] = json!("another"),
            }
            if forgery == Forgery::PayloadAndDigest {
                let digest = grain_digest(
                    field(grain, "id").parse().unwrap(),
                    &field(grain, "grain_key"),
                    &field(grain, "encoding"),
                    &field(grain, "source"),
                    &field(grain, "payload"),
                );
                grain["digest"] = json!(data_encoding::HEXLOWER.encode(&digest));
            }
        }
        out.push_str(&value.to_string());
        out.push('\n');
    }
    out.into_bytes()
}

/// Small ones stand in their row, large ones in pieces.
fn payloads(version: usize) -> Vec<(&'static str, &'static str, String)> {
    let text = |length: usize| format!("{version}x").repeat(length / 2);
    vec![
        ("raw", "raw-small", text(40)),
        ("raw", "raw-large", text(70_000)),
        ("b64", "b64-small", data_encoding::BASE64.encode(text(40).as_bytes())),
        ("b64", "b64-large", data_encoding::BASE64.encode(text(70_000).as_bytes())),
    ]
}

async fn publish(primary: &TestPrimary, slice: Id, version: usize) {
    for (encoding, key, payload) in payloads(version) {
        let body = json!({
            "slice_id": slice, "grain_key": key, "source": "test", "encoding": encoding, "payload": payload,
        });
        let _grain: Value = primary.admin.post("/v1/grains?replace=yes", &body).await.unwrap();
    }
    primary.refresh(slice).await;
}

#[tokio::test]
async fn a_payload_changed_on_the_way_is_refused_and_the_old_version_stays() {
    for database in TestDatabase::each("a_payload_changed_on_the_way") {
        let primary = TestPrimary::start().await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let slice = primary.add_slice("items", "pies-items", &json!({}), company).await;
        publish(&primary, slice, 1).await;
        let told = Arc::new(Mutex::new(("", Forgery::None)));
        let plan = Arc::clone(&told);
        let liar = Liar::start(
            primary.url.clone(),
            Arc::new(move |path, body| {
                let (key, forgery) = *plan.lock().unwrap();
                // Both ways of a grain: in the feed, and asked for by its id.
                let carries = path.ends_with("/feed") || path.ends_with("/grains");
                Some(if carries { forge(body, key, forgery) } else { body })
            }),
        );
        let secondary = TestSecondary::start_on(database).await;
        secondary.connect(&liar.url, "companyadmin").await;
        secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
        let good = tests::node::all_grains(&secondary.admin, slice).await;
        publish(&primary, slice, 2).await;
        for by_index in [false, true] {
            if by_index {
                // As after a restore: what we have has no version at the primary, so grains are asked for by id.
                let write = move |conn: &mut shared::store::Connection| {
                    let stray = (shared::clock::Random::System.id(), 77);
                    shared::store::version::set_source(conn, slice, 1, stray, None)
                };
                secondary.secondary.node.store.write(write).await.unwrap();
            }
            for (_encoding, key, _payload) in payloads(2) {
                for forgery in [Forgery::Payload, Forgery::PayloadAndDigest, Forgery::Encoding, Forgery::Key]
                {
                    *told.lock().unwrap() = (key, forgery);
                    let report = secondary.sync(primary.server_id).await.unwrap();
                    let why = format!("{key} {forgery:?}, by index {by_index}");
                    match &report.slices[0].outcome {
                        Outcome::Failed { error, .. } => assert!(
                            error.contains("damaged") || error.contains("do not match"),
                            "{why}: {error}"
                        ),
                        other => panic!("{why}: {other:?}"),
                    }
                    assert_eq!(tests::node::all_grains(&secondary.admin, slice).await, good, "{why}");
                }
            }
        }
        let staged = rows_of(&secondary, slice).await;
        assert!(!staged.concat().contains("another"), "nothing forged is left behind");
        *told.lock().unwrap() = ("", Forgery::None);
        secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
        assert_eq!(
            tests::node::all_grains(&secondary.admin, slice).await,
            tests::node::all_grains(&primary.admin, slice).await
        );
        liar.stop().await;
    }
}
