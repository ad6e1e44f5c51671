//! What servers of the reference were asked and answered, asked of ours. Each answer has the recorded status and shape,
//! or the one that docs/api.md lists.

use std::collections::HashMap;

use serde_json::{Value, json};
use tests::TestDatabase;

use super::difference::{self, Row};
use super::installation::{self, COMPANY_ONE, Receiver};
use super::recording::{Answer, Exchange, exchanges, send};
use super::shape;

/// By server.
pub const RECORDINGS: [(&str, &str); 2] = [
    ("P", include_str!("../fixtures/sandpiper/exchanges-primary.jsonl")),
    ("S", include_str!("../fixtures/sandpiper/exchanges-secondary.jsonl")),
];

/// A replay so far: what stands for recorded ids, credentials and tokens.
struct Replay {
    http: reqwest::Client,
    url: String,
    /// Recorded text, ours.
    texts: HashMap<String, String>,
    /// Recorded ids of users, ours.
    users: HashMap<i64, i64>,
    /// By caller.
    tokens: HashMap<String, String>,
    rows: Vec<Row>,
    used: Vec<bool>,
    complaints: Vec<String>,
}

impl Replay {
    fn new(server: &str, url: &str) -> Self {
        let rows: Vec<Row> = difference::rows().into_iter().filter(|row| row.is_about(server)).collect();
        Self {
            http: reqwest::Client::new(),
            url: url.to_owned(),
            texts: HashMap::from([("Adm1nPassw0rd".to_owned(), tests::ADMIN.1.to_owned())]),
            // Nobody adds the first admin.
            users: HashMap::from([(1, 1)]),
            tokens: HashMap::new(),
            used: vec![false; rows.len()],
            rows,
            complaints: Vec::new(),
        }
    }

    /// Asks what was asked, judges the answer and learns from it.
    async fn play(&mut self, exchange: &Exchange) {
        let path = self.own_path(&exchange.path);
        let body = self.own(&exchange.body);
        let token = match exchange.name.as_str() {
            "me with a garbage token" => Some("garbage"),
            _ => self.tokens.get(&exchange.caller).map(String::as_str),
        };
        let answer = send(&self.http, &self.url, exchange, &path, token, &body).await;
        self.learn(exchange, &answer);
        self.judge(exchange, &answer);
    }

    fn own_path(&self, path: &str) -> String {
        let mut own: Vec<String> = Vec::new();
        for part in path.split('/') {
            let user = part.parse().ok().and_then(|id: i64| self.users.get(&id));
            let is_user = own.last().is_some_and(|parent| parent == "users" || parent == "password");
            own.push(match user.filter(|_| is_user) {
                Some(user) => user.to_string(),
                None => self.texts.get(part).cloned().unwrap_or_else(|| part.to_owned()),
            });
        }
        own.join("/")
    }

    /// With everything that cannot be equal in place of what was recorded.
    fn own(&self, recorded: &Value) -> Value {
        match recorded {
            Value::String(text) => self.texts.get(text).map_or_else(|| recorded.clone(), |own| json!(own)),
            Value::Array(items) => items.iter().map(|item| self.own(item)).collect(),
            Value::Object(members) => {
                let own = members.iter().map(|(name, value)| (name.clone(), self.own(value)));
                Value::Object(own.collect())
            }
            other => other.clone(),
        }
    }

    fn learn(&mut self, exchange: &Exchange, answer: &Answer) {
        if !exchange.is_success() || answer.status != exchange.status {
            return;
        }
        let (recorded, own) = (&exchange.answer, &answer.body);
        if let Some(caller) = exchange.name.strip_prefix("login as ") {
            self.tokens.insert(caller.to_owned(), own["token"].as_str().unwrap().to_owned());
        } else if exchange.name == "login with api-key" {
            self.tokens.insert("sync-user".to_owned(), own["token"].as_str().unwrap().to_owned());
        }
        for name in ["id", "refresh_token", "sync_api_key"] {
            let (Some(recorded), Some(own)) = (recorded[name].as_str(), own[name].as_str()) else { continue };
            self.texts.insert(recorded.to_owned(), own.to_owned());
            if name == "sync_api_key" {
                // As the recording tampers with keys; ours must not happen to end like this.
                let tampered = if own.ends_with("00") { "01" } else { "00" };
                let cut = |key: &str| key[..key.len() - 2].to_owned();
                self.texts.insert(cut(recorded) + "00", cut(own) + tampered);
            }
        }
        if exchange.path == "/v1/users"
            && let (Some(recorded), Some(own)) = (recorded["id"].as_i64(), own["id"].as_i64())
        {
            self.users.insert(recorded, own);
        }
    }

    fn judge(&mut self, exchange: &Exchange, answer: &Answer) {
        let shown = format!("{}: {} {}", exchange.name, exchange.method, exchange.path);
        let unlike = self.unlike(exchange, answer);
        let listed = self.rows.iter().position(|row| row.describes(exchange));
        let told = format!("here {} {}", answer.status, answer.body);
        match listed.map(|n| (n, &self.rows[n])) {
            None if unlike.is_empty() => {}
            None => self.complaints.push(format!("{shown}: {}; {told}", unlike.join("; "))),
            Some((n, row)) => {
                if unlike.is_empty() {
                    self.complaints.push(format!("{shown}: listed, but answered as recorded"));
                } else if (answer.status, answer.body["code"].as_str()) != (row.status, row.code.as_deref()) {
                    self.complaints.push(format!("{shown}: listed as {} {:?}; {told}", row.status, row.code));
                } else if exchange.is_success() && answer.status == exchange.status {
                    // No table can excuse a success answer of another shape: only values of a row may differ.
                    let lacking = shape::lacking(&exchange.answer, &answer.body);
                    self.complaints
                        .extend(lacking.into_iter().map(|what| format!("{shown}: {what}; {told}")));
                }
                self.used[n] = true;
            }
        }
        // Whatever the status: answers that hold a key by right are no companies.
        if shape::shows_a_key(&answer.body) {
            self.complaints.push(format!("{shown}: a stored key is shown; {told}"));
        }
    }

    /// What a client that expects the recorded answer would miss.
    fn unlike(&self, exchange: &Exchange, answer: &Answer) -> Vec<String> {
        if answer.status != exchange.status {
            return vec![format!("recorded {} {}", exchange.status, exchange.answer)];
        }
        let mut unlike = if exchange.is_success() {
            shape::differing(&self.own(&exchange.answer), &answer.body)
        } else {
            shape::lacking(&exchange.answer, &answer.body)
        };
        if exchange.is_json != answer.is_json {
            unlike.push(format!("JSON: {}, recorded {}", answer.is_json, exchange.is_json));
        }
        unlike
    }

    fn end(mut self) {
        for (row, _) in self.rows.iter().zip(&self.used).filter(|(_, used)| !**used) {
            self.complaints.push(format!("no exchange of this row: {row:?}"));
        }
        assert!(self.complaints.is_empty(), "{}:\n{}", self.complaints.len(), self.complaints.join("\n"));
    }
}

#[tokio::test]
async fn a_primary_answers_as_recorded_or_as_listed() {
    for database in TestDatabase::each("a_primary_answers_as_recorded") {
        let primary = installation::primary(database).await;
        let mut replay = Replay::new("P", &primary.url);
        for exchange in exchanges(RECORDINGS[0].1) {
            replay.play(&exchange).await;
        }
        replay.end();
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_secondary_answers_as_recorded_or_as_listed() {
    for database in TestDatabase::each("a_secondary_answers_as_recorded") {
        let receiver = Receiver::start(database).await;
        let mut replay = Replay::new("S", &receiver.secondary.url);
        for exchange in exchanges(RECORDINGS[1].1) {
            if exchange.name == "start sync on this role" {
                receiver.forget_the_key().await;
            }
            replay.play(&exchange).await;
            if exchange.path == format!("/v1/companies/{COMPANY_ONE}") && exchange.method == "PATCH" {
                receiver.connect_company_one().await;
            }
            if is_written_by_the_reference(&exchange) {
                let body = replay.own(&exchange.body);
                receiver.write_upstream(&exchange.method, &exchange.path, &body).await;
            }
        }
        replay.end();
        receiver.stop().await;
    }
}

/// Slices, grains and subscriptions that the recording makes on the secondary itself. What it deletes at the end is not
/// read any more.
fn is_written_by_the_reference(exchange: &Exchange) -> bool {
    exchange.is_success()
        && ["POST", "PUT"].contains(&exchange.method.as_str())
        && ["/v1/slices", "/v1/grains", "/v1/subs"].iter().any(|path| exchange.path.starts_with(path))
}
