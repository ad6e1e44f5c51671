//! PATCH (RFC 7396): what is absent stays, `null` empties what may be empty, and nothing else changes.

use serde_json::{Value, json};
use tests::{Pair, TestDatabase, TestPrimary};

use super::Caller;

#[tokio::test]
async fn absent_null_and_empty_are_three_things_in_a_company_and_in_a_user() {
    for database in TestDatabase::each("absent_null_and_empty") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let path = format!("/v1/companies/{company}");
        let company = staff.call("PATCH", &path, Some(json!({ "sync_addr": "https://a.example" }))).await.1;
        assert_eq!((&company["name"], &company["active"]), (&json!("Retail Parts"), &json!(true)));
        for (body, status) in [
            (json!({ "name": null }), 400),
            (json!({ "name": "" }), 400),
            (json!({ "name": "  " }), 400),
            (json!({ "active": null }), 400),
            (json!({ "active": "no" }), 400),
            (json!({ "sync_api_key": null }), 400),
            (json!({ "sync_user_id": null }), 403),
            (json!({}), 200),
            (json!({ "unknown": null }), 200),
        ] {
            let (got, answer) = staff.call("PATCH", &path, Some(body.clone())).await;
            assert_eq!(got, status, "{body}: {answer}");
        }
        let unchanged = staff.get(&path).await.1;
        assert_eq!((&unchanged["name"], &unchanged["sync_addr"]), (&company["name"], &company["sync_addr"]));
        for empty in [json!(null), json!("")] {
            staff.call("PATCH", &path, Some(json!({ "sync_addr": "https://a.example" }))).await;
            let company = staff.call("PATCH", &path, Some(json!({ "sync_addr": empty }))).await.1;
            assert_eq!(company["sync_addr"], "");
        }
        let company = staff.call("PATCH", &path, Some(json!({ "Active": false }))).await.1;
        assert_eq!((&company["active"], &company["name"]), (&json!(false), &json!("Retail Parts")));
        staff.call("PATCH", &path, Some(json!({ "active": true }))).await;

        let anna = unchanged["users"][0]["id"].to_string();
        let path = format!("/v1/users/{anna}");
        let all =
            json!({ "phone": "555", "display_name": "Änne", "first_name": "Anna", "last_name": "Otter" });
        let user = staff.call("PATCH", &path, Some(all)).await.1;
        assert_eq!((&user["phone"], &user["display_name"]), (&json!("555"), &json!("Änne")));
        for (body, status) in [
            (json!({ "first_name": null }), 400),
            (json!({ "first_name": "" }), 400),
            (json!({ "last_name": "x" }), 400),
            (json!({ "email": null }), 400),
            (json!({ "email": "" }), 400),
            (json!({ "email": "no address" }), 400),
            (json!({ "active": null }), 400),
            (json!({ "phone": 5 }), 400),
            (json!({ "display_name": "a\u{0}" }), 400),
            (json!({ "role": null }), 403),
            (json!({ "company_id": null }), 403),
            (json!({}), 200),
        ] {
            let (got, answer) = staff.call("PATCH", &path, Some(body.clone())).await;
            assert_eq!(got, status, "{body}: {answer}");
        }
        let mut same = staff.get(&path).await.1;
        same["updated_at"] = user["updated_at"].clone();
        assert_eq!(same, user);
        let cleared =
            staff.call("PATCH", &path, Some(json!({ "phone": null, "display_name": null }))).await.1;
        assert_eq!((cleared.get("phone"), cleared.get("display_name")), (None, None));
        assert_eq!(cleared["email"], user["email"]);
        // To a create, null is absent, as Go decodes it.
        let body = json!({ "name": "Null Parts", "id": null, "sync_addr": null, "active": null });
        let (status, company) = staff.call("POST", "/v1/companies", Some(body)).await;
        assert_eq!((status, &company["active"]), (201, &json!(false)));
        primary.stop().await;
    }
}

#[tokio::test]
async fn on_a_secondary_too_and_no_key_is_lost_by_it() {
    let pair = Pair::start().await;
    let here = Caller::password(&pair.secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    let path = format!("/v1/companies/{}", pair.primary.server_id);
    for body in [json!({ "name": null }), json!({ "sync_api_key": null }), json!({ "sync_api_key": 5 })] {
        assert_eq!(here.call("PATCH", &path, Some(body)).await.0, 400);
    }
    let company = here.call("PATCH", &path, Some(json!({ "sync_api_key": "", "active": true }))).await.1;
    assert_eq!(company["has_api_key"], Value::Bool(true));
    pair.sync().await;
}
