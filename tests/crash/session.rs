//! Somebody who is logged in at a server that may be gone at any moment.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::program::DEADLINE;

/// Tokens live 15 minutes.
const RENEW_AFTER: Duration = Duration::from_mins(8);

/// What came back.
#[derive(Debug)]
pub enum Answer {
    /// A whole answer.
    Whole(StatusCode, Value),
    /// The connection was refused or broke: the server may have done it, or not.
    Cut(#[expect(dead_code, reason = "told when a test fails")] String),
}

/// One login, kept over restarts of the server.
pub struct Session {
    http: reqwest::Client,
    url: String,
    refresh: String,
    token: Mutex<(String, Instant)>,
}

impl Session {
    /// Logs in.
    pub async fn open(url: &str, username: &str, password: &str) -> Self {
        // A connection kept from before a kill would fail the first call after it.
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(DEADLINE)
            .build()
            .unwrap();
        let body = json!({ "username": username, "password": password });
        let answer = http.post(format!("{url}/login")).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let login: Value = answer.json().await.unwrap();
        let text = |name: &str| login[name].as_str().unwrap().to_owned();
        let token = Mutex::new((text("token"), Instant::now()));
        Self { http, url: url.to_owned(), refresh: text("refresh_token"), token }
    }

    async fn token(&self) -> String {
        let mut held = self.token.lock().await;
        if held.1.elapsed() > RENEW_AFTER
            && let Ok(answer) = self.http.get(format!("{}/refresh/{}", self.url, self.refresh)).send().await
        {
            let fresh: Value = answer.json().await.unwrap_or_default();
            if let Some(token) = fresh["token"].as_str() {
                *held = (token.to_owned(), Instant::now());
            }
        }
        held.0.clone()
    }

    /// One call.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request =
            self.http.request(method, format!("{}{path}", self.url)).bearer_auth(self.token().await);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return cut(&error),
        };
        let status = answer.status();
        match answer.bytes().await {
            Ok(bytes) if bytes.is_empty() => Answer::Whole(status, Value::Null),
            Ok(bytes) => Answer::Whole(status, serde_json::from_slice(&bytes).unwrap()),
            Err(error) => cut(&error),
        }
    }

    /// A call that either works or is cut off.
    pub async fn done(&self, method: Method, path: &str, body: Option<&Value>) -> Option<Value> {
        match self.call(method, path, body).await {
            Answer::Whole(status, value) => {
                assert!(status.is_success(), "{path}: {status} {value}");
                Some(value)
            }
            Answer::Cut(_) => None,
        }
    }
}

fn cut(error: &reqwest::Error) -> Answer {
    assert!(!error.is_timeout(), "no answer within {DEADLINE:?}: {error:?}");
    Answer::Cut(format!("{error:?}"))
}
