//! Logins of people: each is its own, can be seen and ended, and a stolen refresh token ends what was stolen.

use diesel::RunQueryDsl as _;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::store::{self, StoreError};
use shared::wire::Timestamp;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, TestDatabase, TestPrimary};

use super::{Answer, get, key_login, mint, post, send, sql, token_of};

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A login: access token and refresh token.
async fn login(url: &str, username: &str, password: &str) -> (String, String) {
    let answer = post(url, "/login", &json!({ "username": username, "password": password })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (text(&answer.body["token"]), text(&answer.body["refresh_token"]))
}

async fn exchange(url: &str, refresh_token: &str) -> Answer {
    post(url, "/refresh", &json!({ "refresh_token": refresh_token })).await
}

/// The successor that a refresh token is exchanged for.
async fn successor(url: &str, refresh_token: &str) -> String {
    let answer = exchange(url, refresh_token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    text(&answer.body["refresh_token"])
}

async fn delete(url: &str, path: &str, token: &str) -> u16 {
    send(reqwest::Client::new().delete(format!("{url}{path}")).bearer_auth(token)).await.status
}

async fn logout(url: &str, token: &str) -> u16 {
    send(reqwest::Client::new().post(format!("{url}/logout")).bearer_auth(token)).await.status
}

#[tokio::test]
async fn a_spent_refresh_token_ends_the_login_of_both_who_have_it() {
    for database in TestDatabase::each("a_spent_refresh_token") {
        let primary = TestPrimary::start_on(database, None).await;
        let twin = primary.beside().await;
        let (access, a) = login(&primary.url, ADMIN.0, ADMIN.1).await;
        let b = successor(&primary.url, &a).await;
        assert!(a != b && b.len() == 64);
        let c = successor(&twin.url, &b).await;
        let late = exchange(&primary.url, &a).await;
        let junk = exchange(&primary.url, &"0".repeat(64)).await;
        assert_eq!(late, junk, "as any token that is not good");
        assert_eq!(late.status, 401);
        for url in [&primary.url, &twin.url] {
            assert_eq!(exchange(url, &c).await.status, 401, "the newest is dead too");
            assert_eq!(get(url, "/me", &access).await.status, 401, "and every access token");
        }
        // By the reference's path it is the same; and another login of the same person is another one.
        let (access, a) = login(&primary.url, ADMIN.0, ADMIN.1).await;
        let (other, _) = login(&primary.url, ADMIN.0, ADMIN.1).await;
        successor(&primary.url, &successor(&primary.url, &a).await).await;
        assert_eq!(get(&primary.url, &format!("/refresh/{a}"), "").await.status, 401);
        assert_eq!(get(&primary.url, "/me", &access).await.status, 401);
        assert_eq!(get(&primary.url, "/me", &other).await.status, 200);
        twin.stop().await;
        primary.stop().await;
    }
}

#[tokio::test]
async fn who_lost_the_answer_gets_the_same_successor_while_nobody_used_it() {
    for database in TestDatabase::each("who_lost_the_answer") {
        let primary = TestPrimary::start_on(database, None).await;
        let twin = primary.beside().await;
        let (_, a) = login(&primary.url, ADMIN.0, ADMIN.1).await;
        let urls = [&primary.url, &twin.url];
        let answers = join_all((0..100).map(|n: usize| exchange(urls[n % 2], &a))).await;
        let b = text(&answers[0].body["refresh_token"]);
        for answer in &answers {
            assert_eq!((answer.status, &answer.body["refresh_token"]), (200, &json!(b)));
            assert_eq!(get(&primary.url, "/me", answer.body["token"].as_str().unwrap()).await.status, 200);
        }
        assert_eq!(successor(&twin.url, &a.to_uppercase()).await, b, "hex is hex");
        // Too late.
        sql(&primary, "UPDATE spent_tokens SET spent_at = '2020-01-01T00:00:00.000000Z'").await;
        assert_eq!(exchange(&primary.url, &a).await.status, 401);
        assert_eq!(exchange(&primary.url, &b).await.status, 401, "two have it");
        // The successor was used, by the reference's path.
        let (_, a) = login(&primary.url, ADMIN.0, ADMIN.1).await;
        let b = successor(&primary.url, &a).await;
        assert_eq!(get(&primary.url, &format!("/refresh/{b}"), "").await.status, 200);
        assert_eq!(exchange(&primary.url, &a).await.status, 401);
        // What is kept for a retry is encrypted.
        let (_, a) = login(&primary.url, ADMIN.0, ADMIN.1).await;
        let b = successor(&primary.url, &a).await;
        let hash = shared::crypto::refresh::sha256(&a);
        let row = primary
            .node
            .store
            .read(move |conn| store::spent_token::find(conn, &hash))
            .await
            .unwrap()
            .unwrap();
        let kept = row.successor.unwrap();
        assert!(!kept.windows(16).any(|part| b.as_bytes().windows(16).any(|own| own == part)));
        for bad in [json!({}), json!({ "refresh_token": "" }), json!({ "refresh_token": 5 })] {
            assert_eq!(post(&primary.url, "/refresh", &bad).await.status, 400, "{bad}");
        }
        twin.stop().await;
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_person_sees_and_ends_his_own_logins_and_staff_those_of_weaker_users() {
    for database in TestDatabase::each("a_person_sees_and_ends") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "anna").await;
        primary.add_company("Other Parts", "otto").await;
        let url = &primary.url;
        let (here, _) = login(url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let (there, refresh) = login(url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let otto = token_of(url, "otto", COMPANY_ADMIN_PASSWORD).await;
        let staff = token_of(url, ADMIN.0, ADMIN.1).await;

        let own = get(url, "/v1/sessions", &here).await.body;
        assert_eq!(own["paging"]["items_total"], json!(2), "{own}");
        let rows = own["data"].as_array().unwrap();
        assert!(rows.iter().all(|row| row["username"] == "anna" && row["address"] == "127.0.0.1"));
        let newest = &rows[0];
        assert_eq!((&newest["current"], &rows[1]["current"]), (&json!(false), &json!(true)));
        let path = format!("/v1/sessions/{}", newest["id"].as_str().unwrap());

        assert_eq!(delete(url, &path, &otto).await, 403);
        let nowhere = "/v1/sessions/00000000-0000-4000-8000-000000000000";
        assert_eq!(delete(url, nowhere, &otto).await, 403, "as another's");
        assert_eq!(delete(url, nowhere, &staff).await, 404);
        assert_eq!(delete(url, "/v1/sessions/x", &here).await, 400);
        assert_eq!(get(url, "/me", &there).await.status, 200);
        assert_eq!(delete(url, &path, &here).await, 200);
        assert_eq!(get(url, "/me", &there).await.status, 401);
        assert_eq!(exchange(url, &refresh).await.status, 401);
        assert_eq!(delete(url, &path, &here).await, 404, "it is over");
        assert_eq!(get(url, "/me", &here).await.status, 200);

        let all = get(url, "/v1/sessions?filter=user_id:2&sort=last_seen_at", &staff).await.body;
        assert_eq!(all["paging"]["items_total"], json!(1), "{all}");
        let annas = format!("/v1/sessions/{}", all["data"][0]["id"].as_str().unwrap());
        assert_eq!(delete(url, &annas, &staff).await, 200);
        assert_eq!(get(url, "/me", &here).await.status, 401);

        // An admin ends no super admin's login; a machine has none.
        let body = json!({
            "first_name": "Some", "last_name": "Body", "username": "helper", "role": 110,
            "email": "helper@example.com", "password": COMPANY_ADMIN_PASSWORD,
            "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": primary.server_id,
        });
        let _made: Value = primary.admin.post("/v1/users", &body).await.unwrap();
        let helper = token_of(url, "helper", COMPANY_ADMIN_PASSWORD).await;
        let strong = get(url, "/v1/sessions?filter=user_id:1", &helper).await.body;
        let strong = format!("/v1/sessions/{}", strong["data"][0]["id"].as_str().unwrap());
        assert_eq!(delete(url, &strong, &helper).await, 403);
        let key = mint(url, &otto).await;
        let machine = text(&key_login(url, &key).await.body["token"]);
        for path in ["/v1/sessions", "/logout"] {
            let method = if path == "/logout" { reqwest::Method::POST } else { reqwest::Method::GET };
            let request = reqwest::Client::new().request(method, format!("{url}{path}"));
            assert_eq!(send(request.bearer_auth(&machine)).await.status, 403, "{path}");
        }
        assert_eq!(logout(url, &otto).await, 200);
        assert_eq!(logout(url, &otto).await, 401);
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_login_ends_when_its_time_is_over_or_when_nobody_uses_it() {
    for database in TestDatabase::each("a_login_ends_when") {
        let primary = TestPrimary::start_on(database, None).await;
        let url = &primary.url;
        let spare = token_of(url, ADMIN.0, ADMIN.1).await;
        for change in [
            "UPDATE sessions SET expires_at = '2026-01-01T00:00:00.000000Z'",
            "UPDATE sessions SET last_seen_at = '2026-01-01T00:00:00.000000Z'",
        ] {
            let (access, refresh) = login(url, ADMIN.0, ADMIN.1).await;
            let rotated = successor(url, &refresh).await;
            sql(&primary, change).await;
            assert_eq!(get(url, "/me", &access).await.status, 401, "{change}");
            assert_eq!(get(url, &format!("/refresh/{rotated}"), "").await.status, 401, "{change}");
            assert_eq!(exchange(url, &rotated).await.status, 401, "{change}");
            assert_eq!(exchange(url, &refresh).await.status, 401, "{change}");
        }
        assert_eq!(get(url, "/me", &spare).await.status, 401);
        // What is used is not idle.
        let (access, _) = login(url, ADMIN.0, ADMIN.1).await;
        let seen = async || {
            let list = get(url, "/v1/sessions?filter=user_id:1", &access).await;
            assert_eq!(list.status, 200, "{list:?}");
            serde_json::from_value::<Timestamp>(list.body["data"][0]["last_seen_at"].clone()).unwrap()
        };
        let at_login = seen().await;
        assert_eq!(seen().await, at_login, "no write for each request");
        let a_while_ago = shared::clock::Clock::System.now().plus(-chrono::Duration::minutes(2));
        let a_while_ago = a_while_ago.get().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        primary
            .node
            .store
            .write(move |conn| -> Result<(), StoreError> {
                let sql =
                    format!("UPDATE sessions SET last_seen_at = '{a_while_ago}' WHERE ended_at IS NULL");
                store::on_backend!(conn, |c| diesel::sql_query(sql).execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
        tests::wait_until("its use is noted", async || seen().await > at_login).await;
        primary.stop().await;
    }
}
