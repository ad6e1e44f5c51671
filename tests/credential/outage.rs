//! PostgreSQL goes away in the middle of a storm of logins, and comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary, postgres};

use super::{get, key_login, mint, post, send, token_of};

/// Status codes met, with how often.
type Met = BTreeMap<u16, usize>;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_its_database_a_primary_answers_503_and_afterwards_goes_on_as_if_nothing_had_been() {
    let Some(cluster) = postgres::private("without_its_database") else { return };
    let cluster = Arc::new(cluster);
    let primary = TestPrimary::start_on(TestDatabase::on(&cluster), None).await;
    primary.add_company("Retail Parts", "anna").await;
    let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
    let key = mint(&primary.url, &anna).await;
    let token = key_login(&primary.url, &key).await.body["token"].as_str().unwrap().to_owned();
    let over = Arc::new(AtomicBool::new(false));

    let mut storm = Vec::new();
    for n in 0..24 {
        let (url, key, token, over) = (primary.url.clone(), key.clone(), token.clone(), Arc::clone(&over));
        storm.push(tokio::spawn(async move {
            let mut met = Met::new();
            while !over.load(Ordering::SeqCst) {
                let status = match n % 3 {
                    0 => key_login(&url, &key).await.status,
                    1 => get(&url, "/me", &token).await.status,
                    _ => password_login(&url).await,
                };
                *met.entry(status).or_default() += 1;
            }
            met
        }));
    }
    for _ in 0..3 {
        stop(&cluster).await;
        let refused = key_login(&primary.url, &key).await;
        assert_eq!((refused.status, refused.body["code"].clone()), (503, json!("unavailable")));
        assert!(refused.headers.contains(&("retry-after".to_owned(), "1".to_owned())), "{refused:?}");
        assert_eq!(
            get(&primary.url, "/me", &token).await.status,
            503,
            "a good token is not called a bad one"
        );
        let minted =
            send(reqwest::Client::new().post(format!("{}/v1/apikey", primary.url)).bearer_auth(&anna));
        assert_eq!(minted.await.status, 503);
        let start = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || start.start()).await.unwrap();
        tests::wait_until("the key logs in again", async || {
            key_login(&primary.url, &key).await.status == 200
        })
        .await;
        assert_eq!(get(&primary.url, "/me", &token).await.status, 200);
    }
    over.store(true, Ordering::SeqCst);
    let mut all = Met::new();
    for task in storm {
        for (status, count) in task.await.unwrap() {
            *all.entry(status).or_default() += count;
        }
    }
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), [200, 503], "{all:?}");
    let keys: Value = get(&primary.url, "/v1/apikey", &anna).await.body;
    assert_eq!(keys.as_array().unwrap().len(), 1, "what was refused was not done");
    primary.stop().await;
}

async fn stop(cluster: &Arc<postgres::Cluster>) {
    let cluster = Arc::clone(cluster);
    tokio::task::spawn_blocking(move || cluster.stop()).await.unwrap();
}

async fn password_login(url: &str) -> u16 {
    let body = json!({ "username": "anna", "password": COMPANY_ADMIN_PASSWORD });
    post(url, "/login", &body).await.status
}
