//! Towards a primary of the reference: a fake one that answers with the bodies recorded from it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use secondary::sync::Outcome;
use serde_json::{Value, json};
use shared::client::ClientError;
use shared::wire::Id;
use tests::{TestDatabase, TestSecondary};

/// "METHOD path" → status and body, as recorded between a secondary and a primary of the reference.
fn recorded() -> HashMap<String, (u16, Value)> {
    include_str!("../fixtures/sandpiper/client-secondary.jsonl")
        .lines()
        .map(|line| {
            let exchange: Value = serde_json::from_str(line).unwrap();
            let request = &exchange["request"];
            let key =
                format!("{} {}", request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
            let status = u16::try_from(exchange["response"]["status"].as_u64().unwrap()).unwrap();
            (key, (status, exchange["response"]["body"].clone()))
        })
        .collect()
}

type Log = Arc<Mutex<Vec<(String, String, Value)>>>;

/// What the reference answers to a record of a failure (gap B6).
const NO_SUCCESS: &str = "{\"message\":[\"Success is required, but was not received\"]}\n";

/// Answers what was recorded and notes what it was asked.
fn start(answers: HashMap<String, (u16, Value)>, log: Log) -> String {
    start_for("20000000-0000-0000-0000-000000000000", answers, log)
}

/// The same for logins of a company.
fn start_for(company: &str, mut answers: HashMap<String, (u16, Value)>, log: Log) -> String {
    let me = json!({
        "id": 3, "first_name": "sync", "last_name": "sync", "username": "sync_x", "email": "sync", "active": true,
        "last_login": "0001-01-01T00:00:00Z", "password_changed": "0001-01-01T00:00:00Z", "role": 200,
        "company_id": company, "created_at": "2026-11-21T18:55:44.476454Z",
        "updated_at": "2026-11-21T18:55:44.476454Z",
    });
    answers.insert("GET /me".to_owned(), (200, me));
    let answers = Arc::new(answers);
    let server = HttpServer::new(move || {
        let (answers, log) = (Arc::clone(&answers), Arc::clone(&log));
        App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
            let key = format!("{} {}", request.method(), request.uri());
            let agent = request.headers().get("user-agent").map(|value| value.to_str().unwrap().to_owned());
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let is_failure = key == "POST /v1/activity" && body["success"] == false;
            log.lock().unwrap().push((key.clone(), agent.unwrap_or_default(), body));
            let answer = match answers.get(&key) {
                _ if is_failure => {
                    HttpResponse::BadRequest().content_type("application/json").body(NO_SUCCESS)
                }
                Some((status, body)) => {
                    let status = actix_web::http::StatusCode::from_u16(*status).unwrap();
                    HttpResponse::build(status)
                        .content_type("application/json; charset=UTF-8")
                        .body(format!("{body}\n"))
                }
                None => HttpResponse::NotFound().body("{\"message\":\"Not Found\"}\n"),
            };
            async move { answer }
        }))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let url = format!("http://{}", server.addrs()[0]);
    tokio::spawn(server.run());
    url
}

async fn secondary_with_key(url: &str, key: &str) -> (TestSecondary, Id) {
    let secondary = TestSecondary::start().await;
    let id: Id = "10000000-0000-0000-0000-000000000000".parse().unwrap();
    let _company: Value = secondary
        .admin
        .post(
            "/v1/companies",
            &json!({ "id": id, "name": "Better Brakes Go", "sync_addr": url, "active": true }),
        )
        .await
        .unwrap();
    let login: Value = secondary
        .admin
        .post("/login", &json!({ "username": tests::ADMIN.0, "password": tests::ADMIN.1 }))
        .await
        .unwrap();
    let stored = reqwest::Client::new()
        .patch(format!("{}/v1/companies/{id}", secondary.url))
        .bearer_auth(login["token"].as_str().unwrap())
        .json(&json!({ "sync_api_key": key }))
        .send()
        .await
        .unwrap();
    assert_eq!(stored.status(), 200);
    (secondary, id)
}

#[tokio::test]
async fn slices_of_a_reference_primary_arrive_and_are_checked_against_its_hash() {
    let log = Log::default();
    let url = start(recorded(), Arc::clone(&log));
    let (secondary, id) = secondary_with_key(&url, "fed6aa0c").await;
    let report = secondary.sync(id).await.unwrap().into_result().unwrap();
    assert_eq!((report.protocol, report.changed(), report.total().grains_added), ("go", 2, 4));
    let items: Value = secondary.admin.get("/v1/slices/name/acme-items").await.unwrap();
    assert_eq!(items["content_hash"], "36c59ee7e19f613ef2298aab609947adde7c9486");
    assert_eq!(items["content_count"], 3);
    assert_eq!(items["content_date"], "2026-11-21T19:02:33.34641Z");
    let file: Value = secondary
        .admin
        .get("/v1/grains/2c000000-0000-0000-0000-0000000000a0/level-1?payload=yes")
        .await
        .unwrap();
    assert_eq!(file["source"], "aces-file.xml");
    let payload = file["payload"].as_str().unwrap();
    let xml = shared::payload::Encoding::Z64.decode(payload, 1_000_000).unwrap();
    assert!(xml.starts_with(b"<?xml") || xml.starts_with(b"\xef\xbb\xbf<?xml") || xml.starts_with(b"<ACES"));
    {
        let log = log.lock().unwrap();
        assert!(log.iter().all(|(_key, agent, _body)| agent != "Sandpiper"), "we are told the full hash");
        let fetched = log.iter().filter(|(key, _agent, _body)| key.starts_with("GET /v1/grains/")).count();
        assert_eq!(fetched, 0, "the brief list holds the payloads already");
        let reports: Vec<&Value> =
            log.iter().filter(|(key, ..)| key == "POST /v1/activity").map(|(.., body)| body).collect();
        assert!(reports.iter().all(|body| body["company_id"] == "20000000-0000-0000-0000-000000000000"));
        assert!(reports.len() >= 2);
    }
    let again = secondary.sync(id).await.unwrap().into_result().unwrap();
    assert!(again.slices.iter().all(|slice| matches!(slice.outcome, Outcome::Unchanged)));
}

#[tokio::test]
async fn a_reference_primary_whose_content_does_not_give_its_hash_is_refused() {
    let mut answers = recorded();
    let key = "GET /v1/sync/slice/2c000000-0000-0000-0000-0000000000a1?brief=yes";
    let (_status, body) = answers.get_mut(key).unwrap();
    body[0]["id"] = json!("2e000000-0000-0000-0000-00000000ffff");
    let url = start(answers, Log::default());
    let (secondary, id) = secondary_with_key(&url, "fed6aa0c").await;
    let report = secondary.sync(id).await.unwrap();
    assert_eq!(report.failures().len(), 1, "{:?}", report.failures());
    assert!(report.failures()[0].contains("acme-items"));
    assert_eq!(report.changed(), 1, "the other slice arrives");
    let items: Value = secondary.admin.get("/v1/slices/name/acme-items").await.unwrap();
    assert_eq!((items["content_count"].clone(), items["sync_status"].clone()), (json!(0), json!("error")));
}

/// It refuses every record of a failure: that of the run, which comes first, and that of the slice.
#[tokio::test]
async fn a_reference_primary_hears_of_the_slices_that_arrived_though_others_failed() {
    let mut answers = recorded();
    // The first in the list, so that records of failures come before and the success after them.
    let subs = answers["GET /v1/sync/subs"].1.as_array().unwrap().clone();
    assert_eq!(subs.len(), 2);
    let (broken, good) = (&subs[0], &subs[1]);
    let key = format!("GET /v1/sync/slice/{}?brief=yes", broken["slice_id"].as_str().unwrap());
    answers.get_mut(&key).unwrap().1[0]["id"] = json!("2e000000-0000-0000-0000-00000000ffff");
    let log = Log::default();
    let url = start(answers, Arc::clone(&log));
    let (secondary, id) = secondary_with_key(&url, "fed6aa0c").await;
    let report = secondary.sync(id).await.unwrap();
    assert_eq!((report.failures().len(), report.changed()), (1, 1), "{:?}", report.failures());
    let log = log.lock().unwrap();
    let told: Vec<(&Value, &Value)> = log
        .iter()
        .filter(|(key, ..)| key == "POST /v1/activity")
        .map(|(.., body)| (&body["sub_id"], &body["success"]))
        .collect();
    let nil = json!("00000000-0000-0000-0000-000000000000");
    assert_eq!(told, [(&nil, &json!(false)), (&broken["id"], &json!(false)), (&good["id"], &json!(true))]);
}

const PUBLISHER: &str = "10000000-0000-0000-0000-000000000000";

/// As [`recorded`], and mints a key.
fn minting() -> HashMap<String, (u16, Value)> {
    let mut answers = recorded();
    let key = json!({ "primary_id": PUBLISHER, "sync_api_key": "fed6aa0c" });
    answers.insert("POST /v1/apikey".to_owned(), (200, key));
    answers
}

async fn connect(secondary: &TestSecondary, url: &str, name: Option<&str>) -> Result<Value, ClientError> {
    let mut body = json!({ "url": url, "username": "carla", "password": "secret" });
    if let Some(name) = name {
        body["name"] = json!(name);
    }
    secondary.admin.post("/v1/servers", &body).await
}

fn mints(log: &Log) -> usize {
    log.lock().unwrap().iter().filter(|(key, ..)| key == "POST /v1/apikey").count()
}

#[tokio::test]
async fn connecting_to_a_reference_primary_as_its_own_admin_is_refused_before_anything_is_minted() {
    let log = Log::default();
    let url = start_for(PUBLISHER, minting(), Arc::clone(&log));
    let secondary = TestSecondary::start().await;
    let refused = connect(&secondary, &url, None).await.unwrap_err();
    assert!(refused.is_status(400) && refused.to_string().contains("company of the primary"), "{refused}");
    assert_eq!(mints(&log), 0);
    let known: Option<Vec<Value>> = secondary.admin.get("/v1/servers").await.unwrap();
    assert_eq!(known.unwrap_or_default(), [Value::Null; 0]);
}

#[tokio::test]
async fn a_primary_that_tells_no_name_is_called_by_its_host_or_as_the_operator_says() {
    for database in TestDatabase::each("a_primary_that_tells_no_name") {
        let log = Log::default();
        let url = start(minting(), Arc::clone(&log));
        let secondary = TestSecondary::start_on(database).await;
        let connected = connect(&secondary, &url, None).await.unwrap();
        assert_eq!(format!("http://{}", connected["name"].as_str().unwrap()), url);
        let renamed = connect(&secondary, &url, Some(" Better Brakes ")).await.unwrap();
        assert_eq!(renamed["name"], "Better Brakes");
        let again = connect(&secondary, &url, None).await.unwrap();
        assert_eq!(again["name"], "Better Brakes", "what was said once stays");

        let before = mints(&log);
        let other = json!({ "name": "Other Parts", "active": true });
        let _other: Value = secondary.admin.post("/v1/companies", &other).await.unwrap();
        for (name, status) in [("other parts", 409), ("ab", 400), ("a\0bc", 400), ("", 400)] {
            let refused = connect(&secondary, &url, Some(name)).await.unwrap_err();
            assert!(refused.is_status(status), "{name:?}: {refused}");
        }
        assert_eq!(mints(&log), before, "nothing was minted");
        let named = connect(&TestSecondary::start().await, &url, Some("Brakes")).await.unwrap();
        assert_eq!(named["name"], "Brakes", "also at the first time");
        secondary.stop().await;
    }
}
