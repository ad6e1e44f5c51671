//! Serving: bind, run, stop. One call for `main` and for tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, HttpServer, web};
use tokio::task::{JoinHandle, JoinSet};

use super::data_dir::Misconfigured;
use super::request::around;
use crate::node::Node;
use crate::node::service::retention;

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate and key.
    pub tls: Option<rustls::ServerConfig>,
    /// Plain HTTP off loopback.
    pub insecure_http: bool,
    /// Stop on SIGTERM and SIGINT.
    pub signals: bool,
}

impl ServeOptions {
    /// Plain HTTP on a free loopback port, for tests and the demo.
    pub fn loopback() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            insecure_http: false,
            signals: false,
        }
    }
}

/// Why serving did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The options contradict the rules of design D10.
    #[error(transparent)]
    Misconfigured(#[from] Misconfigured),
    /// The port is taken, or may not be used.
    #[error("cannot listen on {listen}: {error}")]
    Bind {
        /// Where.
        listen: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
}

/// A server that runs until it is stopped.
pub struct Running {
    /// The port that was really taken.
    pub addr: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
    /// Goes with the server, however that ends.
    _beside: JoinSet<()>,
}

impl Running {
    /// Base URL.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// Waits for the end: a signal, or [`stop`](Self::stop).
    ///
    /// # Errors
    /// The server's.
    pub async fn wait(self) -> std::io::Result<()> {
        self.task.await.map_err(std::io::Error::other)?
    }

    /// Lets running requests end, then stops.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        drop(self.task.await);
    }
}

/// Starts serving `routes` for `node`.
///
/// # Errors
/// [`ServeError`].
pub fn start<F>(node: web::Data<Node>, options: ServeOptions, routes: F) -> Result<Running, ServeError>
where
    F: Fn(&mut web::ServiceConfig) + Send + Sync + 'static,
{
    let listen = options.listen;
    if !listen.ip().is_loopback() && options.tls.is_none() && !options.insecure_http {
        return Err(Misconfigured(format!(
            "{listen} can be reached from outside, and passwords would travel in the clear: give --tls-cert and \
             --tls-key, or --insecure-http behind a proxy that ends TLS"
        ))
        .into());
    }
    let routes = Arc::new(routes);
    let upkeep = Arc::clone(&node);
    let server = HttpServer::new(move || {
        let routes = Arc::clone(&routes);
        App::new()
            .app_data(node.clone())
            .configure(move |config| routes(config))
            .wrap(Compress::default())
            .wrap(from_fn(around))
    })
    .workers(std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2)))
    .client_request_timeout(Duration::from_secs(10))
    .keep_alive(Duration::from_mins(1))
    // Head and body are two writes: without it the second waits for the client's acknowledgement, 40 ms on Linux.
    .tcp_nodelay(true)
    .shutdown_timeout(10);
    let server = if options.signals { server } else { server.disable_signals() };
    let bind_error = |error| ServeError::Bind { listen, error };
    let (server, scheme) = match options.tls {
        Some(tls) => (server.bind_rustls_0_23(listen, tls).map_err(bind_error)?, "https"),
        None => (server.bind(listen).map_err(bind_error)?, "http"),
    };
    let addr = server.addrs().first().copied().unwrap_or(listen);
    let server = server.run();
    let handle = server.handle();
    let mut beside = JoinSet::new();
    beside.spawn(retention::keep_collecting(upkeep));
    Ok(Running { addr, scheme, handle, task: tokio::spawn(server), _beside: beside })
}
