//! Api-keys, logins and tokens against running servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, tells a story in one go, and looks at a server with a stranger's client"
)]

mod draw;
mod ends;
mod event;
mod forge;
mod forged;
mod high_water;
mod key;
mod key_life;
mod keyring;
mod kind;
mod login;
mod outage;
mod password;
mod random_input;
mod remembered;
mod restored;
mod rotation;
mod session;
mod tampered;
mod throttle;
mod token;

use diesel::RunQueryDsl as _;
use serde_json::{Value, json};
use shared::store::{self, StoreError};
use shared::wire::Id;
use tests::TestPrimary;

/// An answer as a client sees it: status, headers and body without what differs from request to request.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Value,
}

async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let mut headers: Vec<(String, String)> = response
        .headers()
        .iter()
        .filter(|(name, _value)| !["date", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let text = response.text().await.unwrap();
    let mut body: Value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    Answer { status, headers, body }
}

async fn post(url: &str, path: &str, body: &Value) -> Answer {
    send(reqwest::Client::new().post(format!("{url}{path}")).json(body)).await
}

async fn get(url: &str, path: &str, token: &str) -> Answer {
    send(reqwest::Client::new().get(format!("{url}{path}")).bearer_auth(token)).await
}

/// Logs in as a person and returns the access token.
async fn token_of(url: &str, username: &str, password: &str) -> String {
    let answer = post(url, "/login", &json!({ "username": username, "password": password })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["token"].as_str().unwrap().to_owned()
}

/// Mints a key with a token.
async fn mint(url: &str, token: &str) -> Value {
    let answer = send(reqwest::Client::new().post(format!("{url}/v1/apikey")).bearer_auth(token)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

async fn key_login(url: &str, key: &Value) -> Answer {
    post(url, "/login", &json!({ "username": "", "password": "", "sync-api-key": key["sync_api_key"] })).await
}

fn id_of(value: &Value) -> Id {
    value.as_str().unwrap().parse().unwrap()
}

/// Changes rows as no service would: as if time had passed, or as somebody else had.
async fn sql(primary: &TestPrimary, sql: impl Into<String>) {
    let sql = sql.into();
    primary
        .node
        .store
        .write(move |conn| -> Result<(), StoreError> {
            store::on_backend!(conn, |c| diesel::sql_query(sql).execute(c))?;
            Ok(())
        })
        .await
        .unwrap();
}
