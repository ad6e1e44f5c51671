//! The one machine credential of a company: minted, rotated, revoked.

use serde_json::{Value, json};
use shared::clock::Random;
use shared::crypto::api_key::Credential;
use shared::crypto::sealed::SealKey;
use shared::store;
use shared::store::api_key::ApiKeyRow;
use shared::store::user::{NewUser, login_key};
use shared::wire::Id;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{TestDatabase, TestPrimary};

use super::{get, id_of, key_login, mint, post, send, token_of};

#[tokio::test]
async fn minting_twice_keeps_the_user_and_kills_the_first_key() {
    for database in TestDatabase::each("minting_twice") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let admin = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;

        let first = mint(&primary.url, &admin).await;
        assert_eq!(id_of(&first["primary_id"]), primary.server_id);
        let first_login = key_login(&primary.url, &first).await;
        assert_eq!(first_login.status, 200);
        let first_token = first_login.body["token"].as_str().unwrap().to_owned();
        let first_refresh = first_login.body["refresh_token"].as_str().unwrap().to_owned();
        assert_eq!(first_refresh.len(), 64);
        let first_user = get(&primary.url, "/me", &first_token).await.body;
        assert_eq!((first_user["role"].clone(), id_of(&first_user["company_id"])), (json!(200), company));

        let second = mint(&primary.url, &admin).await;
        assert_eq!(second["generation"], json!(2));
        let second_login = key_login(&primary.url, &second).await;
        let second_user = get(&primary.url, "/me", second_login.body["token"].as_str().unwrap()).await.body;
        assert_eq!(second_user["id"], first_user["id"], "the same user");
        assert_ne!(second_user["username"], first_user["username"], "under a new name");

        assert_eq!(key_login(&primary.url, &first).await.status, 401);
        assert_eq!(get(&primary.url, "/me", &first_token).await.status, 401, "its token stops at once");
        let refreshed = get(&primary.url, &format!("/refresh/{first_refresh}"), "").await;
        assert_eq!(refreshed.status, 401, "and cannot be renewed");
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_revoked_key_a_switched_off_company_and_a_deleted_user_are_refused_at_once() {
    let primary = TestPrimary::start().await;
    let company = primary.add_company("Retail Parts", "companyadmin").await;
    let admin = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let http = reqwest::Client::new();
    let staff = token_of(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;

    let key = mint(&primary.url, &admin).await;
    let token = key_login(&primary.url, &key).await.body["token"].as_str().unwrap().to_owned();
    let active = |active: bool| {
        send(
            http.patch(format!("{}/v1/companies/{company}", primary.url))
                .bearer_auth(&staff)
                .json(&json!({ "active": active })),
        )
    };
    assert_eq!(active(false).await.status, 200);
    assert_eq!(get(&primary.url, "/me", &token).await.status, 401);
    assert_eq!(get(&primary.url, "/me", &admin).await.status, 401);
    assert_eq!(key_login(&primary.url, &key).await.status, 401);
    active(true).await;
    assert_eq!(get(&primary.url, "/me", &token).await.status, 200);

    let revoked = send(http.delete(format!("{}/v1/apikey", primary.url)).bearer_auth(&admin)).await;
    assert_eq!(revoked.status, 200);
    assert_eq!(get(&primary.url, "/me", &token).await.status, 401);
    assert_eq!(key_login(&primary.url, &key).await.status, 401);
    let listed = get(&primary.url, "/v1/apikey", &admin).await.body;
    assert_eq!(listed[0]["state"], json!("revoked"));
    assert_eq!(listed[0]["revoked_by"], json!("companyadmin"));
    assert!(listed[0]["last_used_at"].is_string());
    assert!(!listed.to_string().contains(key["sync_api_key"].as_str().unwrap()));

    let key = mint(&primary.url, &admin).await;
    let login = key_login(&primary.url, &key).await;
    let token = login.body["token"].as_str().unwrap().to_owned();
    let user = get(&primary.url, "/me", &token).await.body;
    let path = format!("{}/v1/users/{}", primary.url, user["id"]);
    assert_eq!(send(http.delete(path).bearer_auth(&staff)).await.status, 200);
    assert_eq!(get(&primary.url, "/me", &token).await.status, 401);
    assert_eq!(key_login(&primary.url, &key).await.status, 401);
    let again = mint(&primary.url, &admin).await;
    assert_eq!(again["generation"], json!(3), "the generation never falls");
}

/// The reference lets staff make a sync user by hand, with a password.
#[tokio::test]
async fn a_sync_user_made_by_hand_loses_its_sessions_with_the_first_mint_and_stays_off_when_staff_says_so() {
    let primary = TestPrimary::start().await;
    let company = primary.add_company("Retail Parts", "companyadmin").await;
    let admin = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let robot = json!({
        "first_name": "Robot", "last_name": "Robot", "username": "robot", "email": "robot@example.com",
        "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD, "company_id": company, "role": 200,
    });
    let robot: Value = primary.admin.post("/v1/users", &robot).await.unwrap();
    let login =
        post(&primary.url, "/login", &json!({ "username": "robot", "password": COMPANY_ADMIN_PASSWORD }))
            .await;
    let (token, refresh) =
        (login.body["token"].as_str().unwrap(), login.body["refresh_token"].as_str().unwrap());
    assert_eq!(get(&primary.url, "/me", token).await.status, 200);
    let key = mint(&primary.url, &admin).await;
    assert_eq!(get(&primary.url, "/me", token).await.status, 401);
    assert_eq!(get(&primary.url, &format!("/refresh/{refresh}"), "").await.status, 401);
    let machine = key_login(&primary.url, &key).await.body["token"].as_str().unwrap().to_owned();
    assert_eq!(get(&primary.url, "/me", &machine).await.body["id"], robot["id"], "the same user");
    let http = reqwest::Client::new();
    let staff = token_of(&primary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    let path = format!("{}/v1/users/{}", primary.url, robot["id"]);
    let off = send(http.patch(path).bearer_auth(&staff).json(&json!({ "active": false }))).await;
    assert_eq!(off.status, 200);
    assert_eq!(key_login(&primary.url, &key).await.status, 401);
    let minted = send(http.post(format!("{}/v1/apikey", primary.url)).bearer_auth(&admin)).await;
    assert_eq!(minted.status, 409, "a tenant does not undo it by minting: {minted:?}");
}

#[tokio::test]
async fn machines_and_secondaries_do_not_mint() {
    let primary = TestPrimary::start().await;
    primary.add_company("Retail Parts", "companyadmin").await;
    let admin = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let key = mint(&primary.url, &admin).await;
    let machine = key_login(&primary.url, &key).await.body["token"].as_str().unwrap().to_owned();
    let http = reqwest::Client::new();
    let refused = send(http.post(format!("{}/v1/apikey", primary.url)).bearer_auth(&machine)).await;
    assert_eq!((refused.status, refused.body["code"].clone()), (403, json!("forbidden")));
    let secondary = tests::TestSecondary::start().await;
    let staff = token_of(&secondary.url, tests::ADMIN.0, tests::ADMIN.1).await;
    let refused = send(http.post(format!("{}/v1/apikey", secondary.url)).bearer_auth(&staff)).await;
    assert_eq!((refused.status, refused.body["code"].clone()), (403, json!("wrong_server_role")));
}

/// Takes a key of the reference over, as `import` does.
pub(super) async fn adopt(primary: &TestPrimary, company_id: Id, credential: &Credential, bcrypt: &str) {
    let now = primary.node.clock.now();
    let username = credential.username.clone();
    let user = NewUser {
        company_id,
        username_key: login_key(&username),
        username,
        password_hash: None,
        email: "sync".to_owned(),
        email_key: None,
        first_name: "sync".to_owned(),
        last_name: "sync".to_owned(),
        phone: String::new(),
        active: true,
        role: 200,
        created_at: now,
        updated_at: now,
        display_name: String::new(),
    };
    let mut row = ApiKeyRow {
        legacy_bcrypt: Some(bcrypt.to_owned()),
        seal_key: "r0".to_owned(),
        ..ApiKeyRow::new(credential.key_id().unwrap(), (company_id, 0), 1, "imported", now)
    };
    primary
        .node
        .store
        .write(move |conn| -> Result<(), store::StoreError> {
            row.user_id = store::user::insert(conn, &user)?.id;
            store::api_key::insert(conn, &row)
        })
        .await
        .unwrap();
}

/// The reference's own key, its own bcrypt hash, and the secret it was sealed with.
#[tokio::test]
async fn a_key_minted_by_the_reference_logs_in_and_its_slow_hash_is_replaced() {
    let vectors: Value =
        serde_json::from_str(include_str!("../fixtures/sandpiper/api-key-vectors.json")).unwrap();
    let jwt = data_encoding::BASE64.encode(&[7, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12].repeat(6));
    for vector in vectors.as_array().unwrap() {
        let Some(bcrypt) = vector["bcrypt_hash_in_users_table"].as_str() else { continue };
        let secret = vector["api_key_secret"].as_str().unwrap();
        let primary = TestPrimary::start_on(TestDatabase::sqlite(), Some((secret, &jwt))).await;
        let company_id = primary.add_company("Retail Parts", "companyadmin").await;
        let hex = vector["sync_api_key"].as_str().unwrap();
        let credential = Credential::open(hex, [&SealKey::from_base64(secret).unwrap()]).unwrap();
        let key_id = credential.key_id().unwrap();
        adopt(&primary, company_id, &credential, bcrypt).await;
        for text in [hex.to_owned(), hex.to_uppercase()] {
            for member in ["sync-api-key", "sync_api_key", "Sync-Api-Key"] {
                let body = json!({ "username": "", "password": "", member: text });
                assert_eq!(post(&primary.url, "/login", &body).await.status, 200, "{member}");
            }
        }
        let row =
            primary.node.store.read(move |conn| store::api_key::find(conn, key_id)).await.unwrap().unwrap();
        assert!(row.legacy_bcrypt.is_none() && row.secret_sha256.is_some(), "fast from now on");
        // A tampered copy of it is refused like any other bad key.
        let mut tampered = hex.to_owned();
        tampered.replace_range(40..42, if &hex[40..42] == "00" { "11" } else { "00" });
        assert_eq!(post(&primary.url, "/login", &json!({ "sync-api-key": tampered })).await.status, 401);
    }
}

/// A slow hash may give way to a fast one only when its own secret was shown, and only if nobody could guess that.
#[tokio::test]
async fn the_slow_hash_of_a_reference_key_gives_way_to_a_secret_that_is_right_and_cannot_be_guessed() {
    for (secret, is_replaced) in [("aB!$%^&*()_+{}:@[];'#<>?,.", true), ("chosen-by-somebody", false)] {
        for database in TestDatabase::each("the_slow_hash") {
            let primary = TestPrimary::start_on(database, None).await;
            let company_id = primary.add_company("Retail Parts", "companyadmin").await;
            let random = Random::System;
            let right = Credential { password: secret.into(), ..Credential::fresh(Id::NIL, &random) };
            let right = Credential { primary_id: None, ..right };
            let wrong = Credential { password: "Ba!$%^&*()_+{}:@[];'#<>?,.".into(), ..right.clone() };
            adopt(&primary, company_id, &right, &bcrypt::hash(secret, 4).unwrap()).await;
            let rings = primary.node.rings.current();
            let (kid, seal_key) = rings.seals.as_ref().unwrap().active();
            let status = async |credential: &Credential| {
                let sealed = credential.seal(kid, seal_key, 1, &random);
                post(&primary.url, "/login", &json!({ "sync-api-key": sealed })).await.status
            };
            let key_id = right.key_id().unwrap();
            let is_fast = async || {
                let row = primary.node.store.read(move |conn| store::api_key::find(conn, key_id)).await;
                let row = row.unwrap().unwrap();
                assert_ne!(row.legacy_bcrypt.is_some(), row.secret_sha256.is_some());
                row.secret_sha256.is_some()
            };
            for _again in 0..2 {
                assert_eq!((status(&wrong).await, is_fast().await), (401, false), "{secret}");
            }
            for _again in 0..2 {
                assert_eq!((status(&right).await, is_fast().await), (200, is_replaced), "{secret}");
            }
            assert_eq!(status(&wrong).await, 401, "{secret}");
            primary.stop().await;
        }
    }
}
