//! Requests of every kind get an answer that a client can act on.

use serde_json::{Value, json};
use tests::{TestDatabase, TestPrimary};

use super::{Caller, send};

async fn start(database: TestDatabase) -> (TestPrimary, Caller) {
    let primary = TestPrimary::start_on(database, None).await;
    let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    (primary, staff)
}

#[tokio::test]
async fn answers_have_the_shapes_and_the_line_end_of_the_reference() {
    let (primary, staff) = start(TestDatabase::sqlite()).await;
    let http = reqwest::Client::new();
    let check = http.get(format!("{}/check", primary.url)).send().await.unwrap();
    assert_eq!(check.headers()["content-type"], "application/json; charset=UTF-8");
    assert_eq!(check.headers()["x-content-type-options"], "nosniff");
    assert!(check.headers().contains_key("x-request-id"));
    assert_eq!(check.text().await.unwrap(), "\"Sandpiper API OK\"\n");
    let server = staff.get("/server").await.1;
    assert_eq!(server["server-id"], primary.server_id.to_string());
    assert_eq!((server["server-role"].as_str(), &server["features"]), (Some("primary"), &json!(["sync-2"])));
    assert_eq!(
        staff.get("/v1/subs").await.1,
        json!({ "data": null, "paging": { "page_number": 1, "page_size": 50, "items_total": 0 } })
    );
    assert_eq!(staff.get("/v1/slices").await.1["data"], json!([]));
    assert_eq!(staff.get("/v1/sync/subs").await, (200, Value::Null));
    let nobody = staff.get("/v1/grains/00000000-0000-0000-0000-000000000001/level-1").await.1;
    assert_eq!(
        nobody,
        json!({ "id": "00000000-0000-0000-0000-000000000000", "grain_key": "", "source": "", "encoding": "", "payload_len": 0, "created_at": "0001-01-01T00:00:00Z" })
    );
    let pretty =
        http.get(format!("{}/server?pretty", primary.url)).bearer_auth(&staff.token).send().await.unwrap();
    assert!(pretty.text().await.unwrap().starts_with("{\n  \"server-id\""));
    let me = staff.get("/me").await.1;
    assert_eq!(
        (me["role"].clone(), me["password_changed"].clone()),
        (json!(100), json!("0001-01-01T00:00:00Z"))
    );
    assert!(me.get("password_hash").is_none() && me.get("phone").is_none());
}

#[tokio::test]
async fn refusals_name_what_is_wrong_and_nothing_internal() {
    for database in TestDatabase::each("refusals_name_what_is_wrong") {
        let (primary, staff) = start(database).await;
        let company = primary.add_company("Retail Parts", "anna").await.to_string();
        let slice = primary
            .add_slice("Brake Pads", "aces-file", &json!({}), company.parse().unwrap())
            .await
            .to_string();
        let grain = primary.add_grain(slice.parse().unwrap(), "a", "x").await.to_string();
        let none = "00000000-0000-4000-8000-00000000dead";
        let long = "x".repeat(300);
        let cases: Vec<(&str, String, Option<Value>, u16, &str)> = vec![
            ("POST", "/v1/companies".into(), Some(json!({})), 400, "Name is required, but was not received"),
            (
                "POST",
                "/v1/companies".into(),
                Some(json!({ "name": "ab" })),
                400,
                "Name's value or length is less than allowed",
            ),
            ("POST", "/v1/companies".into(), Some(json!({ "name": long })), 400, "bigger than allowed"),
            (
                "POST",
                "/v1/companies".into(),
                Some(json!({ "name": "RETAIL parts" })),
                409,
                "Company name already exists.",
            ),
            (
                "POST",
                "/v1/companies".into(),
                Some(json!({ "name": "Other", "id": company })),
                409,
                "Company id already exists.",
            ),
            ("POST", "/v1/companies".into(), Some(json!({ "name": "abc", "id": "zzz" })), 400, "not a uuid"),
            (
                "POST",
                "/v1/companies".into(),
                Some(json!({ "name": 7 })),
                400,
                "malformed request: name: invalid type: integer `7`",
            ),
            ("POST", "/v1/companies".into(), Some(json!({ "name": "a\u{0}bc" })), 400, "control characters"),
            ("GET", format!("/v1/companies/{none}"), None, 404, "Company does not exist."),
            ("GET", "/v1/companies/abc".into(), None, 400, "invalid company uuid"),
            ("DELETE", format!("/v1/companies/{company}"), None, 409, "users"),
            ("GET", "/v1/users/99999".into(), None, 404, "User does not exist."),
            ("GET", "/v1/users/x".into(), None, 400, "invalid user id"),
            (
                "POST",
                "/v1/slices".into(),
                Some(json!({ "name": "Bad", "slice_type": "nope" })),
                400,
                "invalid slice-type",
            ),
            (
                "POST",
                "/v1/slices".into(),
                Some(json!({ "name": "brake pads", "slice_type": "aces-file" })),
                409,
                "Slice name already exists.",
            ),
            ("GET", format!("/v1/slices/{none}"), None, 404, "Slice not found."),
            ("GET", "/v1/slices/name/nothing".into(), None, 404, "Slice not found."),
            ("GET", "/v1/slices/name/%00".into(), None, 400, "NUL"),
            ("GET", "/v1/slices/name/%ff".into(), None, 404, "Slice not found."),
            ("PUT", format!("/v1/slices/lock/{none}"), None, 404, "Slice not found."),
            ("POST", format!("/v1/slices/refresh/{none}"), None, 404, "Slice not found."),
            (
                "POST",
                "/v1/grains".into(),
                Some(json!({ "slice_id": slice, "grain_key": "b", "encoding": "raw" })),
                400,
                "Payload is required",
            ),
            (
                "POST",
                "/v1/grains".into(),
                Some(json!({ "slice_id": slice, "grain_key": "b", "encoding": "nope", "payload": "x" })),
                400,
                "z64",
            ),
            (
                "POST",
                "/v1/grains".into(),
                Some(json!({ "slice_id": none, "grain_key": "b", "encoding": "raw", "payload": "x" })),
                404,
                "unknown slice",
            ),
            (
                "POST",
                "/v1/grains".into(),
                Some(json!({ "slice_id": slice, "grain_key": "A", "encoding": "raw", "payload": "x" })),
                409,
                "replace=yes",
            ),
            (
                "POST",
                "/v1/grains".into(),
                Some(
                    json!({ "id": grain, "slice_id": slice, "grain_key": "b", "encoding": "raw", "payload": "x" }),
                ),
                409,
                "Grain id already exists",
            ),
            (
                "POST",
                "/v1/grains".into(),
                Some(json!({ "slice_id": slice, "grain_key": "b", "encoding": "raw", "payload": "a\u{0}" })),
                400,
                "NUL",
            ),
            ("GET", format!("/v1/grains/{none}"), None, 404, "Grain does not exist."),
            ("DELETE", format!("/v1/grains/{none}"), None, 404, "Grain does not exist."),
            (
                "POST",
                "/v1/subs".into(),
                Some(json!({ "slice_id": none, "company_id": company, "name": "abc" })),
                404,
                "unknown slice",
            ),
            (
                "POST",
                "/v1/subs".into(),
                Some(json!({ "slice_id": slice, "company_id": none, "name": "abc" })),
                404,
                "unknown company",
            ),
            (
                "POST",
                "/v1/subs".into(),
                Some(json!({ "slice_id": slice, "company_id": company, "name": "again" })),
                409,
                "subscribes",
            ),
            ("GET", format!("/v1/subs/{none}"), None, 404, "Subscription does not exist."),
            ("GET", "/v1/companies?filter=1=1)%20OR%20(1:1".into(), None, 400, "allowed: id, name"),
            ("GET", "/v1/nowhere".into(), None, 404, "Not Found"),
            ("GET", "/v1/slices/".into(), None, 404, "Not Found"),
            ("PUT", "/v1/slices".into(), None, 405, "Method Not Allowed"),
            (
                "POST",
                format!("/v1/sync/{company}"),
                None,
                403,
                "resource is not allowed with this server-role",
            ),
        ];
        for (method, path, body, expected, words) in cases {
            let (status, answer) = staff.call(method, &path, body.clone()).await;
            let text = answer.to_string();
            assert_eq!(status, expected, "{method} {path} {body:?}: {text}");
            assert!(text.contains(words), "{method} {path} {body:?}: {text}");
            assert!(answer["code"].is_string() && answer["request_id"].is_string(), "{text}");
            for internal in ["SQL", "UNIQUE", "constraint", "panic", "diesel", "src/"] {
                assert!(!text.contains(internal), "{method} {path}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn bodies_of_any_kind_get_an_answer() {
    let (primary, staff) = start(TestDatabase::sqlite()).await;
    let http = reqwest::Client::new();
    let deep = "[".repeat(100_000);
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(10_000_000));
    let bodies: Vec<(&str, Vec<u8>, u16)> = vec![
        ("application/json", b"".to_vec(), 400),
        ("application/json", b"{".to_vec(), 400),
        ("application/json", b"[]".to_vec(), 400),
        ("application/json", b"\"x\"".to_vec(), 400),
        ("application/json", b"null".to_vec(), 400),
        ("application/json", b"{\"name\":\"\xff\xfe\"}".to_vec(), 400),
        ("application/json", b"{\"name\":\"abc\",\"NAME\":\"abd\"}".to_vec(), 400),
        ("application/json", format!("{{\"name\":{deep}").into_bytes(), 413),
        ("application/json", format!("{{\"name\":{}", &deep[..1000]).into_bytes(), 400),
        ("application/json", huge.into_bytes(), 413),
        ("text/plain", b"{\"name\":\"abc\"}".to_vec(), 415),
        ("application/x-www-form-urlencoded", b"name=abc".to_vec(), 415),
        ("text/plain", Vec::new(), 400),
        ("application/json", b"{\"name\":\"ctl\\nname\"}".to_vec(), 400),
    ];
    for (kind, body, expected) in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let request = http.post(format!("{}/v1/companies", primary.url)).bearer_auth(&staff.token);
        let (status, answer) = send(request.header("content-type", kind).body(body)).await;
        assert_eq!(status, expected, "{kind} {shown}: {answer}");
    }
    let encoded = http.post(format!("{}/v1/companies", primary.url)).bearer_auth(&staff.token);
    let encoded = encoded.header("content-encoding", "gzip").json(&json!({ "name": "abc" }));
    assert_eq!(send(encoded).await.0, 415);
    let (status, _company) =
        staff.call("POST", "/v1/companies", Some(json!({ "NAME": "Upper Case", "unknown": {} }))).await;
    assert_eq!(status, 201, "keys match ignoring case, unknown ones are ignored");
    let company = primary.add_company("Large Parts", "anna").await;
    let slice = primary.add_slice("large", "aces-file", &json!({}), company).await;
    let payload = "x".repeat(shared::store::payload::MAX_TEXT_BYTES + 1);
    let large = json!({ "slice_id": slice, "grain_key": "a", "encoding": "raw", "payload": payload });
    let (status, answer) = staff.call("POST", "/v1/grains", Some(large)).await;
    assert!(
        status == 400 && answer["message"].as_str().unwrap().contains("at most 67108864"),
        "{status} {answer}"
    );
    for overlap in [json!(-1), json!(2_592_001), json!("60"), json!(1.5), json!(true)] {
        let minted = staff.call("POST", "/v1/apikey", Some(json!({ "overlap_seconds": overlap }))).await;
        assert_eq!(minted.0, 400, "{overlap}: {}", minted.1);
    }
}

#[tokio::test]
async fn nobody_can_lock_everybody_out() {
    let (primary, staff) = start(TestDatabase::sqlite()).await;
    let own = format!("/v1/companies/{}", primary.server_id);
    let (status, answer) = staff.call("PATCH", &own, Some(json!({ "active": false }))).await;
    assert_eq!(status, 409, "{answer}");
    let (status, answer) = staff.call("PATCH", "/v1/users/1", Some(json!({ "active": false }))).await;
    assert!(
        status == 409 && answer["message"].as_str().unwrap().contains("last active super admin"),
        "{answer}"
    );
    assert_eq!(staff.call("DELETE", "/v1/users/1", None).await.0, 403);
    assert_eq!(staff.get("/me").await.0, 200);
    // What a switched-off user had does not come back with him.
    let company = primary.add_company("Retail Parts", "anna").await;
    let anna = Caller::password(&primary.url, "anna", tests::node::COMPANY_ADMIN_PASSWORD).await;
    let users = staff.get(&format!("/v1/companies/{company}")).await.1;
    let path = format!("/v1/users/{}", users["users"][0]["id"]);
    for active in [false, true] {
        assert_eq!(staff.call("PATCH", &path, Some(json!({ "active": active }))).await.0, 200);
        assert_eq!(anna.get("/me").await.0, 401, "active: {active}");
    }
    let again = Caller::password(&primary.url, "anna", tests::node::COMPANY_ADMIN_PASSWORD).await;
    assert_eq!(again.get("/me").await.0, 200);
}

#[tokio::test]
async fn what_is_indexed_has_a_bound_on_both_databases() {
    for database in TestDatabase::each("what_is_indexed_has_a_bound") {
        let (primary, staff) = start(database).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let slice = primary.add_slice("items", "pies-items", &json!({}), company).await;
        let long: String = (0..9_000).map(|n| char::from(b'a' + u8::try_from(n * 7 % 26).unwrap())).collect();
        for (path, body) in [
            (
                "/v1/grains",
                json!({ "slice_id": slice, "grain_key": long, "encoding": "raw", "payload": "x" }),
            ),
            (
                "/v1/slices",
                json!({ "name": "other", "slice_type": "aces-file", "metadata": { (long.clone()): "x" } }),
            ),
            ("/v1/companies", json!({ "name": "Other", "sync_addr": format!("http://{long}") })),
        ] {
            let (status, answer) = staff.call("POST", path, Some(body)).await;
            assert_eq!(status, 400, "{path}: {answer}");
        }
        let value = json!({ "name": "long value", "slice_type": "aces-file", "metadata": { "k": long } });
        assert_eq!(staff.call("POST", "/v1/slices", Some(value)).await.0, 201);
        for path in ["/v1/slices/name/a%00b", "/v1/subs/name/%00", &format!("/v1/grains/{slice}/%00")] {
            assert_eq!(staff.get(path).await.0, 400, "{path}");
        }
    }
}

#[tokio::test]
async fn a_lock_has_an_owner_and_a_second_editor_is_told() {
    let (primary, staff) = start(TestDatabase::sqlite()).await;
    let company = primary.add_company("Retail Parts", "anna").await;
    let slice = primary.add_slice("brake-pads", "aces-file", &json!({}), company).await;
    let second = json!({
        "first_name": "Second", "last_name": "Admin", "username": "second", "email": "second@example.com",
        "password": tests::ADMIN.1, "password_confirm": tests::ADMIN.1, "company_id": primary.server_id, "role": 110,
    });
    assert_eq!(staff.call("POST", "/v1/users", Some(second)).await.0, 201);
    let second = Caller::password(&primary.url, "second", tests::ADMIN.1).await;
    assert_eq!(staff.call("PUT", &format!("/v1/slices/lock/{slice}"), None).await.0, 200);
    assert_eq!(
        staff.call("PUT", &format!("/v1/slices/lock/{slice}"), None).await.0,
        200,
        "again by its owner"
    );
    let grain = json!({ "slice_id": slice, "grain_key": "a", "encoding": "raw", "payload": "x" });
    for (method, path, body) in [
        ("PUT", format!("/v1/slices/lock/{slice}"), None),
        ("PUT", format!("/v1/slices/unlock/{slice}"), None),
        ("POST", format!("/v1/slices/refresh/{slice}"), None),
        ("POST", "/v1/grains".to_owned(), Some(grain.clone())),
    ] {
        let (status, answer) = second.call(method, &path, body).await;
        assert_eq!((status, answer["code"].as_str()), (409, Some("locked")), "{path}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains("locked by admin until"), "{answer}");
    }
    assert_eq!(staff.call("POST", "/v1/grains", Some(grain)).await.0, 201);
    assert_eq!(staff.call("PUT", &format!("/v1/slices/unlock/{slice}"), None).await.0, 200);
    assert_eq!(second.call("POST", &format!("/v1/slices/refresh/{slice}"), None).await.0, 200);
    // A super admin may take over and end anybody's lock.
    assert_eq!(second.call("PUT", &format!("/v1/slices/lock/{slice}"), None).await.0, 200);
    assert_eq!(staff.call("PUT", &format!("/v1/slices/lock/{slice}"), None).await.0, 200);
    assert_eq!(
        second.call("PUT", &format!("/v1/slices/unlock/{slice}"), None).await.0,
        409,
        "it is no longer his"
    );
    assert_eq!(staff.call("PUT", &format!("/v1/slices/unlock/{slice}"), None).await.0, 200);
    assert_eq!(second.call("PUT", &format!("/v1/slices/lock/{slice}"), None).await.0, 200);
    assert_eq!(staff.call("PUT", &format!("/v1/slices/unlock/{slice}"), None).await.0, 200);
}
