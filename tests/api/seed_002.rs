//! The steps of seed 002, with its member names and its paths, from a plain login to a sync by api-key.

use serde_json::json;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::{Caller, send};

#[tokio::test]
async fn from_a_plain_login_to_a_sync_by_api_key() {
    for database in TestDatabase::each("from_a_plain_login") {
        let primary = TestPrimary::start_on(database, None).await;
        let secondary = TestSecondary::start().await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let slice = primary.add_slice("brake-pads", "aces-file", &json!({}), company).await;
        primary.publish_file(slice, "aces.xml", b"<ACES/>".to_vec()).await.unwrap();

        // 1. POST /login → token, expires, refresh_token.
        let http = reqwest::Client::new();
        let credentials = json!({ "username": "companyadmin", "password": COMPANY_ADMIN_PASSWORD });
        let (status, login) = send(http.post(format!("{}/login", primary.url)).json(&credentials)).await;
        assert_eq!(status, 200);
        for member in ["token", "expires", "refresh_token"] {
            assert!(login[member].is_string(), "{login}");
        }
        // 2. POST /apikey → primary_id, sync_api_key; with /v1 too.
        for path in ["/v1/apikey", "/apikey"] {
            let request =
                http.post(format!("{}{path}", primary.url)).bearer_auth(login["token"].as_str().unwrap());
            assert_eq!(send(request).await.0, 200, "{path}");
        }
        let request =
            http.post(format!("{}/apikey", primary.url)).bearer_auth(login["token"].as_str().unwrap());
        let (_status, key) = send(request).await;
        assert_eq!(key["primary_id"], primary.server_id.to_string());
        // 3. Saved in the primary's company record.
        let admin = Caller::password(&secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let record = json!({ "id": key["primary_id"], "name": "Better Brakes", "sync_addr": primary.url, "active": true });
        assert_eq!(admin.call("POST", "/v1/companies", Some(record)).await.0, 201);
        let path = format!("/v1/companies/{}", primary.server_id);
        let (status, saved) =
            admin.call("PATCH", &path, Some(json!({ "sync_api_key": key["sync_api_key"] }))).await;
        assert_eq!(status, 200);
        assert!(!saved.to_string().contains(key["sync_api_key"].as_str().unwrap()));
        // 4. POST /sync/<primary id>; with /v1 too.
        for path in ["/sync", "/v1/sync"] {
            let (status, body) = admin.call("POST", &format!("{path}/{}", primary.server_id), None).await;
            assert_eq!((status, body), (200, serde_json::Value::Null), "{path}");
        }
        // 5. and 6. What the secondary did, by hand: /synclogin, or the same /login.
        for path in ["/synclogin", "/login"] {
            let body = json!({ "sync_api_key": key["sync_api_key"] });
            let (status, token) = send(http.post(format!("{}{path}", primary.url)).json(&body)).await;
            assert_eq!(status, 200, "{path}");
            let machine = Caller {
                http: http.clone(),
                url: primary.url.clone(),
                token: token["token"].as_str().unwrap().to_owned(),
            };
            assert_eq!(machine.get("/v1/sync/subs").await.1[0]["slice"]["slice_name"], "brake-pads");
        }
        let (status, grain) = admin.get(&format!("/v1/grains/{slice}/level-1?payload=yes")).await;
        assert_eq!((status, grain["source"].as_str()), (200, Some("aces.xml")));
        // Every place that could show the stored key.
        for path in [
            "/v1/companies",
            &path,
            "/v1/servers",
            &format!("/v1/servers/{}", primary.server_id),
            "/v1/slices",
            "/v1/subs",
            "/v1/activity",
        ] {
            let (status, body) = admin.get(path).await;
            assert_eq!(status, 200, "{path}");
            assert!(!body.to_string().contains(key["sync_api_key"].as_str().unwrap()), "{path}");
        }
        primary.stop().await;
        secondary.stop().await;
    }
}
