//! Attacks on the running pair: what was measured against the reference server, and what a hostile customer, primary
//! or network would try next. Each of them is a test here, or one elsewhere that already was the whole attack.
//!
//! "Each test was seen to fail with its protection switched off" is a script: `tests/attack/protections.sh` takes the
//! working tree, applies one patch of `protections/` at a time, runs the tests that the patch names, and demands that
//! they fail. A protection that stands in several layers is switched off in all of them. Numbers below are patches.
//! "Failure" and the letters are the numbers of the list of failures and gaps of the reference that the project began with.
//!
//! | failure, gap | attack | test | patch |
//! | --- | --- | --- | --- |
//! | 1, S1 | a customer names the super admin as his machine user, then mints | `mass_assignment`, both | 01, 29 |
//! | 2, S2 | SQL in the names of columns | `injection`, both | 02, 25 |
//! | 3 | a login that overlaps a rotation brings the old key back | `rotation::logins_in_flight…` | 03, 06 |
//! | 4, S6 | many first mints at once | `rotation::of_64_first_mints…`; `race` `mint::of_64…` over two servers | 04, 05, 06 |
//! | 5 | killed in mid-sync, then the primary goes back | `reader::a_run_killed…`, `reader::what_a_killed_run…`; `sync` `fault::what_a_cut_off_run…` | 12, 13 |
//! | 6 | payloads changed on the way under the same ids | `forgery`; `sync` `fault::a_lying_or_breaking_primary…` | 11 |
//! | 7 | answers that unpack to gigabytes | `bomb`, both | 16, 17 |
//! | 8, B2 | two primaries at once; one names what is the other's | `stranger`, all; `sync` `isolation::another_primary…`, `…a_server_that_claims…` | 18 to 21 |
//! | 9, S11 | short, odd and huge keys | `malformed_key`; `credential` `login::a_refused_login…` | 09 |
//! | 10 | a flood of logins starves the machines, or people where they log in from | `flood` | 10, 42, 45 |
//! | – | clients send nothing, stop in the middle of a request, or drip | `slow`, both | 43, 44 |
//! | S3 | names that lead out of a folder | `traversal` | 22 |
//! | S4 | a login reads what is another company's | `api` `tenant::nothing_of_another_company…` | 23 to 25 |
//! | S5 | the old key's tokens live on, here or on another server | `rotation::a_rotation_or_a_revocation…` | 06, 07, 08 |
//! | B1 | metadata end every sync | `rerun::a_slice_with_metadata…` (the reference's wire); `sync` `exact::a_slice_with_metadata…` | 26 |
//! | B3 | one slice starves the others | `rerun::a_slice_whose_feed…`; `sync` `isolation::a_locked_slice…` | 27 |
//! | B4 | readers see half a slice | `reader::readers_see…` | 12 |
//! | B4 | two syncs of one slice collide | `reader::a_run_that_was_overtaken…`; `sync` `isolation::a_second_trigger…` | 14, 15 |
//! | – | two companies ask whatever comes to mind of each operation, with each other's ids | `tenants`, all | 70 to 81, 85 |
//! | – | a primary, or who stands on the way, sends receivers elsewhere | `redirect` | 92 |
//! | – | a credential outlives what ended it, here or at another server | `credential` `ends::whatever_ends…`; `remembered`, all | 07, 08, 82 to 84, 97 to 99 |
//! | – | rings that one server turned are old at another; retiring a key cuts partners off | `race` `ring::rings_turn…`; `credential` `keyring`, all | 30 to 32 |
//! | – | a refresh token is stolen; a login is left alone | `credential` `session`, all | 33 to 35 |
//! | – | passwords are guessed, by many at once, from anywhere, behind a proxy | `credential` `throttle`, all | 36 to 41 |
//! | – | a database is restored from a backup that does not know what ended since | `credential` `restored` and `high_water`, all; `cli` `recover`, all | 86, 87 |
//! | – | forged, mixed and altered tokens and keys; repeated nonces | `credential` `forged`, `kind`, `tampered`, `random_input`, all | 50 to 69 |
//! | B11 | a subscription is made anew under another id | `rerun::a_subscription_made_anew…` | 28 |

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
mod corpus;
mod flood;
mod forgery;
mod injection;
mod malformed_key;
mod mass_assignment;
mod process;
mod reader;
mod redirect;
mod rerun;
mod rotation;
mod slow;
mod stranger;
mod tenants;
mod traversal;

use std::sync::OnceLock;

use serde_json::{Value, json};
use shared::wire::Id;
use tests::{Pair, TestDatabase, TestPrimary};

/// Two customers who compete, "mallory" and "bert", each with a published slice of his own: the publisher, and
/// mallory's company and slice. What is bert's has "bert" in it.
async fn rivals(database: TestDatabase) -> (TestPrimary, Id, Id) {
    let primary = TestPrimary::start_on(database, None).await;
    let own = primary.add_company("Mallory's Parts", "mallory").await;
    let other = primary.add_company("Bert's Parts", "bert").await;
    let own_slice = primary.add_slice("mallorys", "pies-items", &json!({ "k": "v" }), own).await;
    let their_slice = primary.add_slice("berts-line", "pies-items", &json!({ "k": "berts" }), other).await;
    for (slice, payload) in [(own_slice, "mine"), (their_slice, "berts-payload")] {
        primary.add_grain(slice, "a", payload).await;
        primary.refresh(slice).await;
    }
    (primary, own, own_slice)
}

async fn everything(staff: &Caller) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in [
        "/v1/companies",
        "/v1/users",
        "/v1/slices",
        "/v1/grains?payload=yes",
        "/v1/subs",
        "/v1/tags",
        "/v1/activity",
    ] {
        let mut body = staff.get(path).await.1;
        assert!(body.get("data").is_some(), "{path}: {body}");
        for row in body["data"].as_array_mut().into_iter().flatten() {
            row.as_object_mut().unwrap().remove("last_login");
        }
        seen.push(body);
    }
    seen
}

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
