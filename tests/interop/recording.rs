//! Recordings: exchanges with servers or clients of the reference, one a line; how they are asked again.

use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

/// A recorded request and its answer.
#[derive(Clone)]
pub struct Exchange {
    /// What it shows; unique in a recording of a server.
    pub name: String,
    /// Who asked.
    pub caller: String,
    pub method: String,
    pub path: String,
    pub agent: String,
    pub body: Value,
    pub status: u16,
    /// Whether the answer said that it is JSON.
    pub is_json: bool,
    /// `null` if it was empty.
    pub answer: Value,
}

impl Exchange {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// All exchanges of a recording, in their order.
pub fn exchanges(text: &str) -> Vec<Exchange> {
    text.lines().map(|line| exchange(serde_json::from_str(line).unwrap())).collect()
}

/// One of them.
pub fn exchange(mut value: Value) -> Exchange {
    let (mut request, mut response) = (value["request"].take(), value["response"].take());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Exchange {
        name: text(&value["name"]),
        caller: text(&value["as"]),
        method: text(&request["method"]),
        path: text(&request["path"]),
        agent: text(&request["headers"]["user-agent"]),
        body: request["body"].take(),
        status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
        is_json: text(&response["headers"]["content-type"]).starts_with("application/json"),
        answer: Some(response["body"].take()).filter(|body| body != "").unwrap_or_default(),
    }
}

/// What our server answers.
pub struct Answer {
    pub status: u16,
    pub is_json: bool,
    /// `null` if it is empty.
    pub body: Value,
}

/// Sends a recorded request, with a path, a token and a body of our own. A body that is text goes out as it is, said
/// to be JSON: the recorded clients sent broken JSON too.
pub async fn send(
    http: &reqwest::Client,
    url: &str,
    exchange: &Exchange,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> Answer {
    let method = reqwest::Method::from_bytes(exchange.method.as_bytes()).unwrap();
    let mut request = http.request(method, format!("{url}{path}")).header("accept", "application/json");
    if !exchange.agent.is_empty() {
        request = request.header("user-agent", &exchange.agent);
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request = match body {
        Value::Null => request,
        Value::String(text) => request.header(CONTENT_TYPE, "application/json").body(text.clone()),
        body => request.json(body),
    };
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    let shown = format!("{} {path}", exchange.method);
    assert!(text.is_empty() || text.ends_with('\n'), "{shown}: the reference ends JSON with a line end");
    Answer {
        status,
        is_json: content_type.is_some_and(|value| value.starts_with("application/json")),
        body: if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() },
    }
}
