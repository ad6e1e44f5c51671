//! Between a secondary and its primary: logins and mints wait here until the test says what becomes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use tokio::sync::{mpsc, oneshot};

/// A request, to be sent as often as the test likes.
#[derive(Clone, Debug)]
pub struct Letter {
    pub method: reqwest::Method,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Status and body.
pub type Reply = (u16, Vec<u8>);

/// A secondary's request that waits. Dropped, its connection breaks.
#[derive(Debug)]
pub struct Held {
    pub letter: Letter,
    pub reply: oneshot::Sender<Reply>,
}

/// The gate.
pub struct Gate {
    pub url: String,
    /// Whether anything is held.
    pub is_shut: Arc<AtomicBool>,
    arrivals: mpsc::UnboundedReceiver<Held>,
    handle: actix_web::dev::ServerHandle,
}

impl Gate {
    /// Before the server at `upstream`; open.
    pub fn start(upstream: &str) -> Self {
        let (caught, arrivals) = mpsc::unbounded_channel();
        let is_shut: Arc<AtomicBool> = Arc::default();
        let (shut, upstream, http) = (Arc::clone(&is_shut), upstream.to_owned(), tests::stranger());
        let server = HttpServer::new(move || {
            let (http, upstream) = (http.clone(), upstream.clone());
            let (caught, shut) = (caught.clone(), Arc::clone(&shut));
            App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
                let (http, upstream, caught) = (http.clone(), upstream.clone(), caught.clone());
                let letter = letter(&request, &body);
                let is_held =
                    shut.load(Ordering::SeqCst) && ["/login", "/v1/apikey"].contains(&request.path());
                async move {
                    let reply = if is_held {
                        let (reply, answered) = oneshot::channel();
                        caught.send(Held { letter, reply }).expect("a test that listens");
                        answered.await.ok()
                    } else {
                        Some(send(&http, &upstream, &letter).await)
                    };
                    answer(reply)
                }
            }))
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("a free port");
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, is_shut, arrivals, handle }
    }

    /// The next request that is held, if there comes any.
    pub async fn held(&mut self) -> Option<Held> {
        tokio::time::timeout(Duration::from_secs(20), self.arrivals.recv()).await.ok().flatten()
    }

    /// Whether nothing came that nobody waited for.
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

/// Sends a request and hears the answer.
pub async fn send(http: &reqwest::Client, server: &str, letter: &Letter) -> Reply {
    let mut request = http.request(letter.method.clone(), format!("{server}{}", letter.path));
    for (name, value) in &letter.headers {
        request = request.header(*name, value);
    }
    let answer = request.body(letter.body.clone()).send().await.expect("an answer");
    (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
}

fn letter(request: &HttpRequest, body: &[u8]) -> Letter {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    Letter {
        method: reqwest::Method::from_bytes(request.method().as_str().as_bytes()).expect("a method"),
        path: request.uri().to_string(),
        headers: ["authorization", "content-type", "idempotency-key", "user-agent"]
            .into_iter()
            .filter_map(|name| Some((name, text(name)?.to_owned())))
            .collect(),
        body: body.to_vec(),
    }
}

fn answer(reply: Option<Reply>) -> HttpResponse {
    let Some((status, body)) = reply else {
        let cut = [Err::<bytes::Bytes, _>(std::io::Error::other("cut"))];
        return HttpResponse::Ok().streaming(futures_util::stream::iter(cut));
    };
    let status = actix_web::http::StatusCode::from_u16(status).expect("a status");
    HttpResponse::build(status).content_type("application/json").body(body)
}
