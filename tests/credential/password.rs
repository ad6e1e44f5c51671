//! Passwords of people: changed by their owner, or set by staff.

use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary};

use super::{Answer, get, mint, post, send, token_of};

const NEW: &str = "walnut-comet-fjord-9";

async fn call(url: &str, method: &str, path: &str, token: &str, body: Option<&Value>) -> Answer {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = reqwest::Client::new().request(method, format!("{url}{path}")).bearer_auth(token);
    send(match body {
        Some(body) => request.json(body),
        None => request,
    })
    .await
}

fn change(old: &str, new: &str) -> Value {
    json!({ "old_password": old, "new_password": new, "new_password_confirm": new })
}

async fn login(url: &str, username: &str, password: &str) -> Answer {
    post(url, "/login", &json!({ "username": username, "password": password })).await
}

async fn id_of_me(url: &str, token: &str) -> i64 {
    get(url, "/me", token).await.body["id"].as_i64().unwrap()
}

#[tokio::test]
async fn who_changes_his_password_stays_and_all_his_other_logins_end() {
    for database in TestDatabase::each("who_changes_his_password") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "anna").await;
        let url = &primary.url;
        let here = token_of(url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let elsewhere = login(url, "anna", COMPANY_ADMIN_PASSWORD).await.body;
        let other = elsewhere["token"].as_str().unwrap();
        let path = format!("/v1/password/{}", id_of_me(url, &here).await);
        assert_eq!(get(url, "/me", &here).await.body["password_changed"], "0001-01-01T00:00:00Z");
        for (body, message) in [
            (change("wrong-password", NEW), json!("incorrect old password")),
            (
                json!({ "old_password": COMPANY_ADMIN_PASSWORD, "new_password": NEW, "new_password_confirm": "y" }),
                json!("passwords do not match"),
            ),
            (json!({}), Value::Null),
            (change("short", NEW), json!(["OldPassword's value or length is less than allowed"])),
            (
                change(COMPANY_ADMIN_PASSWORD, "short"),
                json!(["NewPassword's value or length is less than allowed"]),
            ),
            (change(COMPANY_ADMIN_PASSWORD, &"ä".repeat(37)), Value::Null),
            (change(COMPANY_ADMIN_PASSWORD, "walnut\u{0}comet-fjord-9"), Value::Null),
            (change(COMPANY_ADMIN_PASSWORD, "password1"), Value::Null),
            // The user's own names.
            (change(COMPANY_ADMIN_PASSWORD, "anna@example.com"), Value::Null),
            (change(COMPANY_ADMIN_PASSWORD, "CarlaAdmin"), Value::Null),
        ] {
            let answer = call(url, "PATCH", &path, &here, Some(&body)).await;
            assert_eq!(answer.status, 400, "{body}: {answer:?}");
            if !message.is_null() {
                assert_eq!(answer.body["message"], message);
            }
        }
        let weak = call(url, "PATCH", &path, &here, Some(&change(COMPANY_ADMIN_PASSWORD, "password"))).await;
        assert!(weak.body["message"].as_str().unwrap().starts_with("insecure password"), "{weak:?}");
        assert_eq!(get(url, "/me", other).await.status, 200, "nothing has happened yet");

        let answer = call(url, "PATCH", &path, &here, Some(&change(COMPANY_ADMIN_PASSWORD, NEW))).await;
        assert_eq!((answer.status, answer.body), (200, Value::Null));
        let me = get(url, "/me", &here).await;
        assert_eq!(me.status, 200, "his own login goes on");
        assert_ne!(me.body["password_changed"], "0001-01-01T00:00:00Z");
        assert_eq!(get(url, "/me", other).await.status, 401);
        let refresh = format!("{url}/refresh/{}", elsewhere["refresh_token"].as_str().unwrap());
        assert_eq!(send(reqwest::Client::new().get(refresh)).await.status, 401);
        assert_eq!(login(url, "anna", COMPANY_ADMIN_PASSWORD).await.status, 401);
        assert_eq!(login(url, "anna@example.com", NEW).await.status, 200);
        let again = call(url, "PATCH", &path, &here, Some(&change(COMPANY_ADMIN_PASSWORD, NEW))).await;
        assert_eq!(again.body["message"], "incorrect old password");
        primary.stop().await;
    }
}

#[tokio::test]
async fn nobody_changes_the_password_of_a_stronger_user_of_a_stranger_or_of_a_machine() {
    for database in TestDatabase::each("nobody_changes_the_password") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        primary.add_company("Bert's Parts", "bert").await;
        let url = &primary.url;
        let boss = token_of(url, tests::ADMIN.0, tests::ADMIN.1).await;
        let bea = json!({
            "first_name": "Bea", "last_name": "Boss", "username": "bea", "email": "bea@example.com", "role": 110,
            "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD,
            "company_id": primary.server_id,
        });
        assert_eq!(call(url, "POST", "/v1/users", &boss, Some(&bea)).await.status, 201);
        let admin = token_of(url, "bea", COMPANY_ADMIN_PASSWORD).await;
        let anna = token_of(url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let bert = token_of(url, "bert", COMPANY_ADMIN_PASSWORD).await;
        let key = mint(url, &anna).await;
        let machine = super::key_login(url, &key).await.body["token"].as_str().unwrap().to_owned();
        let boss_id = id_of_me(url, &boss).await;
        let (anna_id, bea_id) = (id_of_me(url, &anna).await, id_of_me(url, &admin).await);
        let machine_id = id_of_me(url, &machine).await;
        let good = change(COMPANY_ADMIN_PASSWORD, NEW);
        for (who, token, target, status) in [
            ("a stranger", &bert, anna_id, 403),
            ("a company admin", &anna, boss_id, 403),
            ("an admin", &admin, boss_id, 403),
            ("a machine", &machine, machine_id, 403),
            ("a machine", &machine, anna_id, 403),
            ("the boss", &boss, machine_id, 409),
            ("the boss", &boss, 999, 404),
        ] {
            let path = format!("/v1/password/{target}");
            let answer = call(url, "PATCH", &path, token, Some(&good)).await;
            assert_eq!(answer.status, status, "{who} {target}: {answer:?}");
        }
        for (who, token, target, status) in [
            ("a company admin", &anna, anna_id, 403),
            ("a company admin", &anna, boss_id, 403),
            ("an admin", &admin, boss_id, 403),
            ("a machine", &machine, machine_id, 403),
            ("the boss", &boss, machine_id, 409),
            ("the boss himself", &boss, boss_id, 409),
            ("the boss", &boss, 999, 404),
        ] {
            let path = format!("/v1/users/{target}/password");
            for body in [None, Some(json!({ "new_password": NEW }))] {
                let answer = call(url, "POST", &path, token, body.as_ref()).await;
                assert_eq!(answer.status, status, "{who} {target}: {answer:?}");
            }
        }
        for (name, password) in
            [("anna", COMPANY_ADMIN_PASSWORD), ("bea", COMPANY_ADMIN_PASSWORD), tests::ADMIN]
        {
            assert_eq!(login(url, name, password).await.status, 200, "{name}");
        }
        assert_eq!(super::key_login(url, &key).await.status, 200);
        // Staff that knows the old one may change it; the user's logins end, those of staff do not.
        let answer = call(url, "PATCH", &format!("/v1/password/{bea_id}"), &boss, Some(&good)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(get(url, "/me", &admin).await.status, 401);
        assert_eq!(get(url, "/me", &boss).await.status, 200);
        assert!(!company.is_nil());
        primary.stop().await;
    }
}

#[tokio::test]
async fn staff_sets_a_forgotten_password_and_every_login_ends() {
    for database in TestDatabase::each("staff_sets_a_forgotten_password") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "anna").await;
        let url = &primary.url;
        let boss = token_of(url, tests::ADMIN.0, tests::ADMIN.1).await;
        let anna = token_of(url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let path = format!("/v1/users/{}/password", id_of_me(url, &anna).await);
        let weak = call(url, "POST", &path, &boss, Some(&json!({ "new_password": "password1" }))).await;
        assert_eq!(weak.status, 400);
        assert_eq!(get(url, "/me", &anna).await.status, 200);
        let answer = call(url, "POST", &path, &boss, Some(&json!({ "new_password": NEW }))).await;
        assert_eq!((answer.status, answer.body["username"].as_str()), (200, Some("anna")));
        assert_eq!(answer.body.get("password"), None, "what the caller gave is not repeated");
        assert_eq!(get(url, "/me", &anna).await.status, 401);
        assert_eq!(login(url, "anna", COMPANY_ADMIN_PASSWORD).await.status, 401);
        let anna = token_of(url, "anna", NEW).await;
        let made = call(url, "POST", &path, &boss, None).await;
        assert_eq!(made.status, 200);
        assert!(made.headers.contains(&("cache-control".to_owned(), "no-store".to_owned())));
        let password = made.body["password"].as_str().unwrap();
        assert!(password.len() > 20, "hard to guess");
        assert_eq!(get(url, "/me", &anna).await.status, 401);
        assert_eq!(login(url, "anna", NEW).await.status, 401);
        assert_eq!(login(url, "anna", password).await.status, 200);
        let next = call(url, "POST", &path, &boss, Some(&json!({ "new_password": null }))).await;
        assert_ne!(next.body["password"].as_str().unwrap(), password, "a new one each time");
        primary.stop().await;
    }
}

/// Every change knew the old password, and only one of them was first.
#[tokio::test]
async fn of_changes_at_once_one_counts_and_no_login_with_the_old_password_survives() {
    for database in TestDatabase::each("of_changes_at_once") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "anna").await;
        let url = &primary.url;
        let mut old = COMPANY_ADMIN_PASSWORD.to_owned();
        for round in 0..tests::times(20) {
            let one = token_of(url, "anna", &old).await;
            let two = token_of(url, "anna", &old).await;
            let path = format!("/v1/password/{}", id_of_me(url, &one).await);
            let new: Vec<String> =
                ["first", "second"].map(|name| format!("{name}-comet-fjord-{round}")).into();
            let bodies: Vec<Value> = new.iter().map(|new| change(&old, new)).collect();
            let (first, second, login_1, login_2) = tokio::join!(
                call(url, "PATCH", &path, &one, Some(&bodies[0])),
                call(url, "PATCH", &path, &two, Some(&bodies[1])),
                login(url, "anna", &old),
                login(url, "anna", &old)
            );
            let (won, tokens) = match (first.status, second.status) {
                (200, 400 | 401) => (0, [&one, &two]),
                (400 | 401, 200) => (1, [&two, &one]),
                _ => panic!("{first:?} {second:?}"),
            };
            assert_eq!(get(url, "/me", tokens[0]).await.status, 200, "who won stays");
            assert_eq!(get(url, "/me", tokens[1]).await.status, 401);
            for answer in [login_1, login_2] {
                match answer.body["token"].as_str() {
                    Some(token) => {
                        assert_eq!(get(url, "/me", token).await.status, 401, "made with the old one");
                    }
                    None => assert!(matches!(answer.status, 401 | 503), "{answer:?}"),
                }
            }
            // The fifth wrong one would have to wait.
            super::sql(&primary, "DELETE FROM login_failures").await;
            assert_eq!(login(url, "anna", &old).await.status, 401);
            assert_eq!(login(url, "anna", &new[1 - won]).await.status, 401);
            old = new[won].clone();
            assert_eq!(login(url, "anna", &old).await.status, 200);
        }
        primary.stop().await;
    }
}
