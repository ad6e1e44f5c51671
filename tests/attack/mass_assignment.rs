//! A customer tries to become the publisher by naming, in his own company's record, the publisher's admin as its
//! machine user, and minting a key.

use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary};

use super::{Caller, key_login};

#[tokio::test]
async fn naming_the_super_admin_as_ones_machine_user_gives_a_key_to_nothing_but_ones_own_company() {
    for database in TestDatabase::each("naming_the_super_admin") {
        let primary = TestPrimary::start_on(database, None).await;
        let own = primary.add_company("Mallory's Parts", "mallory").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let mallory = Caller::password(&primary.url, "mallory", COMPANY_ADMIN_PASSWORD).await;
        let boss = staff.get("/me").await.1;
        let boss_id = boss["id"].clone();

        let path = format!("/v1/companies/{own}");
        let mut answers = Vec::new();
        for member in ["sync_user_id", "SYNC_USER_ID", "Sync_User_ID"] {
            for value in [boss_id.clone(), json!(boss_id.to_string())] {
                answers.push(mallory.call("PATCH", &path, Some(json!({ member: value }))).await);
                let hidden = json!({ "name": "Mallory's Parts", member: value });
                answers.push(mallory.call("PATCH", &path, Some(hidden)).await);
            }
        }
        // What no rule names must not arrive anywhere either.
        for body in [
            json!({ "company": { "sync_user_id": boss_id } }),
            json!({ "users": [{ "id": boss_id, "company_id": own, "role": 200 }] }),
            json!({ "id": primary.server_id, "key_generation": -1, "syncuserid": boss_id, "syncUserId": boss_id }),
        ] {
            mallory.call("PATCH", &path, Some(body)).await;
        }
        for body in
            [json!({ "role": 100 }), json!({ "company_id": primary.server_id }), json!({ "id": boss_id })]
        {
            let me = mallory.get("/me").await.1["id"].to_string();
            mallory.call("PATCH", &format!("/v1/users/{me}"), Some(body)).await;
        }

        // The second request of the attack.
        let (status, key) = mallory.call("POST", "/v1/apikey", None).await;
        assert_eq!(status, 200, "{key}");
        let (status, login) = key_login(&primary.url, &key).await;
        assert_eq!(status, 200, "{login}");
        let machine = staff.with_token(&login);
        let (_status, who) = machine.get("/me").await;
        assert_eq!(who["role"], 200, "the key is a machine's: {who}");
        assert_eq!(who["company_id"], own.to_string());
        assert_ne!(who["id"], boss_id);
        assert_eq!(machine.get("/v1/companies").await.0, 403);
        assert_eq!(machine.call("DELETE", &path, None).await.0, 403);

        // The publisher is not locked out, and is who he was.
        let again = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let now = again.get("/me").await.1;
        for member in ["id", "username", "role", "company_id", "active", "email"] {
            assert_eq!(now[member], boss[member], "{member}");
        }
        assert_eq!(staff.get("/me").await.0, 200, "nor were his sessions ended");
        assert_eq!(mallory.get("/me").await.1["role"], 120);
        let record = staff.get(&path).await.1;
        assert_eq!((record["sync_user_id"].clone(), record["id"].clone()), (who["id"].clone(), json!(own)));
        for (status, answer) in answers {
            assert_eq!((status, answer["code"].as_str()), (403, Some("forbidden_member")), "{answer}");
        }
        primary.stop().await;
    }
}

/// By the other door: making a user of one's own.
#[tokio::test]
async fn a_customer_makes_no_user_stronger_than_a_machine_and_none_elsewhere() {
    for database in TestDatabase::each("a_customer_makes_no_user") {
        let primary = TestPrimary::start_on(database, None).await;
        let own = primary.add_company("Mallory's Parts", "mallory").await;
        let other = primary.add_company("Bert's Parts", "bert").await;
        let staff = Caller::password(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
        let mallory = Caller::password(&primary.url, "mallory", COMPANY_ADMIN_PASSWORD).await;
        let count = |users: &Value| users["paging"]["items_total"].as_i64().unwrap();
        let before = count(&staff.get("/v1/users").await.1);
        for (company, role) in [
            (own, 100),
            (own, 110),
            (own, 120),
            (other, 200),
            (primary.server_id, 200),
            (primary.server_id, 100),
        ] {
            let body = json!({
                "first_name": "Eve", "last_name": "Evil", "username": format!("eve{role}"), "email": "eve@example.com",
                "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD,
                "company_id": company, "role": role, "active": true, "id": 1,
            });
            let (status, answer) = mallory.call("POST", "/v1/users", Some(body)).await;
            assert_eq!(status, 403, "{company} {role}: {answer}");
        }
        assert_eq!(count(&staff.get("/v1/users").await.1), before);
    }
}
