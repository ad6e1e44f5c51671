//! Slices, runs and primaries do not get into each other's way.

use std::sync::Arc;

use secondary::sync::{Outcome, Progress};
use serde_json::{Value, json};
use shared::node::Error;
use shared::store;
use tests::liar::Liar;
use tests::{Pair, TestPrimary};

use super::{change, is_unchanged, pairs};

#[tokio::test]
async fn a_locked_slice_is_told_and_the_others_arrive() {
    let pair = Pair::start().await;
    let mut slices = Vec::new();
    for name in ["first", "locked", "third"] {
        let slice = pair.primary.add_slice(name, "pies-items", &json!({}), pair.company).await;
        pair.primary.add_grain(slice, "a", name).await;
        pair.primary.refresh(slice).await;
        slices.push(slice);
    }
    let lock = |verb: &str| format!("/v1/slices/{verb}/{}", slices[1]);
    pair.primary.admin.call(reqwest::Method::PUT, &lock("lock")).await.unwrap();
    let answer = pair
        .secondary
        .admin
        .call(reqwest::Method::POST, &format!("/v1/sync/{}", pair.primary.server_id))
        .await
        .unwrap_err();
    assert!(answer.is_status(502), "{answer}");
    assert!(
        answer.to_string().contains("slice \"locked\": slice locked (being updated) on server"),
        "{answer}"
    );
    for (slice, grains) in slices.iter().zip([1, 0, 1]) {
        assert_eq!(pair.grains(*slice).await.1.len(), grains);
    }
    pair.primary.admin.call(reqwest::Method::PUT, &lock("unlock")).await.unwrap();
    pair.secondary
        .admin
        .call(reqwest::Method::POST, &format!("/v1/sync/{}", pair.primary.server_id))
        .await
        .unwrap();
    assert_eq!(pair.grains(slices[1]).await.1.len(), 1);
}

#[tokio::test]
async fn a_second_trigger_is_told_that_one_is_running() {
    for pair in pairs("a_second_trigger").await {
        let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        pair.primary.add_grain(slice, "a", "1").await;
        pair.primary.refresh(slice).await;
        // The first run stops in the middle of its slice until we let it go on.
        let (entered, in_the_middle) = std::sync::mpsc::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let may_go_on = std::sync::Mutex::new(may_go_on);
        let entered = std::sync::Mutex::new(entered);
        let pausing = Progress::to(move |event| {
            if matches!(event, secondary::sync::Event::SliceStarted { .. }) {
                entered.lock().unwrap().send(()).unwrap();
                may_go_on.lock().unwrap().recv().unwrap();
            }
        });
        let (secondary, id) = (Arc::clone(&pair.secondary.secondary), pair.primary.server_id);
        let runtime = std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(secondary::sync::run(secondary, id, pausing))
        });
        tokio::task::spawn_blocking(move || in_the_middle.recv().unwrap()).await.unwrap();
        assert!(matches!(pair.secondary.sync(id).await, Err(Error::SyncRunning)));
        let over_http =
            pair.secondary.admin.call(reqwest::Method::POST, &format!("/sync/{id}")).await.unwrap_err();
        assert!(over_http.is_status(409), "{over_http}");
        go_on.send(()).unwrap();
        let report = runtime.join().unwrap().unwrap().into_result().unwrap();
        assert_eq!(change(&report).grains_added, 1);
        assert!(is_unchanged(&pair.sync().await));
    }
}

#[tokio::test]
async fn another_primary_cannot_touch_a_slice_by_naming_it() {
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
    pair.primary.add_grain(slice, "a", "honest").await;
    pair.primary.refresh(slice).await;
    pair.sync().await;
    let evil = TestPrimary::start().await;
    let company = evil.add_company("Retail Parts", "companyadmin").await;
    let _slice: Value = evil
        .admin
        .post(
            "/v1/slices",
            &json!({ "id": slice, "name": "mine now", "slice_type": "pies-items", "allow_sync": true }),
        )
        .await
        .unwrap();
    evil.subscribe("mine now", slice, company).await;
    evil.add_grain(slice, "a", "evil").await;
    evil.refresh(slice).await;
    pair.secondary.connect(&evil.url, "companyadmin").await;
    let report = pair.secondary.sync(evil.server_id).await.unwrap();
    assert!(report.failures()[0].contains("belongs to another primary"), "{:?}", report.failures());
    let (ours, theirs) = pair.grains(slice).await;
    assert_eq!(ours, theirs);
    assert_eq!(theirs[0]["payload"], "honest");
    assert!(is_unchanged(&pair.sync().await));
}

/// Anybody can read the id of a primary and say that he is it.
#[tokio::test]
async fn a_server_that_claims_to_be_a_known_primary_gets_neither_its_key_nor_its_place() {
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
    pair.primary.add_grain(slice, "a", "honest").await;
    pair.primary.refresh(slice).await;
    let evil = TestPrimary::start().await;
    evil.add_company("Retail Parts", "companyadmin").await;
    let (own, claimed) = (evil.server_id.to_string(), pair.primary.server_id.to_string());
    let liar = Liar::start(
        evil.url.clone(),
        Arc::new(move |_path, body| {
            Some(String::from_utf8(body).unwrap().replace(&own, &claimed).into_bytes())
        }),
    );
    let connect = |moved: bool| {
        let body = json!({
            "url": liar.url, "username": "companyadmin", "password": tests::node::COMPANY_ADMIN_PASSWORD, "moved": moved,
        });
        let admin = &pair.secondary.admin;
        async move { admin.post::<Value>("/v1/servers", &body).await }
    };
    let refused = connect(false).await.unwrap_err();
    assert!(refused.is_status(409) && refused.to_string().contains("--moved"), "{refused}");
    assert!(
        !liar.seen.lock().unwrap().iter().any(|body| body.contains("sync-api-key")),
        "no key of ours was shown"
    );
    assert_eq!(change(&pair.sync().await).grains_added, 1, "the real one is still where it was");
    // The operator may say so: then the new key goes there, and still never the old one.
    connect(true).await.unwrap();
    let keys: Vec<String> =
        liar.seen.lock().unwrap().iter().filter(|body| body.contains("sync-api-key")).cloned().collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    liar.stop().await;
}

#[tokio::test]
async fn a_subscription_that_is_no_longer_offered_is_told_and_its_copy_stays() {
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
    pair.primary.add_grain(slice, "a", "1").await;
    pair.primary.refresh(slice).await;
    pair.sync().await;
    let subs: Value = pair.primary.admin.get("/v1/subs").await.unwrap();
    let path = format!("/v1/subs/{}", subs["data"][0]["id"].as_str().unwrap());
    pair.primary.admin.call(reqwest::Method::DELETE, &path).await.unwrap();
    let report = pair.sync().await;
    assert!(matches!(report.slices[0].outcome, Outcome::Gone), "{report:?}");
    assert_eq!(pair.grains(slice).await.1.len(), 1);
    let refused = pair.secondary.admin.call(reqwest::Method::DELETE, &path).await.unwrap_err();
    assert!(refused.is_status(403), "{refused}");
}

#[tokio::test]
async fn a_switched_off_subscription_does_not_sync_and_one_made_anew_does() {
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
    pair.primary.add_grain(slice, "a", "1").await;
    pair.primary.refresh(slice).await;
    pair.sync().await;
    let subs: Value = pair.primary.admin.get("/v1/subs").await.unwrap();
    let old = subs["data"][0]["id"].as_str().unwrap().to_owned();
    pair.primary.admin.call(reqwest::Method::DELETE, &format!("/v1/subs/{old}")).await.unwrap();
    assert!(matches!(pair.sync().await.slices[0].outcome, Outcome::Gone));
    let other = shared::clock::Random::System.id();
    let new = pair.primary.subscribe_as(other, "items", slice, pair.company).await;
    assert_ne!(new.to_string(), old);
    pair.primary.add_grain(slice, "b", "2").await;
    pair.primary.refresh(slice).await;
    assert_eq!(change(&pair.sync().await).grains_added, 1, "gap B11: the same pair under a new id");
    let local: Value = pair.secondary.admin.get(&format!("/v1/subs/{new}")).await.unwrap();
    assert_eq!(local["slice_id"], slice.to_string());
    // Off at the primary: off here, and said so.
    let id = new;
    pair.primary
        .node
        .store
        .write(move |conn| -> Result<(), store::StoreError> {
            store::subscription::set_active(conn, id, false, shared::clock::Clock::System.now())
        })
        .await
        .unwrap();
    assert!(pair.sync().await.slices.is_empty());
    let log: Value = pair.secondary.admin.get("/v1/activity").await.unwrap();
    assert!(log["data"].to_string().contains("deactivated by primary"), "{log}");
    // On again there: on again here.
    let switch_on = move |conn: &mut store::Connection| -> Result<(), store::StoreError> {
        store::subscription::set_active(conn, id, true, shared::clock::Clock::System.now())
    };
    pair.primary.node.store.write(switch_on).await.unwrap();
    assert_eq!(pair.sync().await.slices.len(), 1);
    // What the receiver switched off stays off.
    pair.secondary
        .secondary
        .node
        .store
        .write(move |conn| -> Result<(), store::StoreError> {
            store::subscription::set_active(conn, id, false, shared::clock::Clock::System.now())
        })
        .await
        .unwrap();
    assert!(pair.sync().await.slices.is_empty(), "the receiver's choice wins");
}

#[tokio::test]
async fn names_follow_the_primary_and_never_collide() {
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
    pair.sync().await;
    let other = TestPrimary::start().await;
    let company = other.add_company("Retail Parts", "companyadmin").await;
    let twin = other.add_slice("ITEMS", "pies-items", &json!({}), company).await;
    pair.secondary.connect(&other.url, "companyadmin").await;
    let report = pair.secondary.sync(other.server_id).await.unwrap();
    assert!(report.failures().is_empty(), "{:?}", report.failures());
    let named: Value = pair.secondary.admin.get(&format!("/v1/slices/{twin}")).await.unwrap();
    assert_eq!(named["slice_name"], format!("ITEMS ({twin})"));
    let first: Value = pair.secondary.admin.get(&format!("/v1/slices/{slice}")).await.unwrap();
    assert_eq!(first["slice_name"], "items");
    let outcome = &pair.sync().await.slices[0].outcome;
    assert!(matches!(outcome, Outcome::Unchanged), "{outcome:?}");
}

/// Its key logs in and is offered nothing: every slice would count as no longer offered.
#[tokio::test]
async fn connecting_as_the_publishers_own_admin_is_refused_and_costs_nothing() {
    for pair in pairs("connecting_as_the_publishers_own_admin").await {
        let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        pair.primary.add_grain(slice, "a", "1").await;
        pair.primary.refresh(slice).await;
        let body = json!({ "url": pair.primary.url, "username": tests::ADMIN.0, "password": tests::ADMIN.1 });
        let refused = pair.secondary.admin.post::<Value>("/v1/servers", &body).await.unwrap_err();
        assert!(refused.is_status(400) && refused.to_string().contains("company admin there"), "{refused}");
        assert_eq!(change(&pair.sync().await).grains_added, 1, "the key that worked still does");
        let stranger = tests::TestSecondary::start().await;
        assert!(stranger.admin.post::<Value>("/v1/servers", &body).await.unwrap_err().is_status(400));
        let known: Option<Vec<Value>> = stranger.admin.get("/v1/servers").await.unwrap();
        assert_eq!(known.unwrap_or_default(), [Value::Null; 0]);
    }
}
