//! Clients that send nothing, or stop in the middle (slow loris): they hold no server up and are sent away.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::TestPrimary;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How many at once.
const SOCKETS: usize = 2_000;
/// Each is sent away after ten seconds without a byte, a client that has been answered after a minute.
const DEADLINE: Duration = Duration::from_mins(2);

/// Where each of them stops. A body in chunks that stops is answered as well, but actix-http goes on reading it for as long as the
/// client likes (docs/security.md, D2).
const BEGINNINGS: [&str; 4] = [
    "",
    "GET /check HT",
    "POST /login HTTP/1.1\r\nhost: a\r\ncontent-length: 40\r\n",
    "POST /login HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n",
];

#[tokio::test]
async fn two_thousand_sockets_that_stop_in_the_middle_are_closed_and_hold_nobody_up() {
    // Both ends of each are ours.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let primary = TestPrimary::start().await;
    let addr = primary.url.trim_start_matches("http://").to_owned();
    let sockets = join_all((0..SOCKETS).map(|number| {
        let (addr, beginning) = (addr.clone(), BEGINNINGS[number % BEGINNINGS.len()]);
        async move {
            let mut socket = TcpStream::connect(addr).await.unwrap();
            socket.write_all(beginning.as_bytes()).await.unwrap();
            (beginning, socket)
        }
    }))
    .await;
    // They are all there, and others are served.
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    for _ in 0..50 {
        let answer = http.get(format!("{}/check", primary.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let closed = join_all(sockets.into_iter().map(|(beginning, mut socket)| async move {
        let mut answer = Vec::new();
        // A reset is an end, too.
        let end = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "still open: {beginning:?}");
        let status = String::from_utf8_lossy(answer.get(..12).unwrap_or_default()).into_owned();
        // Who has sent a whole head is told why.
        let is_told = status == "HTTP/1.1 408";
        assert!(is_told || status.is_empty() && !beginning.ends_with("\r\n\r\n"), "{beginning:?}: {status}");
    }));
    closed.await;
    assert_eq!(http.get(format!("{}/check", primary.url)).send().await.unwrap().status(), 200);
}
