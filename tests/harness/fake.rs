//! A server whose every answer comes from a script: whole, held back, endless, or that of a real server behind it.

use std::sync::{Arc, Mutex};

use actix_web::dev::Service as _;
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Compress;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use shared::crypto::content_digest::content_digest;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// In capitals.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// With it.
    pub uri: String,
    /// Of the header `Authorization`.
    pub authorization: String,
    /// Of the header `Content-Type`.
    pub content_type: String,
    /// Of the header `Sandpiper-Signature`.
    pub signature: String,
    /// The body.
    pub body: Bytes,
}

/// Answers a request.
pub type Script = Arc<dyn Fn(Asked) -> LocalBoxFuture<'static, HttpResponse> + Send + Sync>;

/// A scripted server; it ends with the test's process.
pub struct Fake {
    /// Base URL.
    pub url: String,
    /// Every request so far.
    pub seen: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Starts on a free port; answers go out as they are.
    pub fn start(script: Script) -> Self {
        Self::start_with(script, "identity")
    }

    /// The same with every answer compressed by `coding` (`gzip`, `zstd`), whatever the client asks for.
    ///
    /// # Panics
    /// Without a port.
    pub fn start_with(script: Script, coding: &'static str) -> Self {
        let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = Arc::clone(&seen);
        let server = HttpServer::new(move || {
            let (script, log) = (Arc::clone(&script), Arc::clone(&log));
            App::new()
                .app_data(web::PayloadConfig::new(1 << 28))
                .default_service(web::to(move |request: HttpRequest, body: Bytes| {
                    let asked = asked(&request, body);
                    log.lock().expect("a test's own traffic").push(asked.clone());
                    script(asked)
                }))
                .wrap(Compress::default())
                .wrap_fn(move |mut request, service| {
                    let coding = header::HeaderValue::from_static(coding);
                    request.headers_mut().insert(header::ACCEPT_ENCODING, coding);
                    service.call(request)
                })
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("a free port");
        let url = format!("http://{}", server.addrs()[0]);
        tokio::spawn(server.run());
        Self { url, seen }
    }
}

fn asked(request: &HttpRequest, body: Bytes) -> Asked {
    let text = |name| {
        let value = request.headers().get(name).map(|value: &header::HeaderValue| value.to_str());
        value.and_then(Result::ok).unwrap_or_default().to_owned()
    };
    Asked {
        method: request.method().to_string(),
        path: request.path().to_owned(),
        uri: request.uri().to_string(),
        authorization: text(header::AUTHORIZATION),
        content_type: text(header::CONTENT_TYPE),
        signature: text(header::HeaderName::from_static("sandpiper-signature")),
        body,
    }
}

/// The real server behind a script.
#[derive(Clone)]
pub struct Upstream {
    http: reqwest::Client,
    url: String,
}

impl Upstream {
    /// The server at `url`.
    ///
    /// # Panics
    /// Without a TLS provider.
    pub fn new(url: &str) -> Self {
        let http = crate::stranger();
        Self { http, url: url.to_owned() }
    }

    /// Asks it the same and gives its answer whole.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn ask(&self, asked: &Asked) -> (StatusCode, Vec<u8>) {
        let method = reqwest::Method::from_bytes(asked.method.as_bytes()).expect("a test's own traffic");
        let mut request = self.http.request(method, format!("{}{}", self.url, asked.uri));
        for (name, value) in [("authorization", &asked.authorization), ("content-type", &asked.content_type)]
        {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        let answer = request.body(asked.body.clone()).send().await.expect("a test's own traffic");
        let status = StatusCode::from_u16(answer.status().as_u16()).expect("a test's own traffic");
        (status, answer.bytes().await.expect("a test's own traffic").to_vec())
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::build(status).content_type("application/json").body(body.into())
}

/// An answer of another server passed on: as JSON, with the digest of what is sent (RFC 9530).
pub fn passed_on(status: StatusCode, body: Vec<u8>) -> HttpResponse {
    let digest = content_digest(&body);
    HttpResponse::build(status)
        .content_type("application/json")
        .insert_header(("content-digest", digest))
        .body(body)
}
