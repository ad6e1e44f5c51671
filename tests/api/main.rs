//! The API of both servers as a client sees it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, tells a story in one go, and looks at a server with a stranger's client"
)]

mod architecture;
mod body;
mod contract;
mod deleted_user;
mod header;
mod list;
mod ordinary_user;
mod patch;
mod permission;
mod promises;
mod renewal;
mod request;
mod seed_002;
mod setting;
mod slice_edit;
mod sub_edit;
mod tag;
mod tenant;

use serde_json::Value;

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

/// The ids in a list; none in `null`.
fn ids(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// A caller with a token.
#[derive(Clone)]
struct Caller {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Caller {
    async fn login(url: &str, body: &Value) -> Self {
        let http = reqwest::Client::new();
        let (status, answer) = send(http.post(format!("{url}/login")).json(body)).await;
        assert_eq!(status, 200, "{answer}");
        Self { http, url: url.to_owned(), token: answer["token"].as_str().unwrap().to_owned() }
    }

    async fn password(url: &str, username: &str, password: &str) -> Self {
        Self::login(url, &serde_json::json!({ "username": username, "password": password })).await
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
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
