//! The publisher sees who has which version, and believes nobody about another's.

use serde_json::{Value, json};
use shared::client::{Client, Http};
use shared::crypto::Secret;
use shared::store;
use shared::wire::Id;
use tests::node::{COMPANY_ADMIN_PASSWORD, login};
use tests::{TestDatabase, TestPrimary};

use super::{is_unchanged, pairs};

async fn receivers(primary: &TestPrimary, slice: Id) -> Vec<Value> {
    let answer: Value = primary.admin.get(&format!("/v1/slices/{slice}/receivers")).await.unwrap();
    answer["data"].as_array().cloned().unwrap_or_default()
}

async fn only(primary: &TestPrimary, slice: Id) -> Value {
    let mut all = receivers(primary, slice).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

const NEVER: &str = "0001-01-01T00:00:00Z";

async fn slice_records(primary: &TestPrimary) -> usize {
    let answer: Value = primary.admin.get("/v1/activity?pagesize=250").await.unwrap();
    let rows = answer["data"].as_array().unwrap();
    rows.iter().filter(|row| row["message"].as_str().unwrap().starts_with("Slice")).count()
}

#[tokio::test]
async fn a_sync_tells_the_publisher_which_version_arrived_and_an_idle_one_writes_nothing_new() {
    for pair in pairs("a_sync_tells_the_publisher").await {
        let primary = &pair.primary;
        let slice = primary.add_slice("items", "pies-items", &json!({ "a": "1" }), pair.company).await;
        let unheard = only(primary, slice).await;
        assert_eq!((&unheard["version"], &unheard["current"]), (&Value::Null, &json!(false)));
        assert_eq!(
            (unheard["reported_at"].as_str(), unheard["content_hash"].as_str()),
            (Some(NEVER), Some(""))
        );
        primary.add_grain(slice, "a", "1").await;
        primary.refresh(slice).await;
        pair.sync().await;
        let first = only(primary, slice).await;
        assert_eq!(
            (&first["version"], &first["current"], &first["inferred"]),
            (&json!(1), &json!(true), &json!(false))
        );
        assert_eq!((&first["company_name"], &first["active"]), (&json!("Retail Parts"), &json!(true)));
        let published: Value = primary.admin.get(&format!("/v1/slices/{slice}")).await.unwrap();
        assert_eq!(first["content_hash"], published["content_hash"]);
        assert!(
            first["reported_at"] != NEVER && first["asked_at"] != NEVER && first["error"] == "",
            "{first}"
        );

        let told = slice_records(primary).await;
        assert!(is_unchanged(&pair.sync().await));
        assert_eq!(only(primary, slice).await, first, "an idle sync says nothing new");
        assert_eq!(slice_records(primary).await, told);

        primary.add_grain(slice, "b", "2").await;
        assert_eq!(only(primary, slice).await["current"], true, "a draft is no version");
        primary.refresh(slice).await;
        assert_eq!(only(primary, slice).await["current"], false);
        pair.sync().await;
        let second = only(primary, slice).await;
        assert_eq!((&second["version"], &second["current"]), (&json!(2), &json!(true)));
        assert!(second["reported_at"].as_str() > first["reported_at"].as_str());
    }
}

#[tokio::test]
async fn a_report_that_was_lost_is_told_again_by_the_next_sync() {
    for pair in pairs("a_report_that_was_lost").await {
        let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        pair.primary.add_grain(slice, "a", "1").await;
        pair.primary.refresh(slice).await;
        pair.sync().await;
        let company = pair.company;
        pair.primary
            .node
            .store
            .write(move |conn| store::receipt::put(conn, &store::receipt::ReceiptRow::none(slice, company)))
            .await
            .unwrap();
        assert_eq!(only(&pair.primary, slice).await["version"], Value::Null);
        assert!(is_unchanged(&pair.sync().await));
        assert_eq!(only(&pair.primary, slice).await["version"], 1);
    }
}

#[tokio::test]
async fn why_a_slice_failed_is_shown_until_it_succeeds() {
    for pair in pairs("why_a_slice_failed_is_shown").await {
        let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        pair.primary.add_grain(slice, "a", "1").await;
        pair.primary.refresh(slice).await;
        pair.sync().await;
        let put = async |what: &str| {
            let path = format!("/v1/slices/{what}/{slice}");
            pair.primary.admin.call(reqwest::Method::PUT, &path).await.unwrap();
        };
        put("lock").await;
        pair.secondary.sync(pair.primary.server_id).await.unwrap();
        let failed = only(&pair.primary, slice).await;
        assert!(failed["error"].as_str().unwrap().contains("locked"), "{failed}");
        assert_eq!(failed["version"], 1, "it has what it had");
        pair.secondary.sync(pair.primary.server_id).await.unwrap();
        assert_eq!(only(&pair.primary, slice).await, failed, "the same again is no news");
        put("unlock").await;
        pair.primary.add_grain(slice, "b", "1").await;
        pair.primary.refresh(slice).await;
        pair.sync().await;
        let good = only(&pair.primary, slice).await;
        assert_eq!(
            (&good["error"], &good["error_at"], &good["version"]),
            (&json!(""), &json!(NEVER), &json!(2))
        );
    }
}

/// A machine login of a company, from a fresh key.
async fn machine(primary: &TestPrimary, username: &str) -> (Client, Secret) {
    let admin = login(&primary.url, username, COMPANY_ADMIN_PASSWORD).await;
    let minted: Value = admin.post("/v1/apikey", &json!({})).await.unwrap();
    let key = Secret::from(minted["sync_api_key"].as_str().unwrap());
    let mut client = Client::new(&Http::new().unwrap(), &primary.url, false).unwrap();
    client.login_with_key(&key).await.unwrap();
    (client, key)
}

#[tokio::test]
async fn nobody_reports_for_another_and_what_is_not_ours_is_not_believed() {
    for database in TestDatabase::each("nobody_reports_for_another") {
        let primary = TestPrimary::start_on(database, None).await;
        let one = primary.add_company("Retail Parts", "anna").await;
        let other = primary.add_company("Other Parts", "otto").await;
        let slice = primary.add_slice("items", "pies-items", &json!({}), one).await;
        let foreign = primary.subscribe("items, too", slice, other).await;
        primary.add_grain(slice, "a", "1").await;
        primary.refresh(slice).await;
        let version =
            primary.admin.get::<Value>(&format!("/v1/slices/{slice}")).await.unwrap()["version"].clone();
        let subs: Value = primary.admin.get("/v1/subs").await.unwrap();
        let own =
            subs["data"].as_array().unwrap().iter().find(|sub| sub["company_id"] == one.to_string()).unwrap()
                ["id"]
                .clone();
        let (anna, _key) = machine(&primary, "anna").await;
        let report = |company: Id, sub: &Value, version: &Value| json!({ "company_id": company, "sub_id": sub, "success": true, "message": "Slice \"items\"", "version": version });
        let post = async |client: &Client, body: Value| client.post::<Value>("/v1/activity", &body).await;
        // Another's subscription, and another's name.
        for (company, sub) in [(one, &json!(foreign)), (other, &json!(foreign)), (other, &own)] {
            let error = post(&anna, report(company, sub, &version)).await.unwrap_err();
            assert!(error.is_status(403), "{error}");
        }
        // Versions that are not ours, and a claim without any: nobody was told of one.
        let mut lies: Vec<Value> = ["epoch", "number", "digest"].map(|_member| version.clone()).into();
        lies[0]["epoch"] = json!(slice);
        lies[1]["number"] = json!(2);
        lies[2]["digest"] = json!("00".repeat(32));
        lies.extend([json!({ "epoch": version["epoch"], "number": -1, "digest": "" }), Value::Null]);
        for lie in lies {
            post(&anna, report(one, &own, &lie)).await.unwrap();
            assert!(receivers(&primary, slice).await.iter().all(|row| row["version"].is_null()), "{lie}");
        }
        let malformed = post(&anna, report(one, &own, &json!("1"))).await.unwrap_err();
        assert!(malformed.is_status(400), "{malformed}");
        // People may write into their log, but are no receivers.
        let person = login(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        post(&person, report(one, &own, &version)).await.unwrap();
        post(&primary.admin, report(one, &own, &version)).await.unwrap();
        assert!(receivers(&primary, slice).await.iter().all(|row| row["version"].is_null()));
        // The truth.
        post(&anna, report(one, &own, &version)).await.unwrap();
        let rows = receivers(&primary, slice).await;
        let names: Vec<&str> = rows.iter().map(|row| row["company_name"].as_str().unwrap()).collect();
        assert_eq!(names, ["Other Parts", "Retail Parts"], "by name");
        assert_eq!((&rows[0]["version"], &rows[1]["version"]), (&Value::Null, &json!(1)));
        // Who has what is nobody's business but the publisher's.
        for client in [&anna, &person] {
            let error = client.get::<Value>(&format!("/v1/slices/{slice}/receivers")).await.unwrap_err();
            assert!(error.is_status(403), "{error}");
        }
        let path = format!("/v1/slices/{}/receivers", primary.server_id);
        assert!(primary.admin.get::<Value>(&path).await.unwrap_err().is_status(404));
        let page: Value =
            primary.admin.get(&format!("/v1/slices/{slice}/receivers?page=2&pagesize=1")).await.unwrap();
        assert_eq!(
            (&page["data"][0]["company_name"], &page["paging"]["items_total"]),
            (&json!("Retail Parts"), &json!(2))
        );
    }
}

#[tokio::test]
async fn a_receiver_of_the_reference_that_is_content_has_what_it_was_last_told_of() {
    for database in TestDatabase::each("a_receiver_of_the_reference") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let slice = primary.add_slice("items", "pies-items", &json!({ "a": "1" }), company).await;
        primary.add_grain(slice, "a", "1").await;
        primary.refresh(slice).await;
        let (_client, key) = machine(&primary, "anna").await;
        let http = reqwest::Client::builder().user_agent("Sandpiper").build().unwrap();
        let body = json!({ "username": "", "password": "", "sync-api-key": key.expose() });
        let answer = http.post(format!("{}/login", primary.url)).json(&body).send().await.unwrap();
        let token = answer.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
        let subs = async || -> Value {
            let request = http.get(format!("{}/v1/sync/subs", primary.url)).bearer_auth(&token);
            request.send().await.unwrap().json().await.unwrap()
        };
        let report = async |sub: &Value, success: bool, error: &str| {
            let body = json!({
                "company_id": company, "sub_id": sub, "success": success, "message": "Slice \"items\"",
                "error": error, "duration": 5,
            });
            let request = http.post(format!("{}/v1/activity", primary.url)).bearer_auth(&token).json(&body);
            assert_eq!(request.send().await.unwrap().status(), 201);
        };
        let told = subs().await;
        assert!(told[0].get("received").is_none() && told[0]["slice"].get("version").is_none(), "{told}");
        let sub = &told[0]["id"];
        assert!(only(&primary, slice).await["version"].is_null(), "asking is not having");
        // Published after it asked: it cannot have that.
        primary.add_grain(slice, "b", "2").await;
        primary.refresh(slice).await;
        report(sub, true, "").await;
        let row = only(&primary, slice).await;
        assert_eq!(
            (&row["version"], &row["inferred"], &row["current"]),
            (&json!(1), &json!(true), &json!(false))
        );
        subs().await;
        report(sub, false, "content hash or count do not match after sync").await;
        let row = only(&primary, slice).await;
        assert_eq!((&row["version"], row["error"].as_str().unwrap().len()), (&json!(1), 45));
        report(sub, false, "").await;
        assert_eq!(only(&primary, slice).await["error"], "no reason was given");
        report(sub, true, "").await;
        let row = only(&primary, slice).await;
        assert_eq!((&row["version"], &row["current"], &row["error"]), (&json!(2), &json!(true), &json!("")));
    }
}
