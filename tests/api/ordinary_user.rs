//! An ordinary user has his own row, and nothing else.

use serde_json::json;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary};

use super::{Caller, send};

/// That he is refused everywhere else, the walk over all permissions shows (`permission.rs`).
#[tokio::test]
async fn an_ordinary_user_reads_and_changes_himself_and_no_more_of_himself_than_people_may() {
    for database in TestDatabase::each("an_ordinary_user_reads") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let new = json!({
            "first_name": "Otto", "last_name": "Otter", "username": "o", "email": "otto@example.com", "role": 300,
            "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": company,
        });
        let (status, made) = staff.call("POST", "/v1/users", Some(new)).await;
        assert_eq!(status, 201, "{made}");
        let otto = Caller::password(&primary.url, "o", COMPANY_ADMIN_PASSWORD).await;
        let own = format!("/v1/users/{}", made["id"]);
        assert_eq!(otto.get("/me").await.1["username"], "o");
        assert_eq!(otto.get("/server").await.1["server-role"], "primary");
        assert_eq!(otto.get(&own).await.1["role"], 300);
        let named = json!({ "display_name": "Otto der Otter", "phone": "555" });
        assert_eq!(otto.call("PATCH", &own, Some(named)).await.1["display_name"], "Otto der Otter");
        for body in [json!({ "role": 100 }), json!({ "company_id": company }), json!({ "active": true })] {
            let (status, answer) = otto.call("PATCH", &own, Some(body)).await;
            assert_eq!((status, answer["code"].as_str()), (403, Some("forbidden_member")));
        }
        assert_eq!(otto.call("DELETE", &own, None).await.0, 403);
        let password = json!({
            "old_password": COMPANY_ADMIN_PASSWORD, "new_password": "walnut-comet-fjord-9",
            "new_password_confirm": "walnut-comet-fjord-9",
        });
        assert_eq!(otto.call("PATCH", &format!("/v1/password/{}", made["id"]), Some(password)).await.0, 200);
    }
}

#[tokio::test]
async fn a_person_logs_in_by_name_or_by_address_and_neither_is_taken_for_another() {
    for database in TestDatabase::each("a_person_logs_in_by_name") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let login = |name: &str, password: &str| {
            let body = json!({ "username": name, "password": password });
            send(reqwest::Client::new().post(format!("{}/login", primary.url)).json(&body))
        };
        for name in ["anna", "anna@example.com", " ANNA@Example.com "] {
            assert_eq!(login(name, COMPANY_ADMIN_PASSWORD).await.0, 200, "{name}");
            assert_eq!(login(name, "wrong-password").await.0, 401, "{name}");
        }
        for name in ["anna@", "@", "nobody@example.com", "sync", "", "@example.com", "a\u{0}@b"] {
            let status = login(name, COMPANY_ADMIN_PASSWORD).await.0;
            assert_eq!(status, if name.is_empty() { 400 } else { 401 }, "{name:?}");
        }
        // The machine user's address is the word "sync", and it has no password.
        let anna = Caller::password(&primary.url, "anna@example.com", COMPANY_ADMIN_PASSWORD).await;
        anna.call("POST", "/v1/apikey", None).await;
        assert_eq!(login("sync", COMPANY_ADMIN_PASSWORD).await.0, 401);
        let new = |username: &str, role: i64| {
            json!({
                "first_name": "Otto", "last_name": "Otter", "username": username, "email": "o@example.com", "role": role,
                "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": company,
                "display_name": "O.",
            })
        };
        for (name, status) in [
            ("", 400),
            ("a@b.c", 400),
            ("two words", 400),
            ("ä", 400),
            ("a/b", 400),
            (&"x".repeat(31), 400),
            ("a", 201),
        ] {
            let (got, answer) = anna.call("POST", "/v1/users", Some(new(name, 300))).await;
            assert_eq!(got, status, "{name}: {answer}");
        }
        let user = staff.get("/v1/users").await.1;
        assert_eq!(user["data"][0]["display_name"], "O.");
        assert_eq!(login("O@example.com", COMPANY_ADMIN_PASSWORD).await.0, 200);
        let mut longest = new(&"Z_~.-9".repeat(5), 300);
        longest["email"] = json!("z@example.com");
        assert_eq!(anna.call("POST", "/v1/users", Some(longest)).await.0, 201);
        for role in [120, 110, 100] {
            assert_eq!(anna.call("POST", "/v1/users", Some(new("strong", role))).await.0, 403);
        }
        assert_eq!(anna.call("POST", "/v1/users", Some(new("odd", 250))).await.0, 400);
        primary.stop().await;
    }
}
