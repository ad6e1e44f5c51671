//! Clients that send nothing, or stop in the middle (slow loris): they hold no server up and are sent away.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::TestPrimary;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How many at once.
const SOCKETS: usize = 2_000;
/// Each is sent away after ten seconds without a byte, and some more in which it may read its answer.
const DEADLINE: Duration = Duration::from_mins(2);

/// Where each of them stops, and how the answer begins. The last two are refused before anybody asks for their bodies.
const BEGINNINGS: [(&str, &str); 7] = [
    ("", ""),
    ("GET /check HT", ""),
    ("POST /login HTTP/1.1\r\nhost: a\r\ncontent-length: 40\r\n", ""),
    (
        "POST /login HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n",
        "HTTP/1.1 408",
    ),
    (
        "POST /login HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n28\r\n{",
        "HTTP/1.1 408",
    ),
    ("POST /v1/slices HTTP/1.1\r\nhost: a\r\ncontent-length: 40\r\n\r\n", "HTTP/1.1 401"),
    ("POST /v1/slices HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n28\r\n{", "HTTP/1.1 401"),
];

#[tokio::test]
async fn two_thousand_sockets_that_stop_in_the_middle_are_closed_and_hold_nobody_up() {
    // Both ends of each are ours.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let primary = TestPrimary::start().await;
    let addr = primary.url.trim_start_matches("http://").to_owned();
    let sockets = join_all((0..SOCKETS).map(|number| {
        let (addr, (beginning, answer)) = (addr.clone(), BEGINNINGS[number % BEGINNINGS.len()]);
        async move {
            let mut socket = TcpStream::connect(addr).await.unwrap();
            socket.write_all(beginning.as_bytes()).await.unwrap();
            (beginning, answer, socket)
        }
    }))
    .await;
    // They are all there, and others are served.
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    for _ in 0..50 {
        let answer = http.get(format!("{}/check", primary.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let closed = join_all(sockets.into_iter().map(|(beginning, expected, mut socket)| async move {
        let mut answer = Vec::new();
        // A reset is an end, too.
        let end = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "still open: {beginning:?}");
        let status = String::from_utf8_lossy(answer.get(..12).unwrap_or_default()).into_owned();
        // Who has not sent a whole head may be told so or not.
        assert!(
            status == expected || expected.is_empty() && status == "HTTP/1.1 408",
            "{beginning:?}: {status}"
        );
    }));
    closed.await;
    assert_eq!(http.get(format!("{}/check", primary.url)).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_login_that_drips_in_is_sent_away_and_whoever_sends_chunks_to_their_end_keeps_his_connection() {
    let primary = TestPrimary::start().await;
    let addr = primary.url.trim_start_matches("http://").to_owned();
    let head = "POST /login HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
    let (mut reading, mut writing) = TcpStream::connect(&addr).await.unwrap().into_split();
    writing.write_all(format!("{head}content-length: 4000\r\n\r\n").as_bytes()).await.unwrap();
    let dripping = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_secs(2));
        while writing.write_all(b" ").await.is_ok() {
            pace.tick().await;
        }
    });
    let mut answer = Vec::new();
    let end = tokio::time::timeout(Duration::from_mins(1), reading.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "still open");
    dripping.abort();
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));

    let mut socket = TcpStream::connect(&addr).await.unwrap();
    for _again in 0..3 {
        let wrong = format!("{head}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
        socket.write_all(wrong.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}\n") {
            let mut part = [0; 4096];
            let read = tokio::time::timeout(DEADLINE, socket.read(&mut part)).await.unwrap().unwrap();
            assert!(read > 0, "closed: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&part[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    }
    primary.stop().await;
}
