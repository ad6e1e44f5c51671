//! A TCP proxy before a server: every byte passes unchanged, but late, or only when a test lets it.
//!
//! It knows of HTTP/1.1 that whatever the server says after the client spoke begins an answer. Delays come from a
//! seeded generator, one per connection, so that a run that failed can be had again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How much of a question is kept to recognise it: its first line and the headers.
const QUESTION_BYTES: usize = 8 * 1024;
/// How long a test waits for an answer to arrive at a gate.
const GATE_DEADLINE: Duration = Duration::from_mins(1);

/// The proxy; gone when dropped.
pub struct Detour {
    /// Base URL.
    pub url: String,
    road: Arc<Road>,
    task: JoinHandle<()>,
}

/// What all connections share.
struct Road {
    upstream: SocketAddr,
    seed: u64,
    most: Duration,
    gate: Mutex<Option<Barrier>>,
}

struct Barrier {
    words: String,
    caught: mpsc::UnboundedSender<Caught>,
}

impl Detour {
    /// Before the server at `upstream` (`http://ADDRESS:PORT`); nothing is delayed.
    ///
    /// # Panics
    /// Without a free port.
    pub async fn start(upstream: &str) -> Self {
        Self::delaying(upstream, 0, Duration::ZERO).await
    }

    /// As [`start`](Self::start), with a random delay of at most `most` before one answer of two, by chance.
    ///
    /// # Panics
    /// Without a free port.
    pub async fn delaying(upstream: &str, seed: u64, most: Duration) -> Self {
        let upstream = upstream.strip_prefix("http://").expect("plain HTTP").parse().expect("an address");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound port"));
        let road = Arc::new(Road { upstream, seed, most, gate: Mutex::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&road)));
        Self { url, road, task }
    }

    /// From now on answers to requests whose first line or headers hold `words` wait at the gate.
    pub fn catch(&self, words: &str) -> Gate {
        let (caught, arrivals) = mpsc::unbounded_channel();
        *self.road.barrier() = Some(Barrier { words: words.to_owned(), caught });
        Gate { road: Arc::clone(&self.road), arrivals }
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Holds answers until it is opened, or dropped.
pub struct Gate {
    road: Arc<Road>,
    arrivals: mpsc::UnboundedReceiver<Caught>,
}

impl Gate {
    /// The next answer that arrived.
    ///
    /// # Panics
    /// When none does within a minute.
    pub async fn caught(&mut self) -> Caught {
        let arrival = tokio::time::timeout(GATE_DEADLINE, self.arrivals.recv()).await;
        arrival.expect("an answer at the gate").expect("a gate that is closed")
    }

    /// Whether no answer waits but those that [`caught`](Self::caught) gave out.
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// Lets everything go that nobody asked for, and catches no more.
    pub fn open(self) {
        drop(self);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        *self.road.barrier() = None;
    }
}

/// An answer that waits; it goes on when this is dropped.
pub struct Caught {
    _holds: oneshot::Sender<()>,
}

impl Caught {
    /// Lets it go on.
    pub fn let_go(self) {
        drop(self);
    }
}

impl Road {
    fn barrier(&self) -> std::sync::MutexGuard<'_, Option<Barrier>> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to an answer before its first byte passes.
    async fn before_answer(&self, question: &[u8], random: &mut Xoshiro256PlusPlus) {
        if !self.most.is_zero() && random.random_bool(0.5) {
            let most = u64::try_from(self.most.as_micros()).unwrap_or(u64::MAX);
            tokio::time::sleep(Duration::from_micros(random.random_range(0..=most))).await;
        }
        let let_go = self.barrier().as_ref().and_then(|barrier| {
            let words = barrier.words.as_bytes();
            let is_meant = question.windows(words.len()).any(|window| window == words);
            is_meant.then(|| {
                let (holds, let_go) = oneshot::channel();
                // A gate that has just gone holds nothing.
                drop(barrier.caught.send(Caught { _holds: holds }));
                let_go
            })
        });
        if let Some(let_go) = let_go {
            drop(let_go.await);
        }
    }
}

async fn accept(listener: TcpListener, road: Arc<Road>) {
    let mut number = 0;
    while let Ok((client, _peer)) = listener.accept().await {
        let random = Xoshiro256PlusPlus::seed_from_u64(road.seed.wrapping_add(number));
        number += 1;
        tokio::spawn(carry(client, Arc::clone(&road), random));
    }
}

/// One connection. It ends as its ends do: a side that closes is closed on the other side, and an error is the end.
async fn carry(client: TcpStream, road: Arc<Road>, random: Xoshiro256PlusPlus) {
    let Ok(server) = TcpStream::connect(road.upstream).await else { return };
    for stream in [&client, &server] {
        drop(stream.set_nodelay(true));
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let question = Arc::new(Mutex::new(Vec::new()));
    let (up, down) = tokio::join!(
        upwards(from_client, to_server, &question),
        downwards(from_server, to_client, &question, &road, random),
    );
    // Nobody is interested in how a connection broke: both sides see it themselves.
    drop((up, down));
}

async fn upwards(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    question: &Mutex<Vec<u8>>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        // Kept before it is passed on: the answer may come at once.
        keep(question, &buffer[..count]);
        to.write_all(&buffer[..count]).await?;
    }
}

fn keep(question: &Mutex<Vec<u8>>, more: &[u8]) {
    let mut kept = question.lock().unwrap_or_else(PoisonError::into_inner);
    let room = QUESTION_BYTES.saturating_sub(kept.len());
    kept.extend(more.iter().take(room));
}

async fn downwards(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    question: &Mutex<Vec<u8>>,
    road: &Road,
    mut random: Xoshiro256PlusPlus,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let asked = std::mem::take(&mut *question.lock().unwrap_or_else(PoisonError::into_inner));
        if !asked.is_empty() {
            road.before_answer(&asked, &mut random).await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}
