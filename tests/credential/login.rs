//! Every refusal is the same refusal.

use serde_json::{Value, json};
use tests::TestPrimary;
use tests::node::COMPANY_ADMIN_PASSWORD;

use super::{key_login, mint, post, token_of};

fn flipped(hex: &str, at: usize) -> String {
    let mut bytes = hex.to_owned().into_bytes();
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_refused_login_has_one_status_one_body_and_one_set_of_headers() {
    let primary = TestPrimary::start().await;
    let other = TestPrimary::start().await;
    primary.add_company("Retail Parts", "companyadmin").await;
    let off = primary.add_company("Gone Parts", "goneadmin").await;
    other.add_company("Retail Parts", "companyadmin").await;
    let admin = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let gone = token_of(&primary.url, "goneadmin", COMPANY_ADMIN_PASSWORD).await;
    let old = mint(&primary.url, &admin).await;
    let good = mint(&primary.url, &admin).await;
    let of_gone = mint(&primary.url, &gone).await;
    let foreign = mint(&other.url, &token_of(&other.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await).await;
    let _company: Value = patch(&primary, &format!("/v1/companies/{off}"), &json!({ "active": false })).await;
    let users: Value = primary.admin.get("/v1/users").await.unwrap();
    let idle = primary.add_company("Idle Parts", "idleadmin").await;
    assert!(users["data"].is_array() && !idle.is_nil());
    let idle_user =
        primary.admin.get::<Value>(&format!("/v1/companies/{idle}")).await.unwrap()["users"][0]["id"].clone();
    let _user: Value = patch(&primary, &format!("/v1/users/{idle_user}"), &json!({ "active": false })).await;

    let hex = good["sync_api_key"].as_str().unwrap();
    let mut bad: Vec<Value> = vec![
        json!({ "username": "companyadmin", "password": "wrong-password" }),
        json!({ "username": "nobody", "password": "wrong-password" }),
        json!({ "username": "companyadmin", "password": "x".repeat(1000) }),
        json!({ "username": "idleadmin", "password": COMPANY_ADMIN_PASSWORD }),
        json!({ "username": "goneadmin", "password": COMPANY_ADMIN_PASSWORD }),
        json!({ "username": "' OR 1=1 --", "password": "x" }),
        json!({ "username": "a\u{0}b", "password": "x" }),
    ];
    let long = "ab".repeat(20_000);
    for key in [
        old["sync_api_key"].as_str().unwrap(),
        of_gone["sync_api_key"].as_str().unwrap(),
        foreign["sync_api_key"].as_str().unwrap(),
        "x",
        "zz",
        "aabb",
        "ä",
        "aab",
        &hex[..hex.len() - 2],
        &hex[..hex.len() - 1],
        &flipped(hex, 0),
        &flipped(hex, 30),
        &flipped(hex, hex.len() - 1),
        &format!("{hex}00"),
        &long,
        // The odd-length sample of the published discussion.
        "eaac666eeb167e8da790f07cb348fb9e759e9086cef07116caefb39e75a696bfc6f890e57e936cb7da064171ec27ca3f9787df94f061df3bf74dcd6a47b5ce52ccafbc97480d5608f114f0bd6ffff850c13dda997015021f176447d5aba52c50cc9136398e31ac17e45e4e85abc8c513f0ed5eb6e3ad2afc59642e3ef3c",
    ] {
        bad.push(json!({ "sync-api-key": key }));
        bad.push(
            json!({ "sync-api-key": key, "username": "companyadmin", "password": COMPANY_ADMIN_PASSWORD }),
        );
    }
    let expected = post(&primary.url, "/login", &bad[0]).await;
    assert_eq!(expected.status, 401);
    assert_eq!(expected.body, json!({ "message": "Authentication Error.", "code": "login_refused" }));
    for body in &bad {
        assert_eq!(post(&primary.url, "/login", body).await, expected, "{body}");
        if body.get("sync-api-key").is_some() {
            assert_eq!(post(&primary.url, "/synclogin", body).await, expected, "{body}");
        }
    }
    assert_eq!(key_login(&primary.url, &good).await.status, 200, "none of this harmed the good key");
}

async fn patch(primary: &TestPrimary, path: &str, body: &Value) -> Value {
    let token = token_of(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    let http = reqwest::Client::new();
    let answer =
        super::send(http.patch(format!("{}{path}", primary.url)).bearer_auth(token).json(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn without_credentials_a_login_says_so() {
    let primary = TestPrimary::start().await;
    for body in [json!({}), json!({ "username": "admin" }), json!({ "username": null, "password": null })] {
        let answer = post(&primary.url, "/login", &body).await;
        assert_eq!(
            (answer.status, answer.body["message"].clone()),
            (400, json!("missing required credentials"))
        );
    }
    let synclogin =
        post(&primary.url, "/synclogin", &json!({ "username": "admin", "password": tests::ADMIN.1 })).await;
    assert_eq!(synclogin.status, 400, "it takes only the key");
    let malformed = super::send(
        reqwest::Client::new()
            .post(format!("{}/login", primary.url))
            .header("content-type", "application/json")
            .body("{\"username\":"),
    )
    .await;
    assert_eq!(malformed.status, 400);
}

#[tokio::test]
async fn names_match_ignoring_case_and_answers_are_not_cached() {
    let primary = TestPrimary::start().await;
    let answer =
        post(&primary.url, "/login", &json!({ "Username": " ADMIN ", "PASSWORD": tests::ADMIN.1 })).await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers.contains(&("cache-control".to_owned(), "no-store".to_owned())));
    let expires = answer.body["expires"].as_str().unwrap();
    assert!(shared::wire::Timestamp::parse(expires).is_some() && !expires.contains('.'), "{expires}");
}
