//! Many clients at once, over several servers and the command line, on both databases: nothing is lost, nothing is
//! undone, and nobody gets what is another's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, tells a story in one go, and looks at a server with a stranger's client"
)]

mod apart;
mod credential;
mod fence;
mod mint;
mod process;
mod ring;
mod rotate;
mod storm;
mod switch;
mod trigger;
mod zombie;

use std::future::Future;
use std::time::{Duration, Instant};

use diesel::RunQueryDsl as _;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::store::{self, Store, StoreError};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, TestDatabase};

/// The same story on every database that can be had, at the same time: they mostly wait.
async fn on_each<F: Future<Output = ()>>(test: &str, story: impl Fn(TestDatabase) -> F) {
    join_all(TestDatabase::each(test).into_iter().map(story)).await;
}

/// A stranger's client: what it sees is the status and the body.
#[derive(Clone)]
struct Http(reqwest::Client);

impl Http {
    fn new() -> Self {
        Self(tests::stranger())
    }

    async fn send(request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    /// The access token of a company's admin.
    async fn person(&self, url: &str, username: &str) -> String {
        let body = json!({ "username": username, "password": COMPANY_ADMIN_PASSWORD });
        let (status, body) = Self::send(self.0.post(format!("{url}/login")).json(&body)).await;
        assert_eq!(status, 200, "{body}");
        text(&body["token"])
    }

    /// The access token of one of the node's own people.
    async fn staff(&self, url: &str, username: &str) -> String {
        let body = json!({ "username": username, "password": ADMIN.1 });
        let (status, body) = Self::send(self.0.post(format!("{url}/login")).json(&body)).await;
        assert_eq!(status, 200, "{body}");
        text(&body["token"])
    }

    /// Mints for the company of `token`.
    async fn mint(&self, url: &str, token: &str) -> (u16, Value) {
        Self::send(self.0.post(format!("{url}/v1/apikey")).bearer_auth(token)).await
    }

    /// Logs in with a key; the token, if it was good.
    async fn login(&self, url: &str, key: &str) -> Option<String> {
        let body = json!({ "sync-api-key": key });
        let (status, body) = Self::send(self.0.post(format!("{url}/synclogin")).json(&body)).await;
        match status {
            200 => Some(text(&body["token"])),
            401 => None,
            other => panic!("{other}: {body}"),
        }
    }

    /// Whether a token is good.
    async fn is_live(&self, url: &str, token: &str) -> bool {
        let (status, body) = Self::send(self.0.get(format!("{url}/me")).bearer_auth(token)).await;
        assert!([200, 401].contains(&status), "{status}: {body}");
        status == 200
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Ends the PostgreSQL sessions that hold advisory locks in this database; returns how many there were.
async fn end_lock_sessions(store: &Store) -> usize {
    let end = "SELECT pg_terminate_backend(pid) AS ended FROM pg_locks WHERE locktype = 'advisory' \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let rows = store.read(move |conn| -> Result<usize, StoreError> {
        Ok(store::on_backend!(conn, |c| diesel::sql_query(end).execute(c))?)
    });
    rows.await.unwrap()
}

/// Wrong passwords that were counted so far.
async fn forget_failures(store: &Store) {
    let forget = |conn: &mut store::Connection| -> Result<usize, StoreError> {
        Ok(store::on_backend!(conn, |c| diesel::sql_query("DELETE FROM login_failures").execute(c))?)
    };
    store.write(forget).await.unwrap();
}

/// Asks until it is so.
async fn wait_until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
