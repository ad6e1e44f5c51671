//! Request bodies: nothing of what a caller wrote is dropped without a word.

use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::{Caller, send};

/// A key whose rotation was to overlap must not die because the request lacked a header.
#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_refused_and_nothing_is_done() {
    let primary = TestPrimary::start().await;
    let company = primary.add_company("Retail Parts", "anna").await;
    let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
    let key = anna.call("POST", "/v1/apikey", None).await.1["sync_api_key"].as_str().unwrap().to_owned();
    let http = reqwest::Client::new();
    let paths = [
        ("POST", "/v1/apikey".to_owned(), json!({ "overlap_seconds": 86_400 })),
        ("PATCH", format!("/v1/companies/{company}"), json!({ "name": "Another Name" })),
        ("POST", "/login".to_owned(), json!({ "username": "anna", "password": COMPANY_ADMIN_PASSWORD })),
    ];
    for (method, path, body) in &paths {
        let request = || {
            http.request(method.parse().unwrap(), format!("{}{path}", primary.url))
                .bearer_auth(&anna.token)
                .body(body.to_string())
        };
        for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonfoo"] {
            let (status, answer) = send(request().header("content-type", kind)).await;
            assert_eq!((status, answer["code"].as_str()), (415, Some("not_json")), "{path} {kind}: {answer}");
        }
        assert_eq!(send(request()).await.0, 415, "{path}: no type at all");
    }
    let machine = Caller::login(&primary.url, &json!({ "sync-api-key": key })).await;
    assert_eq!(machine.get("/v1/sync/subs").await.0, 200, "the key is still good");
    assert_eq!(anna.get(&format!("/v1/companies/{company}")).await.1["name"], "Retail Parts");
    for kind in ["application/json; charset=utf-8", "application/merge-patch+json", "Application/JSON"] {
        let request = http.patch(format!("{}/v1/companies/{company}", primary.url)).bearer_auth(&anna.token);
        let body = json!({ "name": format!("By {kind}") }).to_string();
        let (status, answer) = send(request.header("content-type", kind).body(body)).await;
        assert_eq!((status, answer["name"].as_str()), (200, Some(format!("By {kind}").as_str())), "{answer}");
    }
}

#[tokio::test]
async fn members_that_contradict_each_other_or_cannot_be_kept_are_refused() {
    for database in TestDatabase::each("members_that_contradict") {
        let primary = TestPrimary::start_on(database, None).await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let request =
            reqwest::Client::new().post(format!("{}/v1/slices", primary.url)).bearer_auth(&staff.token);
        let body = r#"{"name":"abc","slice_type":"aces-file","metadata":{"k":"1","k":"2"}}"#;
        let (status, answer) = send(request.header("content-type", "application/json").body(body)).await;
        assert!(
            status == 400 && answer["message"].as_str().unwrap().contains("\"k\" is repeated"),
            "{answer}"
        );
        // Every receiver would refuse such a slice, for ever.
        for name in ["ctl\nname", "esc\u{1b}[31m", "\u{7}bell", "c1\u{9b}31m"] {
            for (path, body) in [
                ("/v1/slices", json!({ "name": name, "slice_type": "aces-file" })),
                ("/v1/companies", json!({ "name": name })),
            ] {
                let (status, answer) = staff.call("POST", path, Some(body)).await;
                assert!(
                    status == 400 && answer.to_string().contains("control characters"),
                    "{path}: {answer}"
                );
            }
        }
        let body = json!({ "name": "with a key", "sync_api_key": "1f2e" });
        let (status, answer) = staff.call("POST", "/v1/companies", Some(body)).await;
        assert!(status == 400 && answer["message"].as_str().unwrap().contains("by PATCH"), "{answer}");
        let slice = staff
            .call("POST", "/v1/slices", Some(json!({ "name": "abc", "slice_type": "aces-file" })))
            .await
            .1;
        for (encoding, payload, is_good) in [
            ("raw", "x", true),
            ("b64", "AP8=", true),
            ("b64", "AP8", true),
            ("b64", "A?8=", false),
            ("z64", "x", false),
            ("z64", "AP8=", false),
            ("a85", "87cURD]i,\"Ebo80", true),
            ("a85", "\u{7f}", false),
            ("z85", "87cURD]i,\"Ebo80", false),
        ] {
            let key = format!("{encoding} {payload}");
            let body = json!({ "slice_id": slice["id"], "grain_key": key, "encoding": encoding, "payload": payload });
            let (status, answer) = staff.call("POST", "/v1/grains", Some(body)).await;
            assert_eq!(status, if is_good { 201 } else { 400 }, "{key}: {answer}");
            assert!(
                is_good || answer["message"].as_str().unwrap().starts_with("payload: not valid"),
                "{answer}"
            );
        }
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_whole_number_may_be_written_with_a_point() {
    let primary = TestPrimary::start().await;
    primary.add_company("Retail Parts", "anna").await;
    let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
    assert_eq!(anna.call("POST", "/v1/apikey", Some(json!({ "overlap_seconds": 60.0 }))).await.0, 200);
    let (status, answer) = anna.call("POST", "/v1/apikey", Some(json!({ "overlap_seconds": 60.5 }))).await;
    let told =
        "malformed request: overlap_seconds: invalid type: floating point `60.5`, expected a whole number";
    assert_eq!((status, &answer["message"]), (400, &json!(told)));
}

/// RFC 9110 §9.3.2; those who balance load ask so.
#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let (primary, secondary) = (TestPrimary::start().await, TestSecondary::start().await);
    for (url, role) in [(&primary.url, "primary"), (&secondary.url, "secondary")] {
        let staff = Caller::password(url, tests::ADMIN.0, tests::ADMIN.1).await;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        for path in ["/check", "/openapi.json", "/v1/companies", "/server"] {
            let request = |method| http.request(method, format!("{url}{path}")).bearer_auth(&staff.token);
            let get = request(reqwest::Method::GET).send().await.unwrap();
            let head = request(reqwest::Method::HEAD).send().await.unwrap();
            assert_eq!(
                (head.status(), head.headers().get("content-type")),
                (get.status(), get.headers().get("content-type")),
                "{role} {path}"
            );
            assert_eq!(head.bytes().await.unwrap().len(), 0, "{role} {path}");
        }
        assert_eq!(http.head(format!("{url}/v1/companies")).send().await.unwrap().status(), 401);
        let moved = http.get(format!("{url}/docs")).send().await.unwrap();
        assert!(moved.status().is_redirection() && moved.headers()["location"] == "/docs/", "{moved:?}");
    }
}

#[tokio::test]
async fn a_list_of_slices_comes_whole_when_nothing_is_said_of_pages() {
    for database in TestDatabase::each("a_list_of_slices_comes_whole") {
        let primary = TestPrimary::start_on(database, None).await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        for n in 0..53 {
            let body = json!({ "name": format!("slice {n:02}"), "slice_type": "aces-file" });
            assert_eq!(staff.call("POST", "/v1/slices", Some(body)).await.0, 201);
        }
        let count = |list: &Value| list["data"].as_array().unwrap().len();
        let all = staff.get("/v1/slices").await.1;
        assert_eq!((count(&all), &all["paging"]["items_total"]), (53, &json!(53)));
        assert_eq!((&all["paging"]["page_size"], all["paging"].get("next")), (&json!(53), None));
        assert_eq!(count(&staff.get("/v1/slices?sort=name:desc").await.1), 53);
        assert_eq!(count(&staff.get("/v1/slices?page=1").await.1), 50);
        assert_eq!(count(&staff.get("/v1/slices?page=2").await.1), 3);
        assert_eq!(count(&staff.get("/v1/slices?pagesize=10").await.1), 10);
        primary.stop().await;
    }
}
