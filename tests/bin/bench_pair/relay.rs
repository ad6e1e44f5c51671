//! A TCP relay that counts what it passes on: the bytes that cross the wire, both ways, headers and all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Result;

/// Before one server; gone with the program.
pub(super) struct Relay {
    /// Base URL.
    pub url: String,
    passed: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
}

impl Relay {
    /// Before the server at `upstream` (`http://ADDRESS:PORT`).
    pub async fn start(upstream: &str) -> Result<Self> {
        let upstream: SocketAddr = upstream.strip_prefix("http://").ok_or("plain HTTP")?.parse()?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let passed = Arc::new(AtomicU64::new(0));
        let requests = Arc::new(AtomicU64::new(0));
        let (counter, asked) = (Arc::clone(&passed), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((client, _address)) = listener.accept().await {
                tokio::spawn(pass(client, upstream, Arc::clone(&counter), Arc::clone(&asked)));
            }
        });
        Ok(Self { url, passed, requests })
    }

    /// Bytes passed since the start.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Requests passed since the start.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn pass(client: TcpStream, upstream: SocketAddr, passed: Arc<AtomicU64>, requests: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    // A connection that breaks ends both ways; the servers say the rest.
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // What a client sends begins with its requests: it waits for each answer, and none of them is longer than a buffer.
    let asked = |bytes: &[u8]| {
        if bytes.starts_with(b"GET ") || bytes.starts_with(b"POST ") {
            requests.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::join!(
        copy(from_client, to_server, &passed, asked),
        copy(from_server, to_client, &passed, |_answer| {})
    );
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    passed: &AtomicU64,
    look: impl Fn(&[u8]),
) {
    let mut buffer = vec![0; 128 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        look(&buffer[..count]);
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        passed.fetch_add(count as u64, Ordering::Relaxed);
    }
    drop(to.shutdown().await);
}
