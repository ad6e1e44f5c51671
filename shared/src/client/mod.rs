//! The typed HTTP client of both servers: used by the secondary, by commands, by the demo and by tests.

mod hook;
mod lines;
mod list;
mod login;
mod sync;
mod unpack;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use hook::HookUrl;
pub use lines::Lines;

use crate::crypto::Secret;
use crate::wire::error::ErrorBody;

/// Not the reference's `Sandpiper`: primaries serve that one a hash without metadata (spec §9).
const USER_AGENT: &str = concat!("sandpiper-rs/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a byte for this long the other side counts as gone. There is no limit on the whole: files may be large.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection that nobody used for this long is not used any more: servers close such ones, and a request that meets the end
/// is lost. Apache waits 5 seconds for the next one, ours 10 for the first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Answers that are one JSON document, such as a page of grains with payloads.
const MAX_JSON: usize = 256 * 1024 * 1024;
/// Answers that say one thing: a token, who answers, a key. Whoever sends more means no good.
const MAX_SMALL: usize = 1024 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL cannot be used; the sentence names the remedy.
    #[error("{0}")]
    Url(String),
    /// Plain HTTP to another machine, and the settings do not allow it.
    #[error(
        "\"{0}\" is plain HTTP to another machine: use https, or set allow_http_primaries = true in config.toml"
    )]
    PlainHttp(String),
    /// No connection, or it broke.
    #[error("{server} cannot be reached: {reason}")]
    Unreachable {
        /// Scheme, host and port.
        server: String,
        /// Why.
        reason: String,
    },
    /// The server refused.
    #[error("{server} answered {status}: {message}")]
    Refused {
        /// Scheme, host and port.
        server: String,
        /// Its status.
        status: StatusCode,
        /// Its message.
        message: String,
    },
    /// The answer is not what the protocol says.
    #[error("{server} sent something unexpected: {reason}")]
    Unexpected {
        /// Scheme, host and port.
        server: String,
        /// What.
        reason: String,
    },
}

impl ClientError {
    /// Whether the server refused with this status.
    pub fn is_status(&self, status: u16) -> bool {
        matches!(self, Self::Refused { status: found, .. } if found.as_u16() == status)
    }
}

impl From<ClientError> for crate::node::Error {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Url(text) => Self::BadRequest(text),
            ClientError::PlainHttp(_) => Self::NotConfigured(error.to_string()),
            // Not there, or there and saying that it will be well again.
            ClientError::Unreachable { .. }
            | ClientError::Refused {
                status:
                    StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT,
                ..
            } => Self::Unreachable(error.to_string()),
            ClientError::Refused { .. } | ClientError::Unexpected { .. } => Self::Upstream(error.to_string()),
        }
    }
}

/// Connections and trusted certificates, for any number of clients: reading the system's trust store takes its time.
#[derive(Clone)]
pub struct Http(reqwest::Client);

impl Http {
    /// Reads the system's trust store.
    ///
    /// # Errors
    /// [`ClientError::Url`] when TLS cannot be set up.
    pub fn new() -> Result<Self, ClientError> {
        reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(STALL_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A redirect could carry the credential elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Unpacked here, within limits: see `unpack`.
            .no_gzip()
            .no_zstd()
            .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(unpack::CODINGS))]))
            .build()
            .map(Self)
            .map_err(|error| ClientError::Url(format!("cannot set up the client: {error}")))
    }
}

/// A client of one server, with the token of its last login.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<Secret>,
}

impl Client {
    /// A client of the server at `base` (a path in it is kept: servers behind a proxy's sub-path work). Plain HTTP to
    /// another machine needs `allow_http`: a credential would travel in the clear.
    ///
    /// # Errors
    /// [`ClientError::Url`].
    pub fn new(http: &Http, base: &str, allow_http: bool) -> Result<Self, ClientError> {
        Ok(Self { http: http.0.clone(), base: parse(base, allow_http)?, token: None })
    }

    /// How a server's address is written: `https://Host:443/` and `https://host` are one.
    pub fn address(base: &str) -> Option<String> {
        parse(base, true).ok().map(|url| url.as_str().trim_end_matches('/').to_owned())
    }

    /// Scheme, host, port and path: what errors show.
    pub fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// `GET path`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(self.request(Method::GET, path)).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// A call without a body whose answer does not matter.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn call(&self, method: Method, path: &str) -> Result<(), ClientError> {
        self.send(self.request(method, path)).await.map(|_answer| ())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server()));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        self.json_within(request, MAX_JSON).await
    }

    async fn json_within<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        limit: usize,
    ) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        let bytes = self.body(response, limit).await?;
        // An empty body is the reference's way to say nothing.
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text).map_err(|error| self.unexpected(error.to_string()))
    }

    /// A body, unpacked.
    async fn body(&self, response: Response, limit: usize) -> Result<Vec<u8>, ClientError> {
        self.within(unpack::unpacked(self, response), limit).await
    }

    /// A body as it travels.
    async fn raw_body(&self, response: Response, limit: usize) -> Result<Vec<u8>, ClientError> {
        self.within(response.bytes_stream().map_err(|error| self.unreachable(error)), limit).await
    }

    async fn within(
        &self,
        pieces: impl Stream<Item = Result<Bytes, ClientError>>,
        limit: usize,
    ) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.try_next().await? {
            if bytes.len().saturating_add(piece.len()) > limit {
                return Err(self.unexpected(format!("an answer of more than {limit} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = self.body(response, 64 * 1024).await.unwrap_or_default();
        let message = match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => body.message.to_string().chars().take(300).collect(),
            Err(_no_error_body) => status.canonical_reason().unwrap_or("no reason").to_owned(),
        };
        Err(ClientError::Refused { server: self.server().to_owned(), status, message })
    }

    fn unreachable(&self, error: reqwest::Error) -> ClientError {
        // The innermost cause says it best: "Connection refused", "certificate has expired".
        let error = error.without_url();
        let mut reason: &dyn std::error::Error = &error;
        let mut is_tls = false;
        while let Some(source) = reason.source() {
            reason = source;
            // An I/O error shows what is in it elsewhere than in its chain.
            let inner = reason.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            is_tls |=
                reason.is::<rustls::Error>() || matches!(inner, Some(inner) if inner.is::<rustls::Error>());
        }
        // Trying again does not help: not the server that was meant, or no TLS at all.
        if is_tls {
            return self.unexpected(format!("TLS: {reason}"));
        }
        ClientError::Unreachable { server: self.server().to_owned(), reason: reason.to_string() }
    }

    fn unexpected(&self, reason: impl Into<String>) -> ClientError {
        ClientError::Unexpected { server: self.server().to_owned(), reason: reason.into() }
    }
}

/// A base URL that a credential may be sent to.
fn parse(base: &str, allow_http: bool) -> Result<Url, ClientError> {
    let refuse = |reason: &str| Err(ClientError::Url(format!("\"{base}\" {reason}")));
    let Ok(url) = Url::parse(base.trim()) else {
        return refuse("is no URL: write it as https://host or https://host:port");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ClientError::Url("the URL must not hold a user name or password".to_owned()));
    }
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return refuse("names no host: write it as https://host or https://host:port"),
    };
    match url.scheme() {
        "https" => {}
        "http" if is_loopback || allow_http => {}
        "http" => {
            return Err(ClientError::PlainHttp(base.to_owned()));
        }
        _ => return refuse("is neither http nor https"),
    }
    Ok(url)
}
