//! What a node is cannot be changed while it serves; records of the log can be removed.

use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{Pair, TestDatabase, TestPrimary};

use super::Caller;

#[tokio::test]
async fn role_and_company_of_a_node_are_shown_and_fixed() {
    let pair = Pair::start().await;
    let secondary_id = pair.secondary.secondary.node.server_id();
    for (url, role, id) in [
        (&pair.primary.url, "primary", pair.primary.server_id),
        (&pair.secondary.url, "secondary", secondary_id),
    ] {
        let staff = Caller::password(url, tests::ADMIN.0, tests::ADMIN.1).await;
        let setting = staff.get("/v1/settings").await.1;
        assert_eq!(
            (&setting["id"], &setting["server_role"], &setting["server_id"]),
            (&json!(true), &json!(role), &json!(id))
        );
        let same = json!({ "id": true, "server_role": role, "server_id": id });
        for path in ["/v1", "/v1/settings"] {
            assert_eq!(staff.call("PUT", path, Some(same.clone())).await, (200, setting.clone()), "{path}");
            for (body, status) in [
                (
                    json!({ "server_role": if role == "primary" { "secondary" } else { "primary" }, "server_id": id }),
                    409,
                ),
                (json!({ "server_role": role, "server_id": pair.company }), 409),
                (json!({ "server_role": "both", "server_id": id }), 400),
                (json!({ "server_role": role }), 400),
                (json!({}), 400),
            ] {
                assert_eq!(staff.call("PUT", path, Some(body)).await.0, status, "{path}");
            }
        }
        assert_eq!(staff.call("POST", "/v1/settings", Some(same)).await.0, 409);
        assert_eq!(staff.get("/v1/settings").await.1, setting, "nothing was changed");
    }
    let anna = Caller::password(&pair.primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let body = json!({ "server_role": "primary", "server_id": pair.primary.server_id });
    for (method, path) in
        [("GET", "/v1/settings"), ("POST", "/v1/settings"), ("PUT", "/v1/settings"), ("PUT", "/v1")]
    {
        assert_eq!(anna.call(method, path, Some(body.clone())).await.0, 403, "{method} {path}");
    }
}

#[tokio::test]
async fn staff_removes_a_record_of_the_log() {
    for database in TestDatabase::each("staff_removes_a_record") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let record = json!({ "company_id": company, "success": true, "message": "m", "duration": 1 });
        let id = anna.call("POST", "/v1/activity", Some(record)).await.1["id"].to_string();
        let path = format!("/v1/activity/{id}");
        assert_eq!(anna.call("DELETE", &path, None).await.0, 403);
        assert_eq!(staff.call("DELETE", &path, None).await, (200, Value::Null));
        assert_eq!(staff.call("DELETE", &path, None).await.0, 404);
        assert_eq!(staff.get(&path).await.0, 404);
        assert_eq!(staff.call("DELETE", "/v1/activity/abc", None).await.0, 400);
        primary.stop().await;
    }
}
