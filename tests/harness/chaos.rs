//! A proxy before a server that mistreats its answers: their bodies, unpacked and packed again, and their bytes on the wire.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::StatusCode;
use bytes::Bytes;
use shared::crypto::content_digest::content_digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::fake::{Asked, Upstream};

/// Writes of one answer that are made one by one; the rest follows at once, so that no answer takes long.
const MOST_WRITES: usize = 64;

/// The proxy; gone when dropped.
pub struct Chaos {
    /// Base URL.
    pub url: String,
    /// Every request so far.
    pub seen: Arc<Mutex<Vec<Asked>>>,
    meddle: Arc<Mutex<Meddle>>,
    task: JoinHandle<()>,
}

/// Gets a question and the honest answer, gives what is sent.
pub type Meddle = Arc<dyn Fn(&Asked, Answer) -> Answer + Send + Sync>;

/// An answer on its way.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, unpacked.
    pub body: Vec<u8>,
    /// How the body is packed then.
    pub coding: Coding,
    /// `Content-Digest`; that of the packed body if it is `None`.
    pub digest: Option<String>,
    /// What its bytes meet.
    pub wire: Wire,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Plain,
    /// With a checksum: a byte that is flipped behind it is noticed.
    Gzip,
    /// Without one.
    Zstd,
}

/// What the bytes of an answer meet.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// Before the first of them.
    pub delay: Duration,
    /// Written so many at a time, with a pause after each.
    pub pace: Option<(usize, Duration)>,
    /// Bits that are flipped: where, in thousandths of the body as it is packed, and which.
    pub flips: Vec<(usize, u8)>,
    /// The connection ends behind so many thousandths of the whole.
    pub cut: Option<(usize, End)>,
    /// In chunks, without a length.
    pub is_chunked: bool,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As if all were well.
    Fin,
    /// By a reset.
    Rst,
}

impl Answer {
    /// As the server meant it.
    pub fn honest(status: StatusCode, body: Vec<u8>) -> Self {
        Self { status, body, coding: Coding::Plain, digest: None, wire: Wire::default() }
    }

    /// Its bytes, and how many of them are sent.
    fn to_bytes(&self) -> (Vec<u8>, usize) {
        let mut body = pack(&self.body, self.coding);
        let digest = self.digest.clone().unwrap_or_else(|| content_digest(&body));
        for (at, bit) in &self.wire.flips {
            let at = body.len() * at / 1_000;
            if let Some(byte) = body.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
        let coding = match self.coding {
            Coding::Plain => "",
            Coding::Gzip => "content-encoding: gzip\r\n",
            Coding::Zstd => "content-encoding: zstd\r\n",
        };
        let length = if self.wire.is_chunked {
            "transfer-encoding: chunked\r\n".to_owned()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let mut bytes = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-digest: {digest}\r\n{coding}{length}\r\n",
            self.status
        )
        .into_bytes();
        if self.wire.is_chunked {
            for chunk in body.chunks(4 * 1024) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.append(&mut body);
        }
        let sent = self.wire.cut.map_or(bytes.len(), |(share, _end)| bytes.len() * share / 1_000);
        (bytes, sent)
    }
}

fn pack(body: &[u8], coding: Coding) -> Vec<u8> {
    match coding {
        Coding::Plain => body.to_vec(),
        Coding::Gzip => {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut packed, body).expect("memory");
            packed.finish().expect("memory")
        }
        Coding::Zstd => zstd::bulk::compress(body, 1).expect("memory"),
    }
}

impl Chaos {
    /// Before the server at `upstream`; everything passes.
    ///
    /// # Panics
    /// Without a free port.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("a bound port");
        let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let pass: Meddle = Arc::new(|_asked, answer| answer);
        let meddle = Arc::new(Mutex::new(pass));
        let road =
            Road { upstream: Upstream::new(upstream), seen: Arc::clone(&seen), meddle: Arc::clone(&meddle) };
        let task = tokio::spawn(accept(listener, Arc::new(road)));
        Self { url: format!("http://{address}"), seen, meddle, task }
    }

    /// From now on this happens to answers.
    pub fn happen(&self, meddle: impl Fn(&Asked, Answer) -> Answer + Send + Sync + 'static) {
        *self.meddle.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(meddle);
    }

    /// From now on everything passes.
    pub fn heal(&self) {
        self.happen(|_asked, answer| answer);
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Road {
    upstream: Upstream,
    seen: Arc<Mutex<Vec<Asked>>>,
    meddle: Arc<Mutex<Meddle>>,
}

async fn accept(listener: TcpListener, road: Arc<Road>) {
    while let Ok((client, _peer)) = listener.accept().await {
        let road = Arc::clone(&road);
        tokio::spawn(async move {
            // Nobody is interested in how a connection broke: the other side sees it itself.
            drop(serve(client, &road).await);
        });
    }
}

/// One connection, question by question.
async fn serve(mut client: TcpStream, road: &Road) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut arrived = Vec::new();
    while let Some(asked) = question(&mut client, &mut arrived).await? {
        road.seen.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        let (status, body) = road.upstream.ask(&asked).await;
        let meddle = Arc::clone(&road.meddle.lock().unwrap_or_else(PoisonError::into_inner));
        let answer = meddle(&asked, Answer::honest(status, body));
        let (bytes, sent) = answer.to_bytes();
        if !answer.wire.delay.is_zero() {
            tokio::time::sleep(answer.wire.delay).await;
        }
        send(&mut client, bytes.get(..sent).unwrap_or(&bytes), answer.wire.pace).await?;
        match answer.wire.cut {
            None => {}
            Some((_share, End::Rst)) => {
                client.set_zero_linger()?;
                return Ok(());
            }
            Some((_share, End::Fin)) => return client.shutdown().await,
        }
    }
    Ok(())
}

async fn send(
    client: &mut TcpStream,
    mut bytes: &[u8],
    pace: Option<(usize, Duration)>,
) -> std::io::Result<()> {
    if let Some((size, pause)) = pace {
        for _ in 0..MOST_WRITES {
            let (now, later) = bytes.split_at(size.clamp(1, bytes.len().max(1)).min(bytes.len()));
            client.write_all(now).await?;
            bytes = later;
            if pause.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(pause).await;
            }
        }
    }
    client.write_all(bytes).await
}

/// The next request of a connection; `None` at its end.
async fn question(client: &mut TcpStream, arrived: &mut Vec<u8>) -> std::io::Result<Option<Asked>> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if let Some(head) = arrived.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&arrived[..head]).into_owned();
            let header = |name: &str| {
                let mut lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
                let found = lines.find(|(found, _value)| found.eq_ignore_ascii_case(name));
                found.map(|(_name, value)| value.trim().to_owned()).unwrap_or_default()
            };
            let length: usize = header("content-length").parse().unwrap_or_default();
            let whole = head + 4 + length;
            if arrived.len() >= whole {
                let body = Bytes::copy_from_slice(&arrived[head + 4..whole]);
                let mut words = text.split_whitespace().map(str::to_owned);
                let (method, uri) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                arrived.drain(..whole);
                return Ok(Some(Asked {
                    method,
                    path: uri.split('?').next().unwrap_or_default().to_owned(),
                    uri,
                    authorization: header("authorization"),
                    content_type: header("content-type"),
                    signature: header("sandpiper-signature"),
                    body,
                }));
            }
        }
        match client.read(&mut buffer).await? {
            0 => return Ok(None),
            count => arrived.extend_from_slice(&buffer[..count]),
        }
    }
}
