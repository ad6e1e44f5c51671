//! A deleted user is gone for everybody, and yet its id names nobody else.

use serde_json::{Value, json};
use shared::wire::Id;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary};

use super::{Caller, send};

fn person(company: Id, username: &str, role: i64) -> Value {
    json!({
        "first_name": "Otto", "last_name": "Otter", "username": username, "email": format!("{username}@example.com"),
        "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": company, "role": role,
    })
}

async fn try_login(url: &str, body: Value) -> u16 {
    send(reqwest::Client::new().post(format!("{url}/login")).json(&body)).await.0
}

#[tokio::test]
async fn a_deleted_user_is_out_at_once_and_name_and_address_are_free() {
    for database in TestDatabase::each("a_deleted_user_is_out") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let login = json!({ "username": "otto", "password": COMPANY_ADMIN_PASSWORD });
        let (status, made) = anna.call("POST", "/v1/users", Some(person(company, "otto", 300))).await;
        assert_eq!(status, 201, "{made}");
        let otto = Caller::login(&primary.url, &login).await;
        let answer = send(reqwest::Client::new().post(format!("{}/login", primary.url)).json(&login)).await.1;
        let refresh = format!("{}/refresh/{}", primary.url, answer["refresh_token"].as_str().unwrap());
        let path = format!("/v1/users/{}", made["id"]);
        assert_eq!(anna.call("DELETE", &path, None).await, (200, Value::Null));
        assert_eq!(otto.get("/me").await.0, 401);
        assert_eq!(send(reqwest::Client::new().get(refresh)).await.0, 401);
        assert_eq!(try_login(&primary.url, login.clone()).await, 401);
        let odd = format!("deleted {}", made["id"]);
        assert_eq!(
            try_login(&primary.url, json!({ "username": odd, "password": COMPANY_ADMIN_PASSWORD })).await,
            401
        );
        for (method, path, body) in [
            ("GET", path.clone(), None),
            ("PATCH", path.clone(), Some(json!({ "active": true }))),
            ("DELETE", path.clone(), None),
            ("POST", format!("{path}/password"), None),
        ] {
            assert_eq!(staff.call(method, &path, body).await.0, 404, "{method} {path}");
        }
        for list in ["/v1/users".to_owned(), format!("/v1/companies/{company}")] {
            assert!(!staff.get(&list).await.1.to_string().contains("otto"), "{list}");
        }
        assert_eq!(staff.get("/v1/users").await.1["paging"]["items_total"], 2);
        let (status, again) = anna.call("POST", "/v1/users", Some(person(company, "otto", 300))).await;
        assert_eq!(status, 201, "{again}");
        assert!(again["id"].as_i64() > made["id"].as_i64(), "an id is used once");
        assert_eq!(otto.get("/me").await.0, 401, "the old token is nobody's");
        let again_path = format!("/v1/users/{}", again["id"]);
        assert_eq!(anna.call("DELETE", &again_path, None).await.0, 200, "two of one name are gone");
        primary.stop().await;
    }
}

#[tokio::test]
async fn with_a_machine_its_keys_are_gone_and_the_next_mint_makes_another() {
    for database in TestDatabase::each("with_a_machine_its_keys") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let old = anna.call("POST", "/v1/apikey", None).await.1;
        let key_login = json!({ "sync-api-key": old["sync_api_key"] });
        let machine = Caller::login(&primary.url, &key_login).await;
        let company_path = format!("/v1/companies/{company}");
        let sync_user = staff.get(&company_path).await.1["sync_user_id"].clone();
        assert_eq!(staff.call("DELETE", &format!("/v1/users/{sync_user}"), None).await.0, 200);
        assert_eq!(machine.get("/me").await.0, 401);
        assert_eq!(try_login(&primary.url, key_login.clone()).await, 401);
        assert_eq!(staff.get(&company_path).await.1.get("sync_user_id"), None);
        let keys = anna.get("/v1/apikey").await.1;
        assert_eq!(
            (&keys[0]["state"], &keys[0]["key_id"]),
            (&json!("revoked"), &old["key_id"]),
            "the record stays"
        );
        let new = anna.call("POST", "/v1/apikey", None).await.1;
        assert!(new["generation"].as_i64() > old["generation"].as_i64());
        assert_eq!(try_login(&primary.url, json!({ "sync-api-key": new["sync_api_key"] })).await, 200);
        assert_eq!(try_login(&primary.url, key_login).await, 401);
        assert_ne!(staff.get(&company_path).await.1["sync_user_id"], sync_user);
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_company_whose_users_were_all_deleted_can_be_deleted() {
    for database in TestDatabase::each("a_company_whose_users") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        anna.call("POST", "/v1/apikey", None).await;
        let path = format!("/v1/companies/{company}");
        let users = staff.get(&path).await.1["users"].clone();
        let users: Vec<String> =
            users.as_array().unwrap().iter().map(|user| user["id"].to_string()).collect();
        assert_eq!(users.len(), 2);
        assert_eq!(staff.call("DELETE", &format!("/v1/users/{}", users[0]), None).await.0, 200);
        assert_eq!(staff.call("DELETE", &path, None).await.0, 409, "one is left");
        assert_eq!(staff.call("DELETE", &format!("/v1/users/{}", users[1]), None).await.0, 200);
        assert_eq!(staff.call("DELETE", &path, None).await, (200, Value::Null));
        // Their ids are still nobody else's.
        let boss = staff.call("POST", "/v1/users", Some(person(primary.server_id, "next", 110))).await.1;
        assert!(users.iter().all(|id| id.parse::<i64>().unwrap() < boss["id"].as_i64().unwrap()));
        primary.stop().await;
    }
}

/// Logins, mints and uses that overlap with the removal: whatever came first, nothing of the user works afterwards.
#[tokio::test]
async fn nothing_outlives_a_removal_that_it_overlaps_with() {
    for database in TestDatabase::each("nothing_outlives_a_removal") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        for round in 0..tests::times(20) {
            let name = format!("otto{round}");
            let made = anna.call("POST", "/v1/users", Some(person(company, &name, 300))).await.1;
            let path = format!("/v1/users/{}", made["id"]);
            let http = reqwest::Client::new();
            let login = || {
                let body = json!({ "username": name, "password": COMPANY_ADMIN_PASSWORD });
                send(http.post(format!("{}/login", primary.url)).json(&body))
            };
            let (one, gone, two, three) =
                tokio::join!(login(), staff.call("DELETE", &path, None), login(), login());
            assert_eq!(gone.0, 200, "{gone:?}");
            for answer in [one, two, three] {
                if answer.0 == 200 {
                    let token = answer.1["token"].as_str().unwrap();
                    let me = send(http.get(format!("{}/me", primary.url)).bearer_auth(token)).await;
                    assert_eq!(me.0, 401, "{me:?}");
                } else {
                    assert!(matches!(answer.0, 401 | 503), "{answer:?}");
                }
            }
            // A machine, and a mint on the way.
            anna.call("POST", "/v1/apikey", None).await;
            let user = staff.get(&format!("/v1/companies/{company}")).await.1["sync_user_id"].clone();
            let path = format!("/v1/users/{user}");
            let (minted, gone) =
                tokio::join!(anna.call("POST", "/v1/apikey", None), staff.call("DELETE", &path, None));
            assert_eq!((minted.0, gone.0), (200, 200), "{minted:?} {gone:?}");
            let now = staff.get(&format!("/v1/companies/{company}")).await.1["sync_user_id"].clone();
            let works = try_login(&primary.url, json!({ "sync-api-key": minted.1["sync_api_key"] })).await;
            // Minted after the removal it is another machine's; before it, it died with this one.
            assert_eq!(works, if now.is_null() { 401 } else { 200 });
            assert_ne!(now, user);
        }
        primary.stop().await;
    }
}

/// Removing and making anew must not be a way around the switch, nor a way to learn who else is there.
#[tokio::test]
async fn whom_staff_switched_off_only_staff_removes_and_no_answer_tells_of_foreign_users() {
    for database in TestDatabase::each("whom_staff_switched_off") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        primary.add_company("Other Parts", "olaf").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let anna = Caller::password(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        assert_eq!(anna.call("POST", "/v1/apikey", None).await.0, 200);
        assert_eq!(anna.call("POST", "/v1/users", Some(person(company, "otto", 300))).await.0, 201);
        let users = staff.get("/v1/users").await.1["data"].as_array().unwrap().clone();
        let of = |role: i64, company: Id| {
            let found =
                users.iter().find(|user| user["role"] == role && user["company_id"] == json!(company));
            format!("/v1/users/{}", found.unwrap()["id"])
        };
        for path in [of(200, company), of(300, company)] {
            assert_eq!(staff.call("PATCH", &path, Some(json!({ "active": false }))).await.0, 200);
            let (status, answer) = anna.call("DELETE", &path, None).await;
            assert!(status == 409 && answer.to_string().contains("switched off by staff"), "{answer}");
        }
        assert_eq!(anna.call("POST", "/v1/apikey", None).await.0, 409, "still switched off");
        for id in 1..12 {
            let path = format!("/v1/users/{id}");
            if ![of(120, company), of(200, company), of(300, company)].contains(&path) {
                assert_eq!(anna.call("DELETE", &path, None).await.0, 403, "{path}: foreign or not there");
            }
        }
        assert_eq!(staff.call("DELETE", "/v1/users/999", None).await.0, 404);
        assert_eq!(staff.call("DELETE", &of(200, company), None).await.0, 200);
        assert_eq!(
            anna.call("POST", "/v1/apikey", None).await.0,
            200,
            "staff has removed the switched-off one"
        );
        primary.stop().await;
    }
}
