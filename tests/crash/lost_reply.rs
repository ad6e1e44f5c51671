//! The primary mints, and nobody hears of it: the line between the two swallows the answer.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use reqwest::StatusCode;
use serde_json::json;

use super::Kind;
use crate::observe;
use crate::pair::{PASSWORD, Pair};
use crate::program::DEADLINE;
use crate::seed::Rounds;

const LOSSES: u32 = 12;

/// A line to a server that breaks when the answer to a mint comes by.
struct Line {
    url: String,
    breaks: Arc<AtomicBool>,
    /// Api-keys that logged in over it, each once, the newest last.
    keys: Arc<Mutex<Vec<String>>>,
}

impl Line {
    fn to(server: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let line = Self { url, breaks: Arc::default(), keys: Arc::default() };
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let (breaks, keys) = (Arc::clone(&line.breaks), Arc::clone(&line.keys));
        // Ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let (breaks, keys) = (Arc::clone(&breaks), Arc::clone(&keys));
                let asked: Arc<AtomicBool> = Arc::default();
                let (to_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let mints = Arc::clone(&asked);
                thread::spawn(move || ask(client, to_server, &mints, &keys));
                thread::spawn(move || answer(server, to_client, &asked, &breaks));
            }
        });
        line
    }

    fn newest_keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }
}

fn ask(mut client: TcpStream, mut server: TcpStream, mints: &AtomicBool, keys: &Mutex<Vec<String>>) {
    let (mut said, mut noted, mut buffer) = (String::new(), String::new(), [0; 16 * 1024]);
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        said.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if said.contains("POST /v1/apikey") {
            mints.store(true, Ordering::SeqCst);
        }
        // `{"sync-api-key":"…"}`; hex, so it ends at the next quote. One connection may carry several logins.
        if let Some((_before, after)) = said.rsplit_once("api-key\":\"")
            && let Some((key, _rest)) = after.split_once('"')
            && key != noted
        {
            // Once: what else this connection says is no login.
            key.clone_into(&mut noted);
            let mut keys = keys.lock().unwrap();
            keys.retain(|known| known != key);
            keys.push(key.to_owned());
        }
        if server.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    drop(server.shutdown(Shutdown::Write));
}

fn answer(mut server: TcpStream, mut client: TcpStream, mints: &AtomicBool, breaks: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        // The answer has begun, so the mint is committed.
        if mints.load(Ordering::SeqCst) && breaks.swap(false, Ordering::SeqCst) {
            break;
        }
        if client.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    drop(client.shutdown(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_each_database_a_lost_reply_costs_no_key() {
    let test = "on_each_database_a_lost_reply_costs_no_key";
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let rounds = Rounds::of(test, LOSSES);
        let Some(mut pair) = Pair::start(kind, test, &mut rounds.set_up()).await else { continue };
        pair.receiver.kill();
        let line = Line::to(&pair.publisher.url);
        let moved = ["connect", &line.url, "-u", "anna", "--password-stdin", "--moved"];
        pair.secondary.home.run_with(&moved, PASSWORD, &[]).ok();
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
        let login = async |key: &str| {
            let body = json!({ "sync-api-key": key });
            http.post(format!("{}/login", pair.publisher.url)).json(&body).send().await.unwrap().status()
        };
        let primary = pair.primary.store();
        let mut generation = observe::generation(&primary).await;
        for mut round in rounds.each() {
            let old = line.newest_keys().pop().unwrap();
            line.breaks.store(true, Ordering::SeqCst);
            round.note = format!("{kind:?}: the answer to a mint is lost");
            let ended = pair.secondary.home.run(&["rotate", &pair.primary_id]);
            assert!(matches!(ended.status.code(), Some(1 | 75)), "{ended:?}");
            assert!(!line.breaks.load(Ordering::SeqCst), "nothing was lost");
            assert_eq!(observe::generation(&primary).await, generation + 1, "the primary did mint");
            assert_eq!(login(&old).await, StatusCode::OK, "the old key lives until the new one logs in");
            // The same key is fetched again: none is minted for nothing.
            pair.heal(if round.number.is_multiple_of(2) { "rotate" } else { "sync" });
            generation += 1;
            assert_eq!(observe::generation(&primary).await, generation);
            observe::assert_primary_is_clean(&primary).await;
            observe::assert_secondary_is_clean(&pair.secondary.store()).await;
            let keys = line.newest_keys();
            let (new, dead) = keys.split_last().unwrap();
            assert_eq!(login(new).await, StatusCode::OK);
            for key in dead {
                assert_eq!(login(key).await, StatusCode::UNAUTHORIZED, "a superseded key");
            }
            assert!(dead.contains(&old));
        }
        drop(primary);
        pair.heal("sync");
        pair.assert_equal_and_clean().await;
    }
}
