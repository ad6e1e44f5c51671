//! The key rings change while servers run, and nobody notices who must not.

use diesel::RunQueryDsl as _;
use serde_json::{Value, json};
use shared::crypto::keyring::{MAX_SEALS, Purpose};
use shared::node::permission::By;
use shared::node::service::keyring;
use shared::node::service::mint::{self as minting, Mint};
use shared::node::{Error, Principal};
use shared::store::{self, Connection, StoreError};
use shared::wire::user::Role;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, TestDatabase, TestPrimary, TestSecondary};

use super::{Answer, get, key_login, mint, post, send, token_of};

async fn manage(url: &str, token: &str, path: &str, body: &Value) -> Answer {
    send(reqwest::Client::new().post(format!("{url}/v1/keyring{path}")).bearer_auth(token).json(body)).await
}

async fn rotate(primary: &TestPrimary, purpose: Purpose) -> String {
    keyring::rotate(&primary.node, By::Operator, purpose).await.unwrap().id
}

#[tokio::test]
async fn an_api_key_opens_until_the_ring_key_that_sealed_it_is_retired_on_every_server() {
    for database in TestDatabase::each("an_api_key_opens_until") {
        let primary = TestPrimary::start_on(database, None).await;
        let twin = primary.beside().await;
        let urls = [primary.url.clone(), twin.url.clone()];
        primary.add_company("Retail Parts", "anna").await;
        primary.add_company("Other Parts", "otto").await;
        let staff = token_of(&primary.url, ADMIN.0, ADMIN.1).await;
        let annas = mint(&primary.url, &token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await).await;

        let prepared = manage(&primary.url, &staff, "", &json!({ "purpose": "seal" })).await;
        assert_eq!(
            (prepared.status, &prepared.body["id"], &prepared.body["state"]),
            (201, &json!("r1"), &json!("prepared"))
        );
        let activated = manage(&twin.url, &staff, "/r1/activate", &json!({})).await;
        assert_eq!((activated.status, &activated.body["state"]), (200, &json!("active")));
        let ottos = mint(&primary.url, &token_of(&primary.url, "otto", COMPANY_ADMIN_PASSWORD).await).await;
        for url in &urls {
            for key in [&annas, &ottos] {
                assert_eq!(key_login(url, key).await.status, 200);
            }
        }

        let refused = manage(&primary.url, &staff, "/r0/retire", &json!({})).await;
        assert_eq!((refused.status, &refused.body["code"]), (409, &json!("conflict")));
        let message = refused.body["message"].as_str().unwrap();
        assert!(message.contains("\"Retail Parts\"") && !message.contains("Other Parts"), "{message}");
        let listed = get(&twin.url, "/v1/keyring", &staff).await;
        let r0 = listed.body.as_array().unwrap().iter().find(|key| key["id"] == "r0").unwrap().clone();
        assert_eq!((&r0["state"], &r0["partner_count"]), (&json!("superseded"), &json!(1)));
        assert_eq!(r0["partners"][0]["key_id"], annas["key_id"]);
        assert!(r0["partners"][0]["last_used_at"].is_string());

        assert_eq!(manage(&primary.url, &staff, "/r0/retire", &json!({ "force": true })).await.status, 200);
        let junk = key_login(&primary.url, &json!({ "sync_api_key": "00".repeat(200) })).await;
        for url in &urls {
            assert_eq!(key_login(url, &annas).await, junk, "as any key that does not open");
            assert_eq!(key_login(url, &ottos).await.status, 200);
        }
        // What is retired is forgotten, and the node starts without it.
        let row = primary.node.store.read(|conn| store::keyring::find(conn, "r0")).await.unwrap().unwrap();
        assert!(row.wrapped.is_empty());
        let third = primary.beside().await;
        assert_eq!(key_login(&third.url, &annas).await, junk);
        assert_eq!(key_login(&third.url, &ottos).await.status, 200);
        // Who was cut off gets a new key by the usual way.
        let anew = mint(&third.url, &token_of(&twin.url, "anna", COMPANY_ADMIN_PASSWORD).await).await;
        assert_eq!(key_login(&primary.url, &anew).await.status, 200);
        third.stop().await;
        twin.stop().await;
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_token_is_good_until_the_key_that_signed_it_is_retired_on_every_server() {
    for database in TestDatabase::each("a_token_is_good_until") {
        let primary = TestPrimary::start_on(database, None).await;
        let twin = primary.beside().await;
        let urls = [primary.url.clone(), twin.url.clone()];
        primary.add_company("Retail Parts", "anna").await;
        let login =
            post(&primary.url, "/login", &json!({ "username": ADMIN.0, "password": ADMIN.1 })).await.body;
        let old = login["token"].as_str().unwrap().to_owned();
        let key = mint(&primary.url, &token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await).await;
        let machine = key_login(&primary.url, &key).await.body;

        assert_eq!(rotate(&primary, Purpose::Jwt).await, "j1");
        let new = token_of(&twin.url, ADMIN.0, ADMIN.1).await;
        let kid = |token: &str| {
            let head =
                data_encoding::BASE64URL_NOPAD.decode(token.split('.').next().unwrap().as_bytes()).unwrap();
            serde_json::from_slice::<Value>(&head).unwrap()["kid"].clone()
        };
        assert_eq!((kid(&old), kid(&new)), (json!("j0"), json!("j1")));
        for url in &urls {
            for token in [&old, &new] {
                assert_eq!(
                    get(url, "/me", token).await.status,
                    200,
                    "the first request that this server sees of it"
                );
            }
        }
        let early = manage(&primary.url, &new, "/j0/retire", &json!({})).await;
        assert_eq!(early.status, 409, "its tokens still live: {early:?}");
        assert_eq!(
            manage(&primary.url, &new, "/j1/retire", &json!({ "force": true })).await.status,
            409,
            "active"
        );

        assert_eq!(manage(&primary.url, &new, "/j0/retire", &json!({ "force": true })).await.status, 200);
        for url in &urls {
            assert_eq!(get(url, "/me", &old).await.status, 401);
            assert_eq!(get(url, "/me", &new).await.status, 200);
            let person =
                get(url, &format!("/refresh/{}", login["refresh_token"].as_str().unwrap()), "").await;
            assert_eq!(kid(person.body["token"].as_str().unwrap()), json!("j1"), "a person stays logged in");
            let stateless =
                get(url, &format!("/refresh/{}", machine["refresh_token"].as_str().unwrap()), "").await;
            assert_eq!(stateless.status, 401, "a machine's refresh token was signed by it");
            assert_eq!(key_login(url, &key).await.status, 200, "and the machine logs in again");
        }
        twin.stop().await;
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_ring_key_goes_from_prepared_to_retired_and_never_back() {
    for database in TestDatabase::each("a_ring_key_goes_from") {
        let primary = TestPrimary::start_on(database, None).await;
        let staff = token_of(&primary.url, ADMIN.0, ADMIN.1).await;
        let status = async |path: &str, body: Value| manage(&primary.url, &staff, path, &body).await.status;
        assert_eq!(status("", json!({ "purpose": "other" })).await, 400);
        assert_eq!(status("", json!({})).await, 400);
        for path in ["/r9/activate", "/r9/retire", "/%27/retire"] {
            assert_eq!(status(path, json!({})).await, 404, "{path}");
        }
        // A prepared key was of no use to anybody: nothing is cut off.
        assert_eq!(status("", json!({ "purpose": "jwt" })).await, 201);
        assert_eq!(status("/j1/retire", json!({})).await, 200);
        assert_eq!(status("/j1/retire", json!({})).await, 200, "twice is once");
        assert_eq!(status("/j1/activate", json!({})).await, 409);
        let epoch = || primary.node.store.read(store::setting::ring_epoch);
        let before = epoch().await.unwrap();
        assert_eq!(status("/j0/activate", json!({})).await, 200, "it is active already");
        assert_eq!(epoch().await.unwrap(), before, "so no server need read its rings anew");
        for number in 2..9 {
            let prepared = manage(&primary.url, &staff, "", &json!({ "purpose": "jwt" })).await;
            assert_eq!((prepared.status, &prepared.body["id"]), (201, &json!(format!("j{number}"))));
        }
        assert_eq!(status("", json!({ "purpose": "jwt" })).await, 409, "a ring has eight keys at most");
        let full = keyring::rotate(&primary.node, By::Operator, Purpose::Jwt).await;
        assert!(matches!(full, Err(Error::Conflict(_))), "{full:?}");
        assert_eq!(get(&primary.url, "/me", &staff).await.status, 200);
        primary.stop().await;
    }
}

/// As after a request that was let in and then had to wait for its turn.
#[tokio::test]
async fn a_caller_whose_login_has_ended_since_he_was_let_in_changes_no_ring_and_mints_no_key() {
    for database in TestDatabase::each("a_caller_whose_login") {
        let primary = TestPrimary::start_on(database, None).await;
        let company_id = primary.add_company("Retail Parts", "anna").await;
        for (username, password, role) in
            [(ADMIN.0, ADMIN.1, Role::SuperAdmin), ("anna", COMPANY_ADMIN_PASSWORD, Role::CompanyAdmin)]
        {
            let token = token_of(&primary.url, username, password).await;
            let logins = get(&primary.url, "/v1/sessions?pagesize=250", &token).await.body;
            let mut logins = logins["data"].as_array().unwrap().iter();
            let login = logins.find(|login| login["current"] == true).unwrap();
            let me = get(&primary.url, "/me", &token).await.body;
            let company_id = if role == Role::SuperAdmin { primary.server_id } else { company_id };
            let who = Principal {
                user_id: me["id"].as_i64().unwrap(),
                username: username.to_owned(),
                company_id,
                role,
                key_id: None,
                session_id: Some(login["id"].as_str().unwrap().parse().unwrap()),
            };
            let change = async || {
                if role == Role::SuperAdmin {
                    keyring::prepare(&primary.node, By::Caller(&who), Purpose::Jwt).await.map(drop)
                } else {
                    minting::mint(&primary.node, &who, Mint::default()).await.map(drop)
                }
            };
            change().await.unwrap();
            assert_eq!(
                send(reqwest::Client::new().post(format!("{}/logout", primary.url)).bearer_auth(&token))
                    .await
                    .status,
                200
            );
            assert!(matches!(change().await, Err(Error::Unauthenticated)), "{username}");
        }
        let rows = primary.node.store.read(|conn: &mut Connection| store::keyring::list(conn)).await.unwrap();
        assert_eq!(rows.iter().filter(|row| row.purpose == "jwt").count(), 2);
        let keys = primary.node.store.read(move |conn| store::api_key::list(conn, Some(company_id))).await;
        assert_eq!(keys.unwrap().len(), 1);
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_seal_key_that_has_sealed_as_many_as_it_may_is_replaced_by_the_next_mint() {
    for database in TestDatabase::each("a_seal_key_that_has_sealed") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "anna").await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let nearly = MAX_SEALS - 1;
        let set = format!("UPDATE keyring SET seals = {nearly} WHERE id = 'r0'");
        primary
            .node
            .store
            .write(move |conn| -> Result<(), StoreError> {
                store::on_backend!(conn, |c| diesel::sql_query(set).execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
        let mut keys = Vec::new();
        for _ in 0..3 {
            keys.push(mint(&primary.url, &anna).await);
        }
        let rings = keyring::list(&primary.node, By::Operator).await.unwrap();
        let seals =
            |id: &str| rings.iter().find(|key| key.id == id).map(|key| (key.state.clone(), key.seals));
        assert_eq!(seals("r0"), Some(("superseded".to_owned(), MAX_SEALS)));
        assert_eq!(seals("r1"), Some(("active".to_owned(), 2)));
        assert_eq!(key_login(&primary.url, &keys[2]).await.status, 200);
        assert_eq!(keys[2]["generation"], json!(3), "each mint was one");
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_secondary_has_a_ring_of_token_keys_only() {
    let secondary = TestSecondary::start().await;
    let staff = token_of(&secondary.url, ADMIN.0, ADMIN.1).await;
    let seal = manage(&secondary.url, &staff, "", &json!({ "purpose": "seal" })).await;
    assert_eq!((seal.status, &seal.body["code"]), (403, &json!("wrong_server_role")));
    assert_eq!(manage(&secondary.url, &staff, "", &json!({ "purpose": "jwt" })).await.status, 201);
    assert_eq!(manage(&secondary.url, &staff, "/j1/activate", &json!({})).await.status, 200);
    assert_eq!(get(&secondary.url, "/me", &staff).await.status, 200);
    secondary.stop().await;
}
