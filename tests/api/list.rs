//! Lists: filter, order, pages and the way through by `next`, on every list and both databases.

use serde_json::{Value, json};
use shared::node::contract::{Access, Operation, operations};
use shared::wire::Id;
use shared::wire::server::ServerRole;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary};

use super::Caller;

/// Rows of each table: more than one page of two.
const ROWS: usize = 7;

struct World {
    primary: TestPrimary,
    staff: Caller,
    company: Id,
    slice: Id,
}

async fn world(database: TestDatabase) -> World {
    let primary = TestPrimary::start_on(database, None).await;
    let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    let company = primary.add_company("Retail Parts", "companyadmin").await;
    let slice = primary.add_slice("Grains", "pies-items", &json!({}), company).await;
    for n in 0..ROWS {
        let body = json!({ "name": format!("Company {n}"), "active": n % 2 == 0, "sync_addr": format!("https://{n}.example") });
        made(&staff, "/v1/companies", body).await;
        let other =
            primary.add_slice(&format!("slice {n}"), "aces-file", &json!({ "n": "1" }), company).await;
        primary.add_grain(other, "level-1", "x").await;
        primary.add_grain(slice, &format!("key {n}"), "x").await;
        let user = json!({
            "first_name": "Ursula", "last_name": format!("User{}", n % 3), "username": format!("user{n}"),
            "email": format!("user{n}@example.com"), "password": COMPANY_ADMIN_PASSWORD,
            "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": company, "role": 300,
        });
        made(&staff, "/v1/users", user).await;
        made(
            &staff,
            "/v1/activity",
            json!({ "company_id": company, "message": format!("{n}"), "success": n % 2 == 0 }),
        )
        .await;
        made(&staff, "/v1/tags", json!({ "name": format!("tag{n}"), "description": format!("{}", n % 2) }))
            .await;
        primary.refresh(slice).await;
        primary.add_grain(slice, &format!("draft {n}"), "x").await;
    }
    primary.refresh(slice).await;
    World { primary, staff, company, slice }
}

async fn made(staff: &Caller, path: &str, body: Value) -> Value {
    let (status, answer) = staff.call("POST", path, Some(body.clone())).await;
    assert_eq!(status, 201, "{path} {body}: {answer}");
    answer
}

/// Paths of every list of the contract, with the names that `sort` and `filter` offer.
fn lists(world: &World) -> Vec<(String, Vec<String>, Vec<String>)> {
    let document = serde_json::to_value(shared::node::contract::document()).unwrap();
    let mut found = Vec::new();
    // Those of a secondary are walked where it has something to list: `tests/sync`.
    let is_here = |operation: &&Operation| match operation.access {
        Access::Login(action) => action.rule().on.offers(ServerRole::Primary),
        Access::Public => true,
    };
    for operation in operations().iter().filter(is_here).filter(|operation| operation.method == "GET") {
        let described = &document["paths"][operation.path]["get"];
        let offered = |name: &str| -> Option<Vec<String>> {
            let parameters = described["parameters"].as_array()?;
            let parameter = parameters.iter().find(|parameter| parameter["name"] == name)?;
            let text = parameter["description"].as_str()?.trim_end_matches('.');
            Some(text.rsplit(": ").next()?.split(", ").map(str::to_owned).collect())
        };
        if let (Some(sort), Some(filter)) = (offered("sort"), offered("filter")) {
            let path = operation
                .path
                .replace("{company_id}", &world.company.to_string())
                .replace("{slice_id}", &world.slice.to_string());
            found.push((path, sort, filter));
        }
    }
    assert!(found.len() >= 10, "{found:?}");
    found
}

fn rows(page: &Value) -> Vec<Value> {
    page["data"].as_array().cloned().unwrap_or_default()
}

fn with(path: &str, query: &[(&str, &str)]) -> String {
    let url = reqwest::Url::parse_with_params(&format!("http://x{path}"), query).unwrap();
    url.as_str()["http://x".len()..].to_owned()
}

/// All rows by `next`, in pages of two.
async fn by_next(staff: &Caller, path: &str, sort: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut next = String::new();
    loop {
        let query = [("sort", sort), ("pagesize", "2"), ("next", next.as_str())];
        let (status, page) = staff.get(&with(path, &query)).await;
        assert_eq!(status, 200, "{path} {sort}: {page}");
        found.extend(rows(&page));
        match page["paging"]["next"].as_str() {
            Some(text) => text.clone_into(&mut next),
            None => return found,
        }
        assert!(found.len() < 1_000, "{path} {sort} never ends");
    }
}

#[tokio::test]
async fn every_list_comes_whole_and_once_in_every_order_by_page_and_by_next() {
    for database in TestDatabase::each("every_list_comes_whole") {
        let world = world(database).await;
        for (path, sort, _filter) in lists(&world) {
            for column in &sort {
                for direction in ["asc", "desc"] {
                    let order = format!("{column}:{direction}");
                    let (status, whole) =
                        world.staff.get(&with(&path, &[("sort", &order), ("pagesize", "250")])).await;
                    assert_eq!(status, 200, "{path} {order}: {whole}");
                    let whole_rows = rows(&whole);
                    assert_eq!(whole["paging"]["items_total"], whole_rows.len(), "{path} {order}");
                    assert!(whole["paging"].get("next").is_none(), "{path} {order}");
                    assert_eq!(
                        by_next(&world.staff, &path, &order).await,
                        whole_rows,
                        "{path} {order} by next"
                    );
                    let mut paged = Vec::new();
                    for number in 1.. {
                        let number = number.to_string();
                        let query = [("sort", order.as_str()), ("pagesize", "2"), ("page", &number)];
                        let page = world.staff.get(&with(&path, &query)).await.1;
                        let found = rows(&page);
                        if found.is_empty() {
                            break;
                        }
                        assert_eq!(page["paging"]["items_total"], whole_rows.len(), "{path} {order}");
                        paged.extend(found);
                    }
                    assert_eq!(paged, whole_rows, "{path} {order} by page");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_filter_by_what_a_row_shows_finds_that_row_and_only_such_as_show_the_same() {
    for database in TestDatabase::each("a_filter_by_what_a_row_shows") {
        let world = world(database).await;
        for (path, _sort, filter) in lists(&world) {
            let all = rows(&world.staff.get(&with(&path, &[("pagesize", "250")])).await.1);
            assert!(!all.is_empty(), "{path}");
            for column in &filter {
                // As the answer names them.
                let member = match (path.as_str(), column.as_str()) {
                    ("/v1/slices", "name") => "slice_name",
                    (_, "sub_id") if path.contains("subs") => "id",
                    (_, name) => name,
                };
                let row = &all[all.len() / 2];
                let Some(value) = row.get(member) else { continue };
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if text.contains(',') {
                    continue;
                }
                let mut conditions = format!("{column}:{text}");
                if column == "grain_key" && path == "/v1/grains" {
                    conditions = format!("slice_id:{},{conditions}", row["slice_id"].as_str().unwrap());
                }
                let (status, page) =
                    world.staff.get(&with(&path, &[("filter", &conditions), ("pagesize", "250")])).await;
                assert_eq!(status, 200, "{path} {conditions}: {page}");
                let expected: Vec<&Value> = all
                    .iter()
                    .filter(|other| other[member] == *value)
                    .filter(|other| {
                        !conditions.starts_with("slice_id")
                            || column == "slice_id"
                            || other["slice_id"] == row["slice_id"]
                    })
                    .collect();
                assert_eq!(rows(&page).iter().collect::<Vec<_>>(), expected, "{path} {conditions}");
                assert_eq!(page["paging"]["items_total"], expected.len(), "{path} {conditions}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_list_does_not_offer_is_refused_and_the_message_says_what_it_offers() {
    let world = world(TestDatabase::sqlite()).await;
    for (path, sort, filter) in lists(&world) {
        for (query, words) in [
            ([("sort", "nothing")], sort.join(", ")),
            ([("sort", "NAME; DROP TABLE users")], sort.join(", ")),
            ([("filter", "nothing:1")], filter.join(", ")),
            ([("filter", "nothing")], "name:value".to_owned()),
            ([("include", "nothing")], "allowed: ".to_owned()),
            ([("next", "nothing")], "next: ".to_owned()),
            ([("next", "e30")], "next: ".to_owned()),
        ] {
            let (status, answer) = world.staff.get(&with(&path, &query)).await;
            assert_eq!(status, 400, "{path} {query:?}: {answer}");
            assert!(answer["message"].as_str().unwrap().contains(&words), "{path} {query:?}: {answer}");
        }
    }
    for (path, query) in [
        ("/v1/companies", ("filter", "active:perhaps")),
        ("/v1/companies", ("filter", "id:1")),
        ("/v1/companies", ("filter", "created_at:yesterday")),
        ("/v1/users", ("filter", "role:strong")),
        ("/v1/companies", ("sort", "name:sideways")),
        ("/v1/grains", ("filter", "grain_key:a")),
    ] {
        let (status, answer) = world.staff.get(&with(path, &[query])).await;
        assert_eq!(status, 400, "{path} {query:?}: {answer}");
    }
}

#[tokio::test]
async fn the_way_by_next_neither_repeats_nor_skips_when_rows_come_and_go() {
    for database in TestDatabase::each("the_way_by_next") {
        let world = world(database).await;
        let before = rows(&world.staff.get("/v1/companies?pagesize=250").await.1);
        let first = world.staff.get("/v1/companies?pagesize=3").await.1;
        let next = first["paging"]["next"].as_str().unwrap();
        // One before the cursor goes, one before it comes, and the row at the cursor is renamed.
        let gone = rows(&first)[0]["id"].as_str().unwrap().to_owned();
        let deleted = world.staff.call("DELETE", &format!("/v1/companies/{gone}"), None).await.0;
        let at = rows(&first)[2]["id"].as_str().unwrap().to_owned();
        let renamed = json!({ "name": "Zulu" });
        assert_eq!(world.staff.call("PATCH", &format!("/v1/companies/{at}"), Some(renamed)).await.0, 200);
        made(&world.staff, "/v1/companies", json!({ "name": "Aaa" })).await;
        let rest = world.staff.get(&with("/v1/companies", &[("pagesize", "250"), ("next", next)])).await.1;
        let ids = |rows: &[Value]| -> Vec<String> {
            rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
        };
        let mut expected = ids(&before[3..]);
        expected.push(at);
        assert_eq!(ids(&rows(&rest)), expected, "deleting answered {deleted}");
        assert_eq!(rest["paging"]["page_number"], 2);
    }
}

#[tokio::test]
async fn a_relation_comes_with_a_list_if_it_is_asked_for() {
    let world = world(TestDatabase::sqlite()).await;
    let sub = rows(&world.staff.get("/v1/subs?pagesize=1").await.1)[0]["id"].clone();
    let record = json!({ "company_id": world.company, "message": "with", "success": true, "sub_id": sub });
    made(&world.staff, "/v1/activity", record).await;
    let plain = rows(&world.staff.get("/v1/companies?pagesize=250").await.1);
    assert!(plain.iter().all(|company| company.get("users").is_none()));
    let with_users = rows(&world.staff.get("/v1/companies?pagesize=250&include=users").await.1);
    let users = |company: &Value| company["users"].as_array().map_or(0, Vec::len);
    let retail = with_users.iter().find(|company| company["id"] == world.company.to_string()).unwrap();
    assert_eq!(users(retail), ROWS + 1);
    let log = rows(&world.staff.get("/v1/activity?include=subscription&pagesize=1").await.1);
    assert_eq!(log[0]["subscription"]["id"], sub);
    drop(world.primary);
}

#[tokio::test]
async fn totals_are_right_whatever_comes_and_goes() {
    for database in TestDatabase::each("totals_are_right") {
        let world = world(database).await;
        let total = async |path: &str| {
            world.staff.get(&format!("{path}?pagesize=250")).await.1["paging"]["items_total"]
                .as_i64()
                .unwrap()
        };
        let paths = ["/v1/companies", "/v1/users", "/v1/slices", "/v1/subs", "/v1/activity", "/v1/grains"];
        let mut before = Vec::new();
        for path in paths {
            before.push(total(path).await);
        }
        let company = made(&world.staff, "/v1/companies", json!({ "name": "Short Lived" })).await;
        let slice =
            made(&world.staff, "/v1/slices", json!({ "name": "short", "slice_type": "aces-file" })).await;
        let grain = json!({ "slice_id": slice["id"], "grain_key": "a", "encoding": "raw", "payload": "x" });
        let grain = made(&world.staff, "/v1/grains", grain).await;
        let sub = json!({ "slice_id": slice["id"], "company_id": company["id"], "name": "short" });
        let sub = made(&world.staff, "/v1/subs", sub).await;
        let user = json!({
            "first_name": "Short", "last_name": "Lived", "username": "short", "email": "short@example.com",
            "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD,
            "company_id": company["id"], "role": 300,
        });
        let user = made(&world.staff, "/v1/users", user).await;
        let record = json!({ "company_id": company["id"], "message": "short", "success": true });
        let record = made(&world.staff, "/v1/activity", record).await;
        for (path, count) in paths.iter().zip(&before) {
            assert_eq!(total(path).await, count + 1, "{path}");
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        for (path, row) in [
            ("grains", &grain),
            ("subs", &sub),
            ("slices", &slice),
            ("users", &user),
            ("companies", &company),
            ("activity", &record),
        ] {
            let (status, answer) =
                world.staff.call("DELETE", &format!("/v1/{path}/{}", text(&row["id"])), None).await;
            assert_eq!(status, 200, "{path}: {answer}");
        }
        for (path, count) in paths.iter().zip(&before) {
            assert_eq!(total(path).await, *count, "{path}");
        }
    }
}
