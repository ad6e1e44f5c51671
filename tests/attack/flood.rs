//! A flood of logins must not stop the machines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use shared::crypto::password::Policy;
use tests::TestPrimary;
use tests::node::COMPANY_ADMIN_PASSWORD;

use super::{Caller, key_login, send};

/// While every hashing thread is taken and the queue behind them is full, keys log in and are refused as ever: neither
/// costs a hash. No clock is asked: a login that hashed would be told that the server is overloaded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_good_and_bad_are_answered_while_password_hashing_is_overloaded() {
    let primary = TestPrimary::start().await;
    primary.add_company("Retail Parts", "companyadmin").await;
    // At this cost a refusal of an unknown name takes a good part of a second.
    let slow = primary.start_twin(Policy { cost: 12, min_score: 2 }).await;
    let url = slow.url();
    let admin = Caller::password(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await.at(&url);
    let key = admin.call("POST", "/v1/apikey", None).await.1;
    let hex = key["sync_api_key"].as_str().unwrap().to_owned();

    let (over, overloaded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let guess = |url: String| async move {
        let body = json!({ "username": "nobody", "password": "some guess" });
        send(super::http().post(format!("{url}/login")).json(&body)).await.0
    };
    let flood: Vec<_> = (0..50)
        .map(|_| {
            let (url, over, overloaded) = (url.clone(), Arc::clone(&over), Arc::clone(&overloaded));
            tokio::spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    match guess(url.clone()).await {
                        503 => {
                            overloaded.fetch_add(1, Ordering::SeqCst);
                            // Its place in the queue is taken: it waits for one like any other client.
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        status => assert_eq!(status, 401),
                    }
                }
            })
        })
        .collect();
    let deadline = Instant::now() + Duration::from_mins(1);
    while overloaded.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "the flood never filled the queue");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let bad = format!("{}00", &hex[..hex.len() - 2]);
    for round in 0..5 {
        let before = overloaded.load(Ordering::SeqCst);
        assert_eq!(key_login(&url, &key).await.0, 200, "round {round}: a good key");
        for junk in [&bad[..], "aabb", &"ab".repeat(2_000)] {
            let answer = key_login(&url, &json!({ "sync_api_key": junk })).await;
            assert_eq!(answer.0, 401, "round {round}: a bad key: {}", answer.1);
        }
        assert_eq!(admin.get("/server").await.0, 200, "round {round}");
        // The queue still was full behind these.
        while overloaded.load(Ordering::SeqCst) == before {
            assert!(Instant::now() < deadline, "the flood ended by itself");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    over.store(true, Ordering::SeqCst);
    for client in flood {
        client.abort();
    }
}
