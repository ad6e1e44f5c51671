//! Minting against logins in flight, against other mints, and against what an old key has given away.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary};
use tokio::sync::Semaphore;

use super::{Caller, key_login, send};

const ROUNDS: i64 = 24;

async fn mint(admin: &Caller) -> Value {
    let (status, key) = admin.call("POST", "/v1/apikey", None).await;
    assert_eq!(status, 200, "{key}");
    key
}

/// Sends half of a login's body and the rest when `gate` has a place.
async fn held_login(url: String, key: Value, gate: Arc<Semaphore>) -> u16 {
    let text = json!({ "sync-api-key": key["sync_api_key"] }).to_string();
    let (first, second) = text.split_at(text.len() / 2);
    let pieces = [first.to_owned(), second.to_owned()];
    let body = futures_util::stream::unfold((0, pieces, gate), |(next, pieces, gate)| async move {
        let piece = pieces.get(next)?.clone();
        if next > 0 {
            gate.acquire().await.unwrap().forget();
        }
        Some((Ok::<_, std::io::Error>(piece), (next + 1, pieces, gate)))
    });
    let request = super::http()
        .post(format!("{url}/login"))
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(body));
    send(request).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logins_in_flight_never_bring_a_rotated_key_back() {
    for database in TestDatabase::each("logins_in_flight") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "companyadmin").await;
        let admin = Caller::password(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
        let mut old = mint(&admin).await;
        for round in 2..=ROUNDS {
            let gate = Arc::new(Semaphore::new(0));
            let held: Vec<_> = (0..3)
                .map(|_| tokio::spawn(held_login(primary.url.clone(), old.clone(), Arc::clone(&gate))))
                .collect();
            let login = || {
                let (url, key) = (primary.url.clone(), old.clone());
                tokio::spawn(async move { key_login(&url, &key).await.0 })
            };
            let mut racing: Vec<_> = (0..round % 6).map(|_| login()).collect();
            let minting = {
                let admin = admin.clone();
                tokio::spawn(async move { mint(&admin).await })
            };
            racing.extend((0..6 - round % 6).map(|_| login()));
            let new = minting.await.unwrap();
            gate.add_permits(3);
            for login in held {
                assert_eq!(login.await.unwrap(), 401, "round {round}: its body ended after the mint");
            }
            for login in racing {
                let status = login.await.unwrap();
                assert!(matches!(status, 200 | 401), "round {round}: {status}");
            }
            assert_eq!(new["generation"], round);
            // The new one is not used yet: its first login, which writes most, is to meet the next mint.
            assert_eq!(key_login(&primary.url, &old).await.0, 401, "round {round}: the old key");
            let listed = admin.get("/v1/apikey").await.1;
            let active: Vec<_> =
                listed.as_array().unwrap().iter().filter(|row| row["state"] != "revoked").collect();
            assert!(active.len() == 1 && active[0]["generation"] == round, "round {round}: {listed}");
            old = new;
        }
        assert_eq!(key_login(&primary.url, &old).await.0, 200, "the newest key");
        primary.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_first_mints_at_once_one_key_works_for_one_machine_user() {
    for database in TestDatabase::each("of_64_first_mints") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let admin = Caller::password(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
        let mints: Vec<_> = (0..64)
            .map(|_| {
                let admin = admin.clone();
                tokio::spawn(async move { mint(&admin).await })
            })
            .collect();
        let mut keys = Vec::new();
        for minting in mints {
            keys.push(minting.await.unwrap());
        }
        let generations: HashSet<i64> = keys.iter().map(|key| key["generation"].as_i64().unwrap()).collect();
        assert_eq!(generations, (1..=64).collect(), "each mint has its own place in the order");
        let mut working = Vec::new();
        for key in &keys {
            if key_login(&primary.url, key).await.0 == 200 {
                working.push(key["generation"].as_i64().unwrap());
            }
        }
        assert_eq!(working, [64], "the newest and no other");
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let users = staff.get(&format!("/v1/companies/{company}")).await.1;
        let machines = users["users"].as_array().unwrap().iter().filter(|user| user["role"] == 200).count();
        assert_eq!(machines, 1, "{users}");
        primary.stop().await;
    }
}

/// What a key gave away: an access token and a refresh token.
struct Spoils {
    access: Caller,
    refresh: String,
}

impl Spoils {
    async fn of(url: &str, key: &Value) -> Self {
        let (status, login) = key_login(url, key).await;
        assert_eq!(status, 200, "{login}");
        let access = Caller::of(url, login["token"].as_str().unwrap());
        Self { access, refresh: login["refresh_token"].as_str().unwrap().to_owned() }
    }

    /// Statuses at one server: of a read with the access token, and of a renewal.
    async fn at(&self, url: &str) -> (u16, u16) {
        let renewed = super::http().get(format!("{url}/refresh/{}", self.refresh));
        (self.access.at(url).get("/v1/sync/subs").await.0, send(renewed).await.0)
    }
}

#[tokio::test]
async fn a_rotation_or_a_revocation_ends_every_token_of_the_old_key_at_once_and_on_every_server() {
    for database in TestDatabase::each("a_rotation_ends_every_token") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "companyadmin").await;
        let twin = primary.start_twin(tests::node::quick()).await;
        let (one, two) = (primary.url.clone(), twin.url());
        let admin = Caller::password(&one, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
        // Minted here, ended there, and the other way round.
        for (here, there) in [(&one, &two), (&two, &one)] {
            let key = mint(&admin.at(here)).await;
            let spoils = Spoils::of(here, &key).await;
            for url in [here, there] {
                assert_eq!(spoils.at(url).await, (200, 200));
            }
            let next = mint(&admin.at(there)).await;
            for url in [here, there] {
                assert_eq!(spoils.at(url).await, (401, 401), "after the rotation");
                assert_eq!(key_login(url, &key).await.0, 401);
            }
            let spoils = Spoils::of(here, &next).await;
            assert_eq!(admin.at(there).call("DELETE", "/v1/apikey", None).await.0, 200);
            for url in [here, there] {
                assert_eq!(spoils.at(url).await, (401, 401), "after the revocation");
                assert_eq!(key_login(url, &next).await.0, 401);
            }
        }
        twin.stop().await;
        primary.stop().await;
    }
}
