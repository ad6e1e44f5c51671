//! Attacks on the running pair.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, tells a story in one go, and looks at a server with a stranger's client"
)]

mod bomb;
mod flood;
mod forgery;
mod injection;
mod malformed_key;
mod mass_assignment;
mod process;
mod reader;
mod rerun;
mod rotation;
mod stranger;
mod traversal;

use std::sync::OnceLock;

use serde_json::{Value, json};
use shared::wire::Id;
use tests::{Pair, TestDatabase};

/// One client for all: each new one reads the system's certificates. Nothing is pooled, since a pool would outlive the
/// test whose runtime feeds it.
fn http() -> reqwest::Client {
    static HTTP: OnceLock<reqwest::Client> = OnceLock::new();
    HTTP.get_or_init(|| reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap())
        .clone()
}

/// Sends and gives status and body.
async fn send(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    (status, body)
}

/// A stranger with a token.
#[derive(Clone)]
struct Caller {
    url: String,
    token: String,
}

impl Caller {
    fn of(url: &str, token: &str) -> Self {
        Self { url: url.to_owned(), token: token.to_owned() }
    }

    async fn password(url: &str, username: &str, password: &str) -> Self {
        let body = json!({ "username": username, "password": password });
        let (status, login) = send(http().post(format!("{url}/login")).json(&body)).await;
        assert_eq!(status, 200, "{login}");
        Self::of(url, login["token"].as_str().unwrap())
    }

    /// The same token at another server.
    fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// The token of a login at the same server.
    fn with_token(&self, login: &Value) -> Self {
        Self { token: login["token"].as_str().unwrap().to_owned(), ..self.clone() }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = http().request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None).await
    }
}

async fn key_login(url: &str, key: &Value) -> (u16, Value) {
    let body = json!({ "sync-api-key": key["sync_api_key"] });
    send(http().post(format!("{url}/login")).json(&body)).await
}

/// A pair on SQLite, and one on PostgreSQL where there is one.
async fn pairs(test: &str) -> Vec<Pair> {
    let mut pairs = vec![Pair::start().await];
    if let (Some(first), Some(second)) = (TestDatabase::postgres(test), TestDatabase::postgres(test)) {
        pairs.push(Pair::start_on(first, second).await);
    }
    pairs
}

/// Everything a secondary holds of a slice, as its rows stand, and nothing of any other.
async fn rows_of(secondary: &tests::TestSecondary, slice: Id) -> Vec<String> {
    use shared::store;
    secondary
        .secondary
        .node
        .store
        .read(move |conn| -> Result<_, store::StoreError> {
            let row = store::slice::find(conn, slice)?.expect("the slice");
            let (current, primary) = (row.current_version, row.primary_id.expect("its primary"));
            let mut rows = vec![format!("{row:?}")];
            for version in 0..=current + 1 {
                rows.push(format!("{:?}", store::version::find(conn, slice, version)?));
                rows.push(format!("{:?}", store::metadata::at(conn, slice, version)?));
                let grains = store::grain::page(conn, slice, version, None, 10_000)?;
                rows.push(format!("{:?}", store::payload::of_rows(conn, grains)?));
            }
            rows.push(format!("{:?}", store::subscription::find_pair(conn, slice, primary)?));
            Ok(rows)
        })
        .await
        .unwrap()
}
