//! Guessing passwords is slow, on every server, and locks nobody out.

use std::net::IpAddr;
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::crypto::password::Policy;
use shared::node::{Policies, service};
use shared::store;
use tests::node::{COMPANY_ADMIN_PASSWORD, quick};
use tests::{TestDatabase, TestPrimary};

use super::{Answer, get, post, send, sql, token_of};

const WRONG: &str = "wrong-password";

async fn login(url: &str, username: &str, password: &str) -> Answer {
    post(url, "/login", &json!({ "username": username, "password": password })).await
}

/// As a proxy on this machine passes it on.
async fn login_for(url: &str, address: &str, username: &str, password: &str) -> Answer {
    let request = reqwest::Client::new()
        .post(format!("{url}/login"))
        .header("x-forwarded-for", address)
        .json(&json!({ "username": username, "password": password }));
    send(request).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.iter().find(|(own, _value)| own == name).map_or("", |(_name, value)| value)
}

/// The statuses of some tries, one after the other.
async fn statuses(url: &str, username: &str, password: &str, tries: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..tries {
        statuses.push(login(url, username, password).await.status);
    }
    statuses
}

/// As if many more had failed: the wait is a minute, which no slow machine outlasts.
async fn many_more(primary: &TestPrimary) {
    sql(primary, "UPDATE login_failures SET failures = 20".to_owned()).await;
}

/// That an answer tells to wait up to a minute, and what it says but for the seconds.
fn waiting(mut answer: Answer) -> Answer {
    let seconds: i64 = header(&answer, "retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{answer:?}");
    let message = answer.body["message"].as_str().unwrap().replace(&seconds.to_string(), "N");
    answer.body["message"] = json!(message);
    answer.headers.retain(|(name, _value)| !["retry-after", "content-length"].contains(&name.as_str()));
    answer
}

/// As if the last failure had been longer ago.
async fn wait_over(primary: &TestPrimary) {
    sql(primary, "UPDATE login_failures SET last_at = first_at".to_owned()).await;
    let earlier = shared::wire::Timestamp::new(chrono::Utc::now()).plus(chrono::Duration::hours(-1));
    let text = earlier.get().format("%Y-%m-%dT%H:%M:%S%.6fZ");
    sql(primary, format!("UPDATE login_failures SET first_at = '{text}', last_at = '{text}'")).await;
}

fn behind_proxy() -> Policies {
    Policies { proxies: vec!["127.0.0.1".parse().unwrap()], ..quick() }
}

#[tokio::test]
async fn after_four_wrong_passwords_each_further_one_waits_on_every_server_whoever_is_named() {
    for database in TestDatabase::each("after_four_wrong_passwords") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "companyadmin").await;
        let twin = primary.beside().await;
        assert_eq!(statuses(&primary.url, "companyadmin", WRONG, 4).await, [401; 4]);
        assert_eq!(statuses(&primary.url, "nobody", WRONG, 4).await, [401; 4]);
        many_more(&primary).await;
        // The right one is not looked at either, by any server; and a name that nobody has is answered the same.
        let known = waiting(login(&twin.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await);
        assert_eq!((known.status, &known.body["code"]), (429, &json!("too_many_failures")));
        assert_eq!(known.body["message"], "too many failed logins: try again in N s");
        assert_eq!(known, waiting(login(&twin.url, "nobody", WRONG).await));
        // However the name is written.
        for name in ["CompanyAdmin", " companyadmin ", "COMPANYADMIN"] {
            assert_eq!(login(&primary.url, name, WRONG).await.status, 429, "{name}");
        }
        assert_eq!(
            login(&primary.url, "somebodyelse", WRONG).await.status,
            401,
            "another name is not concerned"
        );
        // Time passes: one more try, and then the wait begins anew.
        wait_over(&primary).await;
        assert_eq!(statuses(&twin.url, "companyadmin", WRONG, 2).await, [401, 429]);
        // A server that starts now knows it, too.
        let started = primary.beside().await;
        assert_eq!(login(&started.url, "companyadmin", WRONG).await.status, 429);
        // A good login ends it.
        wait_over(&primary).await;
        assert_eq!(login(&started.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await.status, 200);
        assert_eq!(statuses(&primary.url, "companyadmin", WRONG, 4).await, [401; 4]);
        started.stop().await;
        twin.stop().await;
        primary.stop().await;
    }
}

/// However many guesses are sent at once, and to however many servers, no more are answered than one after the other.
#[tokio::test]
async fn guesses_at_the_same_time_are_not_more_guesses() {
    for database in TestDatabase::each("guesses_at_the_same_time") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "companyadmin").await;
        let twins = [primary.beside().await, primary.beside().await];
        let urls = [&primary.url, &twins[0].url, &twins[1].url];
        let begun = Instant::now();
        let mut seen = Vec::new();
        for _round in 0..3 {
            let guesses = join_all((0..30).map(|n| {
                // The right one is among them, late.
                let password = if n == 29 { COMPANY_ADMIN_PASSWORD } else { WRONG };
                login(urls[n % 3], "companyadmin", password)
            }));
            for answer in guesses.await {
                assert!([200, 401, 429, 503].contains(&answer.status), "{answer:?}");
                seen.push(answer.status);
            }
        }
        // A good one ends the count; and the longer this machine takes, the more waits are over: 1, 2, 4 … seconds.
        let (good, wrong) =
            [200, 401].map(|told| seen.iter().filter(|status| **status == told).count()).into();
        let elapsed = usize::try_from(begun.elapsed().as_secs()).unwrap();
        let waited = usize::try_from((elapsed + 1).ilog2()).unwrap() + elapsed / 60;
        assert!(wrong <= (good + 1) * (4 + waited), "{elapsed} s: {seen:?}");
        for twin in twins {
            twin.stop().await;
        }
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_hundred_failures_from_anywhere_end_guessing_for_a_day_but_not_where_the_owner_logs_in() {
    for database in TestDatabase::each("a_hundred_failures") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "companyadmin").await;
        let proxy = primary.start_twin(behind_proxy()).await;
        let url = proxy.url();
        let home = "198.51.100.7";
        assert_eq!(login_for(&url, home, "companyadmin", COMPANY_ADMIN_PASSWORD).await.status, 200);
        for name in ["companyadmin", "nobody"] {
            for n in 0..100 {
                // By name and by address of the same user it is the same account.
                let alias =
                    if name == "companyadmin" && n % 2 == 0 { "companyadmin@example.com" } else { name };
                let answer = login_for(&url, &format!("192.0.2.{n}"), alias, WRONG).await;
                assert_eq!(answer.status, 401, "{n}: {answer:?}");
            }
        }
        let cut_off = login_for(&url, "203.0.113.1", "companyadmin", COMPANY_ADMIN_PASSWORD).await;
        let nobody = login_for(&url, "203.0.113.1", "nobody", WRONG).await;
        for answer in [&cut_off, &nobody] {
            let seconds: i64 = header(answer, "retry-after").parse().unwrap();
            assert_eq!(answer.status, 429);
            assert!((86_000..=86_400).contains(&seconds), "{answer:?}");
        }
        for n in 0..20 {
            let answer = login_for(&url, home, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
            assert_eq!(answer.status, 200, "{n}: {answer:?}");
        }
        // What he mistypes at home makes him wait there, for seconds.
        for _ in 0..4 {
            assert_eq!(login_for(&url, home, "companyadmin", WRONG).await.status, 401);
        }
        sql(&primary, "UPDATE login_failures SET failures = 20 WHERE failures = 4".to_owned()).await;
        waiting(login_for(&url, home, "companyadmin", WRONG).await);
        // Home is home for a month.
        sql(&primary, "UPDATE login_sources SET last_at = '2020-01-01T00:00:00.000000Z'".to_owned()).await;
        wait_over(&primary).await;
        assert_eq!(login_for(&url, home, "companyadmin", COMPANY_ADMIN_PASSWORD).await.status, 429);
        // Staff gives him another password: the old guesses are worth nothing.
        let user = user_id(&primary, "companyadmin").await;
        let made: Value =
            primary.admin.post(&format!("/v1/users/{user}/password"), &json!({})).await.unwrap();
        let password = made["password"].as_str().unwrap();
        assert_eq!(login_for(&url, home, "companyadmin", password).await.status, 200);
        // So does an operator, without one.
        for n in 0..100 {
            assert_eq!(
                login_for(&url, &format!("192.0.2.{n}"), "companyadmin", WRONG).await.status,
                401,
                "{n}"
            );
        }
        assert_eq!(login_for(&url, "203.0.113.2", "companyadmin", password).await.status, 429);
        let row = service::user::find_login(&primary.node, "companyadmin".to_owned()).await.unwrap().unwrap();
        service::throttle::unlock(&primary.node, row).await.unwrap();
        assert_eq!(login_for(&url, "203.0.113.2", "companyadmin", password).await.status, 200);
        // A day later everybody may try again.
        sql(&primary, "UPDATE login_failures SET first_at = '2020-01-01T00:00:00.000000Z'".to_owned()).await;
        assert_eq!(login_for(&url, "203.0.113.1", "nobody", WRONG).await.status, 401);
        proxy.stop().await;
        primary.stop().await;
    }
}

async fn user_id(primary: &TestPrimary, username: &str) -> i64 {
    let users: Value = primary.admin.get("/v1/users").await.unwrap();
    let users = users["data"].as_array().unwrap().clone();
    users.iter().find(|user| user["username"] == username).unwrap()["id"].as_i64().unwrap()
}

#[tokio::test]
async fn who_is_no_trusted_proxy_is_himself_whatever_his_headers_say() {
    let primary = TestPrimary::start().await;
    for n in 0..4 {
        let status = login_for(&primary.url, &format!("192.0.2.{n}"), "nobody", WRONG).await.status;
        assert_eq!(status, 401, "{n}");
    }
    many_more(&primary).await;
    assert_eq!(login_for(&primary.url, "192.0.2.9", "nobody", WRONG).await.status, 429);
    // Another address of this machine is somebody else.
    let elsewhere =
        reqwest::Client::builder().local_address("127.0.0.2".parse::<IpAddr>().unwrap()).build().unwrap();
    let body = json!({ "username": "nobody", "password": WRONG });
    let answer = send(elsewhere.post(format!("{}/login", primary.url)).json(&body)).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn guessing_the_old_password_with_a_stolen_token_is_as_slow_as_a_login() {
    let primary = TestPrimary::start().await;
    primary.add_company("Retail Parts", "companyadmin").await;
    let token = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let user = user_id(&primary, "companyadmin").await;
    let change = async |old: &str| {
        let body = json!({
            "old_password": old, "new_password": "amber-walrus-fiddle-9", "new_password_confirm": "amber-walrus-fiddle-9",
        });
        let http = reqwest::Client::new();
        send(http.patch(format!("{}/v1/password/{user}", primary.url)).bearer_auth(&token).json(&body))
            .await
            .status
    };
    for _ in 0..4 {
        assert_eq!(change("some-old-guess").await, 400);
    }
    many_more(&primary).await;
    assert_eq!(change(COMPANY_ADMIN_PASSWORD).await, 429);
    assert_eq!(login(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await.status, 429, "one count");
    assert_eq!(get(&primary.url, "/me", &token).await.status, 200);
}

#[tokio::test]
async fn a_hash_of_less_cost_is_replaced_at_login_and_a_password_that_was_changed_meanwhile_stays() {
    for database in TestDatabase::each("a_hash_of_less_cost") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "companyadmin").await;
        let user = user_id(&primary, "companyadmin").await;
        let hash = async || {
            let read = move |conn: &mut store::Connection| store::user::find(conn, user);
            primary.node.store.read(read).await.unwrap().unwrap()
        };
        let before = hash().await;
        assert!(before.password_hash.as_ref().unwrap().starts_with("$2b$04$"));
        let token = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
        let dearer = Policies { passwords: Policy { cost: 5, min_score: 2 }, ..quick() };
        let twin = primary.start_twin(dearer).await;
        assert_eq!(login(&twin.url(), "companyadmin", WRONG).await.status, 401);
        assert_eq!(hash().await.password_hash, before.password_hash, "only a right one is hashed anew");
        assert_eq!(login(&twin.url(), "companyadmin", COMPANY_ADMIN_PASSWORD).await.status, 200);
        let after = hash().await;
        assert!(after.password_hash.as_ref().unwrap().starts_with("$2b$05$"));
        assert_eq!((after.generation, after.password_changed), (before.generation, before.password_changed));
        assert_eq!(get(&primary.url, "/me", &token).await.status, 200, "no login ends by it");
        assert_eq!(login(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await.status, 200);
        assert_eq!(hash().await.password_hash, after.password_hash, "a server that asks for less keeps it");
        // A login that read the hash before another password was set must not bring the old one back.
        let late = before.clone();
        primary.node.store.write(move |conn| store::user::rehash(conn, &late, "$2b$05$stale")).await.unwrap();
        assert_eq!(hash().await.password_hash, after.password_hash);
        twin.stop().await;
        primary.stop().await;
    }
}
