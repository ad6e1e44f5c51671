//! An ordinary user has his own row, and nothing else.

use std::collections::HashMap;

use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{Pair, TestDatabase, TestPrimary};

use super::{Caller, send};

const API: &str = include_str!("../../docs/api.md");

/// Every endpoint that docs/api.md has a row for: method and path.
fn documented() -> Vec<(String, String)> {
    let tables = API.lines().filter(|line| line.starts_with("| `"));
    let first_cells = tables.filter_map(|line| line.split('|').nth(1));
    let mut found: Vec<(String, String)> = first_cells
        .flat_map(|cell| cell.split('`'))
        .filter_map(|text| text.split_once(" /"))
        .filter(|(method, _path)| ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(method))
        .map(|(method, path)| (method.to_owned(), format!("/{path}")))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// A body that is good: a bad one would be told so before anybody asks for rights.
fn body(method: &str, path: &str, world: &World) -> Option<Value> {
    let id = |name: &str| world.ids[name].clone();
    Some(match (method, path) {
        ("POST", "/v1/companies") => json!({ "name": "Third Parts" }),
        ("POST", "/v1/users") => json!({
            "first_name": "Eve", "last_name": "Evil", "username": "eve", "email": "eve@example.com", "role": 300,
            "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": id("company"),
        }),
        ("PATCH", "/v1/password/:id") => json!({
            "old_password": COMPANY_ADMIN_PASSWORD, "new_password": "walnut-comet-fjord-9",
            "new_password_confirm": "walnut-comet-fjord-9",
        }),
        ("POST" | "PUT", "/v1/settings" | "/v1") => {
            json!({ "server_role": world.role, "server_id": id("company") })
        }
        ("POST", "/v1/slices") => json!({ "name": "mine", "slice_type": "aces-file" }),
        ("POST", "/v1/grains") => {
            json!({ "slice_id": id("slice"), "grain_key": "x", "encoding": "raw", "payload": "x" })
        }
        ("POST", "/v1/subs") => {
            json!({ "slice_id": id("slice"), "company_id": id("company"), "name": "mine" })
        }
        ("PUT", "/v1/subs/:id") => {
            json!({ "sub_id": id("sub"), "slice_id": id("slice"), "company_id": id("company") })
        }
        ("POST", "/v1/activity") => {
            json!({ "company_id": id("company"), "success": true, "message": "forged" })
        }
        ("POST", "/v1/tags") => json!({ "name": "mine" }),
        ("POST", "/v1/servers") => json!({ "url": "http://127.0.0.1:1", "username": "a", "password": "b" }),
        ("POST", "/v1/sync/slices/:id/grains") => json!({ "version": 1, "ids": [] }),
        ("PATCH", _) => json!({}),
        _ => return None,
    })
}

struct World {
    role: &'static str,
    /// What stands for each name in a path.
    ids: HashMap<&'static str, String>,
}

impl World {
    fn fill(&self, path: &str) -> String {
        let parts: Vec<&str> = path.split('/').collect();
        let own = parts.iter().enumerate().map(|(n, part)| {
            let Some(name) = part.strip_prefix(':') else { return (*part).to_owned() };
            let of = |n: usize| parts.get(n).copied().unwrap_or_default();
            let what = match (name, of(n.wrapping_sub(1)), of(2)) {
                ("slice_id", ..) | (_, _, "slices") => "slice",
                ("id" | "primary_id", _, "companies" | "servers") | (_, "sync", _) => "company",
                (_, "slice" | "slices" | "feed", _) => "slice",
                (_, "users" | "password", _) => "user",
                (_, "subs", _) => "sub",
                (_, "grains", _) => "grain",
                (_, "activity" | "tags", _) => "number",
                _ => return "level-1".to_owned(),
            };
            self.ids[what].clone()
        });
        own.collect::<Vec<_>>().join("/")
    }
}

/// What needs no token, and what is his own.
fn is_open(method: &str, path: &str) -> bool {
    matches!(
        (method, path),
        ("GET", "/check" | "/me" | "/server" | "/refresh/:token") | ("POST", "/login" | "/synclogin")
    )
}

#[tokio::test]
async fn an_ordinary_user_is_refused_by_every_endpoint_that_is_not_about_himself() {
    let endpoints = documented();
    assert!(endpoints.len() > 60, "{endpoints:?}");
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("brakes", "pies-items", &json!({}), pair.company).await;
    let grain = pair.primary.add_grain(slice, "level-1", "x").await;
    pair.primary.refresh(slice).await;
    pair.sync().await;
    let sub = pair.primary.admin.get::<Value>("/v1/subs").await.unwrap()["data"][0]["id"].clone();
    // He belongs to a company that subscribes, so that nothing but his role is in the way.
    for (role, url, company) in [
        ("primary", &pair.primary.url, pair.company),
        ("secondary", &pair.secondary.url, pair.primary.server_id),
    ] {
        let staff = Caller::password(url, tests::ADMIN.0, tests::ADMIN.1).await;
        let new = json!({
            "first_name": "Otto", "last_name": "Otter", "username": "o", "email": "otto@example.com", "role": 300,
            "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": company,
        });
        let (status, made) = staff.call("POST", "/v1/users", Some(new)).await;
        assert_eq!(status, 201, "{made}");
        let otto = Caller::password(url, "o", COMPANY_ADMIN_PASSWORD).await;
        let world = World {
            role,
            ids: HashMap::from([
                ("company", company.to_string()),
                ("slice", slice.to_string()),
                ("grain", grain.to_string()),
                ("sub", sub.as_str().unwrap().to_owned()),
                // Somebody else.
                ("user", "1".to_owned()),
                ("number", "1".to_owned()),
            ]),
        };
        for (method, pattern) in &endpoints {
            if is_open(method, pattern) {
                continue;
            }
            let path = world.fill(pattern);
            let (status, answer) = otto.call(method, &path, body(method, pattern, &world)).await;
            let code = answer["code"].as_str().unwrap_or_default();
            assert!(
                status == 403 && ["forbidden", "wrong_server_role"].contains(&code),
                "{role}: {method} {path}: {status} {answer}"
            );
        }
        // What is his own.
        let own = format!("/v1/users/{}", made["id"]);
        assert_eq!(otto.get("/me").await.1["username"], "o");
        assert_eq!(otto.get("/server").await.1["server-role"], role);
        assert_eq!(otto.get(&own).await.1["role"], 300);
        let named = json!({ "display_name": "Otto der Otter", "phone": "555" });
        assert_eq!(otto.call("PATCH", &own, Some(named)).await.1["display_name"], "Otto der Otter");
        for (body, code) in [
            (json!({ "role": 100 }), "forbidden_member"),
            (json!({ "company_id": company }), "forbidden_member"),
            (json!({ "active": true }), "forbidden_member"),
        ] {
            let (status, answer) = otto.call("PATCH", &own, Some(body)).await;
            assert_eq!((status, answer["code"].as_str()), (403, Some(code)));
        }
        assert_eq!(otto.call("DELETE", &own, None).await.0, 403);
        let password = body("PATCH", "/v1/password/:id", &world);
        assert_eq!(otto.call("PATCH", &format!("/v1/password/{}", made["id"]), password).await.0, 200);
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
