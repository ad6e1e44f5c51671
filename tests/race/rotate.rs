//! Rotations under the feet of those who log in.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::join;
use tests::TestPrimary;

use super::{Http, on_each, text};

const ROTATIONS: u32 = 1_000;

/// A login that overlapped a mint.
struct Overlapped {
    /// Moments in the order of this process: before it was sent, after it was answered.
    sent: u64,
    answered: u64,
    token: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_works_until_it_is_superseded_and_never_again() {
    on_each("every_key_works", |database| async move {
        let here = TestPrimary::start_on(database, None).await;
        let there = here.beside().await;
        let nodes = [&*here.url, &*there.url];
        here.add_company("Retail Parts", "companyadmin").await;
        let http = Http::new();
        let admin = http.person(&here.url, "companyadmin").await;
        let (_status, first) = http.mint(&here.url, &admin).await;
        let mut key = text(&first["sync_api_key"]);
        let mut overlapping: u32 = 0;
        for generation in 2..=i64::from(tests::times(ROTATIONS)) + 1 {
            let at = usize::try_from(generation).unwrap() % 2;
            let clock = AtomicU64::new(0);
            let is_minted = AtomicBool::new(false);
            let rotate = async {
                let minted = http.mint(nodes[at], &admin).await;
                is_minted.store(true, Ordering::SeqCst);
                minted
            };
            let others = join(
                log_in_until(&http, nodes[0], &key, &clock, &is_minted),
                log_in_until(&http, nodes[1], &key, &clock, &is_minted),
            );
            let ((status, minted), (mut logins, more)) = join(rotate, others).await;
            logins.extend(more);
            assert_eq!((status, minted["generation"].as_i64()), (200, Some(generation)), "{minted}");
            for refused in logins.iter().filter(|login| login.token.is_none()) {
                let undone =
                    logins.iter().any(|login| login.token.is_some() && login.sent > refused.answered);
                assert!(!undone, "generation {generation}: a superseded key worked again");
            }
            // Answered: from now on the old key and its tokens are dead on both, and the new one works on both.
            let next = text(&minted["sync_api_key"]);
            for (n, node) in nodes.into_iter().enumerate() {
                let ((old, new), token) = join(
                    join(http.login(node, &key), http.login(node, &next)),
                    still_live(&http, node, logins.get(n)),
                )
                .await;
                assert!(old.is_none(), "generation {generation}: the old key logs in at {node}");
                assert!(new.is_some(), "generation {generation}: the new key does not log in at {node}");
                assert!(!token, "generation {generation}: a token of the old key is good at {node}");
            }
            let met = logins.iter().filter(|login| login.token.is_some()).count();
            overlapping += u32::try_from(met).unwrap();
            key = next;
        }
        assert!(overlapping > tests::times(100), "only {overlapping} logins met a mint that had not ended");
        there.stop().await;
        here.stop().await;
    })
    .await;
}

/// At least one login, and others until the mint is answered.
async fn log_in_until(
    http: &Http,
    node: &str,
    key: &str,
    clock: &AtomicU64,
    is_minted: &AtomicBool,
) -> Vec<Overlapped> {
    let mut logins = Vec::new();
    while logins.is_empty() || !is_minted.load(Ordering::SeqCst) {
        let sent = clock.fetch_add(1, Ordering::SeqCst);
        let token = http.login(node, key).await;
        let answered = clock.fetch_add(1, Ordering::SeqCst);
        logins.push(Overlapped { sent, answered, token });
    }
    logins
}

async fn still_live(http: &Http, node: &str, login: Option<&Overlapped>) -> bool {
    match login.and_then(|login| login.token.as_ref()) {
        Some(token) => http.is_live(node, token).await,
        None => false,
    }
}
