//! The rings turn under the feet of those who log in, at three servers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use futures_util::future::{join, join_all};
use shared::crypto::keyring::Purpose;
use shared::node::permission::By;
use shared::node::service::keyring;
use tests::TestPrimary;

use super::{Http, on_each, text, wait_until};

const ROTATIONS: u32 = 20;
/// Logins of each client between two rotations.
const LOGINS: u32 = 13;
const CLIENTS: u64 = 8;
/// A client uses its token before it logs in again, so after two rotations nobody holds an old one.
const KEPT: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rings_turn_at_three_servers_and_no_request_fails_for_it() {
    on_each("rings_turn", |database| async move {
        let here = TestPrimary::start_on(database, None).await;
        let (there, yonder) = (here.beside().await, here.beside().await);
        let nodes = [&*here.url, &*there.url, &*yonder.url];
        let http = Http::new();
        let mut keys = Vec::new();
        for (company, admin) in [("Retail Parts", "anna"), ("Other Parts", "otto"), ("Third Parts", "theo")] {
            here.add_company(company, admin).await;
            let token = http.person(&here.url, admin).await;
            let (status, minted) = http.mint(&here.url, &token).await;
            assert_eq!(status, 200);
            keys.push((token, text(&minted["sync_api_key"])));
        }
        let logins: Vec<AtomicU64> = (0..CLIENTS).map(|_| AtomicU64::default()).collect();
        let is_over = AtomicBool::new(false);
        let start = Instant::now();
        let clients = join_all((0..CLIENTS).map(|client| {
            let (http, keys, logins, is_over) = (&http, &keys, &logins, &is_over);
            async move {
                let mut n = client;
                while !is_over.load(Ordering::SeqCst) {
                    let at = |offset: u64| nodes[usize::try_from((n + offset) % 3).unwrap()];
                    let (_admin, key) = &keys[usize::try_from(n / 3 % 3).unwrap()];
                    let token = http.login(at(0), key).await.expect("a good key");
                    assert!(http.is_live(at(1), &token).await, "at another server, at once");
                    logins[usize::try_from(client).unwrap()].fetch_add(1, Ordering::SeqCst);
                    n += 1;
                }
            }
        }));
        let operator = async {
            for round in 1..=ROTATIONS {
                let more = u64::from(tests::times(LOGINS));
                let enough: Vec<u64> =
                    logins.iter().map(|count| count.load(Ordering::SeqCst) + more).collect();
                wait_until("logins of every client", async || {
                    logins.iter().zip(&enough).all(|(count, enough)| count.load(Ordering::SeqCst) >= *enough)
                })
                .await;
                for purpose in [Purpose::Seal, Purpose::Jwt] {
                    keyring::rotate(&here.node, By::Operator, purpose).await.unwrap();
                }
                let Some(old) = round.checked_sub(KEPT) else { continue };
                let jwt = format!("j{old}");
                keyring::retire(&here.node, By::Operator, jwt, true).await.unwrap();
                // The three keys are sealed with r0, which so cannot be retired without force.
                if old > 0 {
                    keyring::retire(&here.node, By::Operator, format!("r{old}"), false).await.unwrap();
                }
            }
            is_over.store(true, Ordering::SeqCst);
        };
        join(clients, operator).await;
        let (count, took) =
            (logins.iter().map(|count| count.load(Ordering::SeqCst)).sum::<u64>(), start.elapsed());
        let a_second = u128::from(count) * 1000 / took.as_millis().max(1);
        println!(
            "rings: turned {ROTATIONS} times in {took:.1?}; {count} logins at three servers went well, {a_second} a second"
        );

        // One company mints anew, by a token that the newest key signed; then the first ring key goes.
        let admin = http.person(&there.url, "otto").await;
        let (_status, minted) = http.mint(&yonder.url, &admin).await;
        keyring::retire(&here.node, By::Operator, "r0".to_owned(), true).await.unwrap();
        for url in nodes {
            assert!(http.login(url, &text(&minted["sync_api_key"])).await.is_some());
            for (old_token, old_key) in &keys {
                assert!(http.login(url, old_key).await.is_none(), "sealed with what is retired");
                assert!(!http.is_live(url, old_token).await, "signed with what is retired");
            }
        }
    })
    .await;
}
