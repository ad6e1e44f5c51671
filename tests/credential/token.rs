//! Access and refresh tokens.

use serde_json::json;
use tests::TestPrimary;

use super::{get, post, send, token_of};

#[tokio::test]
async fn without_a_good_token_every_protected_path_answers_401_with_nothing_in_it() {
    let primary = TestPrimary::start().await;
    let good = token_of(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    let http = reqwest::Client::new();
    for path in ["/me", "/server", "/v1/users", "/v1/slices", "/v1/nowhere", "/v1/sync/subs"] {
        for authorization in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer x",
            &format!("bearer {good}"),
            &format!("Basic {good}"),
            &good,
            "Bearer a.b.c",
        ] {
            let answer =
                send(http.get(format!("{}{path}", primary.url)).header("authorization", authorization)).await;
            assert_eq!(
                (answer.status, answer.body),
                (401, serde_json::Value::Null),
                "{path} {authorization}"
            );
        }
    }
    assert_eq!(get(&primary.url, "/server", &good).await.status, 200);
    assert_eq!(get(&primary.url, "/v1/nowhere", &good).await.status, 404);
}

#[tokio::test]
async fn a_token_of_one_primary_is_nothing_at_another_with_the_same_secrets() {
    let secret = data_encoding::BASE64.encode(&(0..32).collect::<Vec<u8>>());
    let jwt = data_encoding::BASE64.encode(&(0..64).collect::<Vec<u8>>());
    let one = TestPrimary::start_on(tests::TestDatabase::sqlite(), Some((&secret, &jwt))).await;
    let two = TestPrimary::start_on(tests::TestDatabase::sqlite(), Some((&secret, &jwt))).await;
    let token = token_of(&one.url, tests::ADMIN.0, tests::ADMIN.1).await;
    assert_eq!(get(&one.url, "/me", &token).await.status, 200);
    assert_eq!(get(&two.url, "/me", &token).await.status, 401);
}

#[tokio::test]
async fn a_refresh_token_renews_the_access_token_and_anything_else_is_refused() {
    let primary = TestPrimary::start().await;
    let login =
        post(&primary.url, "/login", &json!({ "username": "admin", "password": tests::ADMIN.1 })).await;
    let refresh = login.body["refresh_token"].as_str().unwrap();
    assert_eq!(refresh.len(), 64);
    for _ in 0..2 {
        let renewed = get(&primary.url, &format!("/refresh/{refresh}"), "").await;
        assert_eq!(renewed.status, 200);
        let token = renewed.body["token"].as_str().unwrap();
        assert_eq!(get(&primary.url, "/me", token).await.status, 200);
        assert!(renewed.body.get("refresh_token").is_none(), "as in the reference");
    }
    for wrong in ["deadbeef", &"0".repeat(64), &refresh[..62], "%20", login.body["token"].as_str().unwrap()] {
        let answer = get(&primary.url, &format!("/refresh/{wrong}"), "").await;
        assert_eq!(
            (answer.status, answer.body["message"].clone()),
            (401, json!("Authentication Error.")),
            "{wrong}"
        );
    }
}
