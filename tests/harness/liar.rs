//! A man in the middle, for tests of what a receiver must not believe.

use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

/// Stands before a server and changes its answers.
pub struct Liar {
    /// Base URL.
    pub url: String,
    /// Bodies of the requests so far.
    pub seen: Arc<Mutex<Vec<String>>>,
    handle: actix_web::dev::ServerHandle,
}

/// Gets path and honest body, gives another body; `None` breaks the connection off in the middle.
pub type Lie = Arc<dyn Fn(&str, Vec<u8>) -> Option<Vec<u8>> + Send + Sync>;

impl Liar {
    /// Starts on a free port.
    ///
    /// # Panics
    /// Without one.
    pub fn start(upstream: String, lie: Lie) -> Self {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&seen);
        let http = crate::stranger();
        let server = HttpServer::new(move || {
            let (http, upstream, lie) = (http.clone(), upstream.clone(), Arc::clone(&lie));
            let log = Arc::clone(&log);
            App::new().app_data(web::PayloadConfig::new(1 << 28)).default_service(web::to(
                move |request: HttpRequest, body: web::Bytes| {
                    let (http, upstream, lie) = (http.clone(), upstream.clone(), Arc::clone(&lie));
                    log.lock()
                        .expect("a test's own traffic")
                        .push(String::from_utf8_lossy(&body).into_owned());
                    async move { forward(request, body, http, upstream, lie).await }
                },
            ))
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("a test's own traffic");
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, seen, handle }
    }

    /// Stops at once.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

async fn forward(
    request: HttpRequest,
    body: web::Bytes,
    http: reqwest::Client,
    upstream: String,
    lie: Lie,
) -> HttpResponse {
    let method =
        reqwest::Method::from_bytes(request.method().as_str().as_bytes()).expect("a test's own traffic");
    let mut outgoing = http.request(method, format!("{upstream}{}", request.uri())).body(body);
    for name in ["authorization", "content-type", "idempotency-key", "user-agent"] {
        if let Some(value) = request.headers().get(name) {
            outgoing = outgoing.header(name, value.to_str().expect("a test's own traffic"));
        }
    }
    let answer = outgoing.send().await.expect("a test's own traffic");
    let status =
        actix_web::http::StatusCode::from_u16(answer.status().as_u16()).expect("a test's own traffic");
    let honest = answer.bytes().await.expect("a test's own traffic").to_vec();
    if let Some(text) = lie(request.path(), honest.clone()) {
        HttpResponse::build(status).content_type("application/json").body(text)
    } else {
        let half = bytes::Bytes::from(honest.iter().take(honest.len() / 2).copied().collect::<Vec<u8>>());
        let chunks = [Ok(half), Err(std::io::Error::other("cut"))];
        HttpResponse::build(status).streaming(futures_util::stream::iter(chunks))
    }
}
