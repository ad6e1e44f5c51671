//! SQL where a list expects the name of a column.

use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary};

use super::{Caller, everything, rivals};

/// The reference's own holes first: a tautology that outgrows the scope, and a column read bit by bit.
const HOSTILE: [&str; 15] = [
    "1=1) OR (1:1",
    "1=1) OR (1=1) OR (1:1",
    "1=1) OR (1=1",
    "1=1 OR 1=1",
    "(select substring(password from 1 for 4) from users where id=1):$2a$",
    "(select substr(password_hash,1,4) from users where id=1):$2b$",
    "name:x' OR '1'='1",
    "id:1; DROP TABLE users; --",
    "id:1 UNION SELECT id, username, password_hash FROM users",
    "name desc; DELETE FROM companies",
    "(CASE WHEN (1=1) THEN id ELSE name END)",
    "\"id\"=\"id\" OR \"id\":x",
    "company_id:%",
    "*",
    "\u{ff07} OR 1=1",
];

const PARAMETERS: [&str; 7] = ["filter", "sort", "include", "tags", "tags-all", "page", "pagesize"];

fn lists(own_slice: &str, own_company: &str) -> Vec<String> {
    let mut lists: Vec<String> = [
        "/v1/companies",
        "/v1/users",
        "/v1/slices",
        "/v1/grains",
        "/v1/subs",
        "/v1/activity",
        "/v1/servers",
        "/v1/apikey",
        "/v1/sync/subs",
        "/me",
        "/server",
    ]
    .map(str::to_owned)
    .into();
    for path in ["/v1/grains/slice/{slice}", "/v1/slices/metadata/{slice}", "/v1/sync/slice/{slice}"] {
        lists.push(path.replace("{slice}", own_slice));
    }
    lists.push(format!("/v1/companies/{own_company}/subs"));
    lists
}

/// The rows of an answer, whatever stands around them.
fn rows(body: &Value) -> Vec<Value> {
    match body.get("data").unwrap_or(body) {
        Value::Array(rows) => rows.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    }
}

#[tokio::test]
async fn a_hostile_filter_shows_a_customer_no_row_that_he_does_not_see_without_it_and_changes_none() {
    for database in TestDatabase::each("a_hostile_filter") {
        let (primary, own, own_slice) = rivals(database).await;
        let mallory = Caller::password(&primary.url, "mallory", COMPANY_ADMIN_PASSWORD).await;
        mallory.call("POST", "/v1/apikey", None).await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let before = everything(&staff).await;
        for list in lists(&own_slice.to_string(), &own.to_string()) {
            let plain = rows(&mallory.get(&list).await.1);
            for parameter in PARAMETERS {
                // The reference reads these two as SQL, the others as numbers, names and tags.
                let texts = if ["filter", "sort"].contains(&parameter) { HOSTILE.len() } else { 3 };
                for hostile in &HOSTILE[..texts] {
                    let query = [(parameter, *hostile), ("payload", "yes")];
                    let url =
                        reqwest::Url::parse_with_params(&format!("{}{list}", primary.url), query).unwrap();
                    let path = &url.as_str()[primary.url.len()..];
                    let (status, body) = mallory.get(path).await;
                    let text = body.to_string();
                    assert!(matches!(status, 200 | 400 | 403), "{path}: {status} {text}");
                    for leak in ["ert's", "berts", "bert@", "$2a$", "$2b$", "SELECT", "syntax", "column"] {
                        assert!(!text.contains(leak), "{path} shows {leak}: {text}");
                    }
                    if status == 200 && !text.contains("payload") {
                        let shown = rows(&body);
                        assert!(shown.iter().all(|row| plain.contains(row)), "{path}: {text}");
                    }
                }
            }
        }
        for hostile in HOSTILE {
            let encoded = reqwest::Url::parse_with_params("http://x/", [("x", hostile)]).unwrap();
            let name = encoded.query().unwrap()[2..].replace('+', "%20");
            for by_name in ["/v1/slices/name/", "/v1/subs/name/"] {
                assert_eq!(mallory.get(&format!("{by_name}{name}")).await.0, 404, "{by_name}{name}");
            }
        }
        assert_eq!(everything(&staff).await, before);
    }
}

/// A refused login is the other place where text of a stranger meets SQL.
#[tokio::test]
async fn sql_in_a_user_name_logs_nobody_in() {
    for database in TestDatabase::each("sql_in_a_user_name") {
        let primary = TestPrimary::start_on(database, None).await;
        for name in
            ["admin' --", "admin'/*", "' OR '1'='1", "admin\" OR \"1\"=\"1", "admin'; DROP TABLE users; --"]
        {
            let body = json!({ "username": name, "password": tests::ADMIN.1 });
            let request = super::http().post(format!("{}/login", primary.url)).json(&body);
            let (status, answer) = super::send(request).await;
            assert_eq!((status, answer["code"].as_str()), (401, Some("login_refused")), "{name}: {answer}");
        }
        Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    }
}
