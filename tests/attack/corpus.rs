//! A corpus of hostile texts in every place where text of a caller meets SQL: none is answered otherwise than a
//! harmless text of the same form, and none shows or changes a row.

use std::collections::HashMap;

use serde_json::{Value, json};
use tests::TestDatabase;
use tests::node::COMPANY_ADMIN_PASSWORD;

use super::{Caller, everything, rivals};

/// What would do harm in SQL.
const KERNELS: [&str; 28] = [
    "1=1",
    "1=1 OR 1=1",
    "OR 1=1",
    "AND 1=0 UNION ALL SELECT password_hash FROM users",
    "UNION SELECT id, username, password_hash FROM users",
    "(SELECT password_hash FROM users LIMIT 1)",
    "(select substring(password from 1 for 4) from users where id=1)",
    "CASE WHEN (SELECT 1) THEN id ELSE name END",
    "pg_sleep(5)",
    "randomblob(1000000000)",
    "DROP TABLE users",
    "DELETE FROM companies",
    "UPDATE users SET role=100",
    "INSERT INTO tags VALUES (99)",
    "ATTACH DATABASE 'x' AS y",
    "PRAGMA foreign_keys=OFF",
    "COPY users TO '/tmp/x'",
    "load_extension('x')",
    "lo_import('/etc/passwd')",
    "current_setting('is_superuser')",
    "sqlite_version()",
    "version()",
    "companies.id",
    "users.password_hash",
    "ctid",
    "rowid",
    "*",
    "%",
];

/// How it gets out of the text that it stands in.
const SHELLS: [(&str, &str); 20] = [
    ("", ""),
    ("'", ""),
    ("' ", " --"),
    ("') ", " --"),
    ("')) ", " --"),
    ("\"", "\""),
    ("\" ", " --"),
    ("`", "`"),
    ("[", "]"),
    ("; ", ""),
    ("'; ", "; --"),
    ("\\'; ", "; --"),
    ("$$", "$$"),
    ("/*", "*/"),
    ("' /*!", "*/"),
    ("x' || (", ") || 'x"),
    ("0x27 ", ""),
    ("\u{2019} ", " --"),
    ("\u{ff07} ", " --"),
    ("\r\n", "\t--"),
];

fn corpus() -> Vec<String> {
    let texts: Vec<String> = SHELLS
        .iter()
        .flat_map(|(before, behind)| KERNELS.iter().map(move |kernel| format!("{before}{kernel}{behind}")))
        .collect();
    assert!(texts.len() >= 500);
    texts
}

/// A text of the same form that means nothing: what divides items stays.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ',' | ':') { c } else { 'x' }).collect()
}

/// Where a text goes; `{}` is its place, in the query or the path.
const PLACES: [&str; 13] = [
    "/v1/companies?filter={}:x",
    "/v1/companies?filter=name:{}",
    "/v1/companies?sort={}",
    "/v1/companies?include={}",
    "/v1/companies?next={}",
    "/v1/users?filter=email:{}",
    "/v1/users?sort=id,{}",
    "/v1/subs?filter={}",
    "/v1/grains?filter=id:{}",
    "/v1/activity?filter={}:1",
    "/v1/slices/name/{}",
    "/v1/subs/name/{}",
    "/v1/grains/{slice}/{}",
];

fn path(place: &str, slice: &str, text: &str) -> String {
    let encoded = percent_encoding::percent_encode(text.as_bytes(), percent_encoding::NON_ALPHANUMERIC);
    place.replace("{slice}", slice).replace("{}", &encoded.to_string())
}

fn rows(body: &Value) -> Vec<Value> {
    body["data"].as_array().cloned().unwrap_or_default()
}

/// Over a connection that stays: there are thousands.
async fn get(http: &reqwest::Client, caller: &Caller, path: &str) -> (u16, Value) {
    super::send(http.get(format!("{}{path}", caller.url)).bearer_auth(&caller.token)).await
}

#[tokio::test]
async fn no_text_of_the_corpus_is_answered_otherwise_than_a_harmless_one_or_shows_or_changes_a_row() {
    for database in TestDatabase::each("no_text_of_the_corpus") {
        let (primary, _own, own_slice) = rivals(database).await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let mallory = Caller::password(&primary.url, "mallory", COMPANY_ADMIN_PASSWORD).await;
        let before = everything(&staff).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let slice = own_slice.to_string();
        for place in PLACES {
            // By key only staff may look; the rest is a customer's, whom it must show nothing of others.
            let caller = if place.contains("{slice}") { &staff } else { &mallory };
            let list = place.split('?').next().unwrap();
            let plain = if place.contains('?') { rows(&caller.get(list).await.1) } else { Vec::new() };
            let mut answered: HashMap<String, u16> = HashMap::new();
            for text in corpus() {
                let (status, body) = get(&http, caller, &path(place, &slice, &text)).await;
                let form = harmless(&text);
                let expected = match answered.get(&form) {
                    Some(status) => *status,
                    None => get(&http, caller, &path(place, &slice, &form)).await.0,
                };
                answered.insert(form, expected);
                let shown = body.to_string();
                assert_eq!(status / 100, expected / 100, "{place} {text}: {status} {shown}");
                assert!(status < 500 && !shown.contains("ert"), "{place} {text}: {status} {shown}");
                assert!(rows(&body).iter().all(|row| plain.contains(row)), "{place} {text}: {shown}");
            }
        }
        assert_eq!(everything(&staff).await, before);
        // As names it is kept as it stands, and found by it.
        for (number, text) in corpus().iter().enumerate().step_by(7) {
            let name = format!("{number} {}", text.trim());
            let (status, made) = staff.call("POST", "/v1/companies", Some(json!({ "name": name }))).await;
            let is_text = !name.chars().any(char::is_control);
            assert_eq!(status, if is_text { 201 } else { 400 }, "{name}: {made}");
            if status == 201 {
                assert_eq!(made["name"], name);
                if !name.contains(',') {
                    let found = staff.get(&path("/v1/companies?filter=name:{}", "", &name)).await.1;
                    assert_eq!(found["paging"]["items_total"], 1, "{name}: {found}");
                }
            }
        }
    }
}
