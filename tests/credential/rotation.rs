//! Renewing a key so that no fault can cost the last good one: retries, overlap, rotation without a person.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tests::liar::Liar;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{Pair, TestDatabase, TestPrimary, TestSecondary};

use super::{Answer, get, key_login, mint, send, token_of};

/// Mints with an Idempotency-Key and an overlap, as far as given.
async fn mint_with(url: &str, token: &str, idempotency_key: Option<&str>, overlap: u32) -> Answer {
    let mut request = reqwest::Client::new().post(format!("{url}/v1/apikey")).bearer_auth(token);
    if let Some(key) = idempotency_key {
        request = request.header("idempotency-key", key);
    }
    send(request.json(&json!({ "overlap_seconds": overlap }))).await
}

async fn logs_in(url: &str, key: &Value) -> bool {
    match key_login(url, key).await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_retry_gets_the_same_bytes_and_mints_nothing() {
    for database in TestDatabase::each("a_retry_gets_the_same_bytes") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "anna").await;
        primary.add_company("Other Parts", "otto").await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let otto = token_of(&primary.url, "otto", COMPANY_ADMIN_PASSWORD).await;

        let first = mint_with(&primary.url, &anna, Some("intent-1"), 0).await;
        assert_eq!(first.status, 200);
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let (url, anna) = (primary.url.clone(), anna.clone());
            tasks.push(tokio::spawn(async move { mint_with(&url, &anna, Some("intent-1"), 0).await }));
        }
        for task in tasks {
            assert_eq!(task.await.unwrap(), first, "the same answer, header for header");
        }
        assert_eq!(first.body["generation"], json!(1));

        let other = mint_with(&primary.url, &otto, Some("intent-1"), 0).await;
        assert_eq!(other.status, 200);
        assert_ne!(
            other.body["key_id"], first.body["key_id"],
            "another caller's Idempotency-Key is another one"
        );

        let mismatch = mint_with(&primary.url, &anna, Some("intent-1"), 60).await;
        assert_eq!((mismatch.status, mismatch.body["code"].clone()), (422, json!("idempotency_mismatch")));
        for bad in ["", &"x".repeat(256), "umlaut-\u{e4}"] {
            assert_eq!(mint_with(&primary.url, &anna, Some(bad), 0).await.status, 400, "{bad:?}");
        }
        assert!(logs_in(&primary.url, &first.body).await, "all that cost it nothing");

        let used = mint_with(&primary.url, &anna, Some("intent-1"), 0).await;
        assert_eq!(
            (used.status, used.body["code"].clone()),
            (409, json!("conflict")),
            "shown no more: {used:?}"
        );
        assert!(logs_in(&primary.url, &first.body).await);
        let second = mint_with(&primary.url, &anna, Some("intent-2"), 0).await;
        mint(&primary.url, &anna).await;
        let superseded = mint_with(&primary.url, &anna, Some("intent-2"), 0).await;
        assert_eq!(superseded.status, 409, "a dead key is not handed out again: {superseded:?}");
        assert!(!logs_in(&primary.url, &second.body).await);
        primary.stop().await;
    }
}

#[tokio::test]
async fn with_an_overlap_the_old_key_lives_until_the_new_one_logs_in() {
    for database in TestDatabase::each("with_an_overlap") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "anna").await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let url = primary.url.as_str();
        let old = mint(url, &anna).await;
        let old_login = key_login(url, &old).await.body;
        let old_token = old_login["token"].as_str().unwrap();
        let old_refresh = format!("/refresh/{}", old_login["refresh_token"].as_str().unwrap());

        let lost = mint_with(url, &anna, None, 3600).await.body;
        assert!(lost["previous_valid_until"].is_string(), "{lost}");
        let new = mint_with(url, &anna, None, 3600).await.body;
        assert!(!logs_in(url, &lost).await, "never used, so it was lost: the one in use is kept instead");
        assert!(logs_in(url, &old).await);
        assert_eq!(get(url, "/me", old_token).await.status, 200);
        let states: Vec<Value> = keys(url, &anna).await.into_iter().map(|key| key["state"].clone()).collect();
        assert_eq!(states, [json!("active"), json!("revoked"), json!("overlap")]);

        assert!(logs_in(url, &new).await);
        assert!(!logs_in(url, &old).await, "superseded by the first login of its successor");
        assert_eq!(get(url, "/me", old_token).await.status, 401, "with its tokens");
        assert_eq!(get(url, &old_refresh, "").await.status, 401);

        let newest = mint_with(url, &anna, None, 3600).await.body;
        let only = mint(url, &anna).await;
        assert!(
            !logs_in(url, &new).await && !logs_in(url, &newest).await,
            "without an overlap all die at once"
        );
        // By their state, too: the clock of another server may be behind.
        assert_eq!(only["previous_valid_until"], Value::Null);
        let states: Vec<Value> = keys(url, &anna).await.into_iter().map(|key| key["state"].clone()).collect();
        assert_eq!(states[0], "active");
        assert!(states[1..].iter().all(|state| state == "revoked"), "{states:?}");
        let revoked = mint_with(url, &anna, None, 3600).await.body;
        let http = reqwest::Client::new();
        assert_eq!(send(http.delete(format!("{url}/v1/apikey")).bearer_auth(&anna)).await.status, 200);
        assert!(!logs_in(url, &revoked).await, "revoking ends both");
        assert!(keys(url, &anna).await.iter().all(|key| key["state"] == "revoked"));
        primary.stop().await;
    }
}

#[tokio::test]
async fn an_overlap_ends_by_itself() {
    for database in TestDatabase::each("an_overlap_ends") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "anna").await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let url = primary.url.as_str();
        let old = mint(url, &anna).await;
        let token = key_login(url, &old).await.body["token"].as_str().unwrap().to_owned();
        let second = mint_with(url, &anna, None, 1).await.body;
        tests::wait_until("the old key is over", async || !logs_in(url, &old).await).await;
        assert_eq!(get(url, "/me", &token).await.status, 401);
        assert_eq!(keys(url, &anna).await[1]["state"], json!("expired"));
        // It was used and its successor was not; what is over is not kept all the same.
        mint_with(url, &anna, None, 3600).await;
        assert!(!logs_in(url, &old).await, "another overlap does not bring it back");
        assert!(logs_in(url, &second).await, "the one that was good is kept");
        primary.stop().await;
    }
}

async fn keys(url: &str, token: &str) -> Vec<Value> {
    get(url, "/v1/apikey", token).await.body.as_array().unwrap().clone()
}

#[tokio::test]
async fn a_machine_mints_only_what_it_can_ask_for_again_and_only_while_its_key_is_good() {
    for database in TestDatabase::each("a_machine_mints") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "anna").await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let url = primary.url.as_str();
        let key = mint(url, &anna).await;
        let machine = key_login(url, &key).await.body["token"].as_str().unwrap().to_owned();
        for (idempotency_key, overlap) in [(None, 0), (Some("a"), 0), (None, 60)] {
            let refused = mint_with(url, &machine, idempotency_key, overlap).await;
            assert_eq!((refused.status, refused.body["code"].clone()), (403, json!("forbidden")));
        }
        let rotated = mint_with(url, &machine, Some("a"), 60).await;
        assert_eq!(rotated.status, 200);
        assert_eq!(mint_with(url, &machine, Some("a"), 60).await, rotated, "the old token may ask again");
        assert!(logs_in(url, &rotated.body).await);
        assert_eq!(mint_with(url, &machine, Some("b"), 60).await.status, 401, "its key is dead now");
        let http = reqwest::Client::new();
        let machine = key_login(url, &rotated.body).await.body["token"].as_str().unwrap().to_owned();
        assert_eq!(send(http.delete(format!("{url}/v1/apikey")).bearer_auth(&anna)).await.status, 200);
        assert_eq!(mint_with(url, &machine, Some("c"), 60).await.status, 401);
        primary.stop().await;
    }
}

/// The rotation's answer is swallowed once; nobody is there to help.
#[tokio::test]
async fn a_rotation_whose_answer_is_lost_is_ended_by_the_next_rotation_or_sync() {
    for (next, database) in ["rotate", "sync"].into_iter().flat_map(|next| {
        TestDatabase::each("a_rotation_whose_answer_is_lost")
            .into_iter()
            .map(move |database| (next, database))
    }) {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let slice = primary.add_slice("items", "pies-items", &json!({}), company).await;
        primary.add_grain(slice, "a", "one").await;
        primary.refresh(slice).await;
        let swallow = Arc::new(AtomicBool::new(false));
        let swallows = Arc::clone(&swallow);
        let liar = Liar::start(
            primary.url.clone(),
            Arc::new(move |path, body| {
                (path != "/v1/apikey" || !swallows.swap(false, Ordering::SeqCst)).then_some(body)
            }),
        );
        let secondary = TestSecondary::start().await;
        secondary.connect(&liar.url, "anna").await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let path = format!("/v1/servers/{}/rotate", primary.server_id);
        let nothing = json!({});
        let rotate = || secondary.admin.post::<Value>(&path, &nothing);

        assert_eq!(rotate().await.unwrap()["generation"], json!(2), "the ordinary case");
        swallow.store(true, Ordering::SeqCst);
        let lost = rotate().await.unwrap_err().to_string();
        assert!(lost.contains("502"), "{lost}");
        assert_eq!(keys(&primary.url, &anna).await[0]["generation"], json!(3), "minted, and lost on its way");
        if next == "rotate" {
            assert_eq!(rotate().await.unwrap()["generation"], json!(3), "the very key that was lost");
        } else {
            secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
        }
        let states: Vec<Value> =
            keys(&primary.url, &anna).await.into_iter().map(|key| key["state"].clone()).collect();
        assert_eq!(states, [json!("active"), json!("revoked"), json!("revoked")], "{next}");
        secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
        assert_eq!(rotate().await.unwrap()["generation"], json!(4));
        liar.stop().await;
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_rotation_waits_for_a_running_sync_and_a_bad_candidate_is_dropped() {
    let pair = Pair::start().await;
    let (id, own) = (pair.primary.server_id, &pair.secondary.secondary);
    let path = format!("/v1/servers/{id}/rotate");
    let lock = own.node.store.try_run_lock(id).await.unwrap().unwrap();
    let refused = pair.secondary.admin.post::<Value>(&path, &json!({})).await.unwrap_err();
    assert!(refused.is_status(409), "{refused}");
    drop(lock);
    let bad = shared::crypto::Secret::from("aabb");
    secondary::service::partner::store_key(own, id, &bad).await.unwrap();
    pair.secondary.admin.post::<Value>(&path, &json!({})).await.unwrap();
    let partner =
        own.node.store.read(move |conn| shared::store::partner::find(conn, id)).await.unwrap().unwrap();
    assert!(partner.candidate_key.is_none() && partner.rotation_key.is_none());
    pair.sync().await;
}
