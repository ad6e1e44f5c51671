//! How long an api-key lives, where it may be used from and how it is written; and who replaces it in time.

use serde_json::{Value, json};
use shared::node::Policies;
use shared::wire::Timestamp;
use tests::node::{COMPANY_ADMIN_PASSWORD, quick};
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::{Answer, get, key_login, mint, post, send, sql, token_of};

async fn mint_with(url: &str, token: &str, body: &Value) -> Answer {
    send(reqwest::Client::new().post(format!("{url}/v1/apikey")).bearer_auth(token).json(body)).await
}

/// As if every key had been minted so long ago, with the life that it has.
async fn age(primary: &TestPrimary, days: i64, life_days: i64) {
    let at = |days: i64| {
        let moment = Timestamp::new(chrono::Utc::now()).plus(chrono::Duration::days(days));
        moment.get().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    };
    let (minted, end) = (at(-days), at(life_days - days));
    sql(primary, format!("UPDATE api_keys SET created_at = '{minted}'")).await;
    sql(primary, format!("UPDATE api_keys SET expires_at = '{end}' WHERE expires_at IS NOT NULL")).await;
}

async fn newest(primary: &TestPrimary, token: &str) -> Value {
    get(&primary.url, "/v1/apikey", token).await.body[0].clone()
}

#[tokio::test]
async fn a_key_ends_in_its_time_with_its_tokens_and_says_so_before() {
    for database in TestDatabase::each("a_key_ends_in_its_time") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "companyadmin").await;
        let admin = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
        let minted = mint_with(&primary.url, &admin, &json!({ "expires_in_days": 10 })).await.body;
        let login = key_login(&primary.url, &minted).await;
        assert_eq!(login.body["key_expires_at"], minted["expires_at"], "{login:?}");
        let (token, refresh) =
            (login.body["token"].as_str().unwrap(), login.body["refresh_token"].as_str().unwrap());
        let states = async || {
            let refreshed = post(&primary.url, "/refresh", &json!({ "refresh_token": refresh })).await.status;
            [
                key_login(&primary.url, &minted).await.status,
                get(&primary.url, "/me", token).await.status,
                refreshed,
                get(&primary.url, &format!("/refresh/{refresh}"), "").await.status,
            ]
        };
        for (days, ending) in [(7, false), (8, true), (9, true)] {
            age(&primary, days, 10).await;
            let info = newest(&primary, &admin).await;
            assert_eq!((&info["state"], &info["ending"]), (&json!("active"), &json!(ending)), "{info}");
            assert_eq!(states().await, [200; 4], "day {days}");
        }
        age(&primary, 10, 10).await;
        assert_eq!(states().await, [401; 4]);
        let info = newest(&primary, &admin).await;
        assert_eq!((&info["state"], &info["ending"]), (&json!("expired"), &json!(false)), "{info}");
        // The next one lives as long, until somebody says otherwise.
        let next = mint(&primary.url, &admin).await;
        let end = Timestamp::parse(next["expires_at"].as_str().unwrap()).unwrap();
        let left = end.get() - chrono::Utc::now();
        assert!((239..=240).contains(&left.num_hours()), "{next}");
        let for_ever = mint_with(&primary.url, &admin, &json!({ "expires_in_days": null })).await.body;
        assert!(for_ever.get("expires_at").is_none(), "{for_ever}");
        assert!(mint(&primary.url, &admin).await.get("expires_at").is_none());
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_key_and_its_tokens_are_good_in_its_networks_only() {
    let primary = TestPrimary::start().await;
    primary.add_company("Retail Parts", "companyadmin").await;
    let admin = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let proxies = vec!["127.0.0.1".parse().unwrap()];
    let proxy = primary.start_twin(Policies { proxies, ..quick() }).await;
    let url = proxy.url();
    let networks = json!({ "networks": ["192.0.2.0/24", "2001:db8::/32"] });
    let minted = mint_with(&primary.url, &admin, &networks).await.body;
    assert_eq!(minted["networks"], networks["networks"]);
    let from = |address: &'static str, request: reqwest::RequestBuilder| {
        send(request.header("x-forwarded-for", address))
    };
    let http = reqwest::Client::new();
    let login = async |address, key: &Value| {
        from(address, http.post(format!("{url}/login")).json(&json!({ "sync-api-key": key["sync_api_key"] })))
            .await
    };
    let inside = login("192.0.2.9", &minted).await;
    assert_eq!(inside.status, 200);
    assert_eq!(login("2001:db8::5", &minted).await.status, 200);
    let outside = login("198.51.100.1", &minted).await;
    let junk =
        from("198.51.100.1", http.post(format!("{url}/login")).json(&json!({ "sync-api-key": "aabb" })))
            .await;
    assert_eq!(outside, junk, "as any key that is not good");
    let (token, refresh) =
        (inside.body["token"].as_str().unwrap(), inside.body["refresh_token"].as_str().unwrap());
    for (address, status) in [("192.0.2.200", 200), ("198.51.100.1", 401), ("127.0.0.1", 401)] {
        assert_eq!(
            from(address, http.get(format!("{url}/me")).bearer_auth(token)).await.status,
            status,
            "{address}"
        );
        let refreshed = from(address, http.get(format!("{url}/refresh/{refresh}"))).await;
        assert_eq!(refreshed.status, status, "{address}");
        let exchange = http.post(format!("{url}/refresh")).json(&json!({ "refresh_token": refresh }));
        assert_eq!(from(address, exchange).await.status, status, "{address}");
    }
    // A server that trusts no proxy sees where the connection comes from.
    assert_eq!(key_login(&primary.url, &minted).await.status, 401);
    let anywhere = mint_with(&primary.url, &admin, &json!({ "networks": null })).await.body;
    assert_eq!(key_login(&primary.url, &anywhere).await.status, 200);
}

#[tokio::test]
async fn a_machine_renews_its_key_on_the_same_terms_and_cannot_change_them() {
    let primary = TestPrimary::start().await;
    primary.add_company("Retail Parts", "companyadmin").await;
    let admin = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let terms = json!({ "expires_in_days": 30, "networks": ["127.0.0.0/8"], "format": "token" });
    let minted = mint_with(&primary.url, &admin, &terms).await.body;
    let machine = key_login(&primary.url, &minted).await.body["token"].as_str().unwrap().to_owned();
    let http = reqwest::Client::new();
    let renew = |body: Value| {
        let request = http.post(format!("{}/v1/apikey", primary.url)).bearer_auth(&machine);
        send(request.header("idempotency-key", rand::random::<u64>().to_string()).json(&body))
    };
    for more in [
        json!({ "overlap_seconds": 60, "expires_in_days": 300 }),
        json!({ "overlap_seconds": 60, "expires_in_days": null }),
        json!({ "overlap_seconds": 60, "networks": [] }),
        json!({ "overlap_seconds": 60, "format": "hex" }),
    ] {
        let refused = renew(more.clone()).await;
        assert_eq!((refused.status, &refused.body["code"]), (403, &json!("forbidden_member")), "{more}");
    }
    let renewed = renew(json!({ "overlap_seconds": 60 })).await.body;
    assert_eq!((&renewed["generation"], &renewed["networks"]), (&json!(2), &terms["networks"]), "{renewed}");
    assert!(renewed["sync_api_key"].as_str().unwrap().starts_with("spsk1_"));
    assert!(renewed["expires_at"].is_string());
}

#[tokio::test]
async fn a_key_that_scanners_find_logs_in_as_any_other_and_every_change_of_it_is_refused() {
    for database in TestDatabase::each("a_key_that_scanners_find") {
        let primary = TestPrimary::start_on(database, None).await;
        primary.add_company("Retail Parts", "companyadmin").await;
        let admin = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
        let minted = mint_with(&primary.url, &admin, &json!({ "format": "token" })).await.body;
        let text = minted["sync_api_key"].as_str().unwrap();
        assert_eq!(newest(&primary, &admin).await["format"], "token");
        for path in ["/login", "/synclogin"] {
            let body = json!({ "sync-api-key": format!(" {text}\n") });
            assert_eq!(post(&primary.url, path, &body).await.status, 200);
        }
        let login = key_login(&primary.url, &minted).await;
        assert_eq!(
            get(&primary.url, "/v1/sync/subs", login.body["token"].as_str().unwrap()).await.status,
            200
        );
        let refused = post(&primary.url, "/login", &json!({ "sync-api-key": "aabb" })).await;
        for at in 0..text.len() {
            let mut other = text.to_owned();
            let digit = if &text[at..=at] == "x" { "y" } else { "x" };
            other.replace_range(at..=at, digit);
            assert_eq!(
                post(&primary.url, "/login", &json!({ "sync-api-key": other })).await,
                refused,
                "{at}"
            );
        }
        // With a checksum that is right, another secret is another secret.
        let forged = shared::crypto::scannable_key::ScannableKey {
            id: text[6..14].to_owned(),
            secret: "0".repeat(43).into(),
        };
        let forged = json!({ "sync-api-key": forged.text().expose() });
        assert_eq!(post(&primary.url, "/login", &forged).await, refused);
        // It is no envelope: no ring key can be retired under it, and the next mint ends it as any other.
        let next = mint_with(&primary.url, &admin, &json!({ "format": "hex" })).await.body;
        assert_eq!(key_login(&primary.url, &minted).await, refused);
        assert_eq!(key_login(&primary.url, &next).await.status, 200);
        primary.stop().await;
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_mints_nothing() {
    let primary = TestPrimary::start().await;
    primary.add_company("Retail Parts", "companyadmin").await;
    let admin = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let good = mint(&primary.url, &admin).await;
    let many: Vec<String> = (0..33).map(|n| format!("192.0.2.{n}")).collect();
    for body in [
        json!({ "expires_in_days": 0 }),
        json!({ "expires_in_days": 3651 }),
        json!({ "expires_in_days": -1 }),
        json!({ "expires_in_days": "10" }),
        json!({ "networks": ["192.0.2.1/24"] }),
        json!({ "networks": ["everywhere"] }),
        json!({ "networks": "192.0.2.0/24" }),
        json!({ "networks": many }),
        json!({ "format": "jwt" }),
    ] {
        let refused = mint_with(&primary.url, &admin, &body).await;
        assert_eq!(refused.status, 400, "{body}: {refused:?}");
    }
    assert_eq!(newest(&primary, &admin).await["generation"], 1);
    assert_eq!(key_login(&primary.url, &good).await.status, 200);
    // Under one Idempotency-Key other terms are another request.
    let http = reqwest::Client::new();
    let twice = |body: Value| {
        let request = http.post(format!("{}/v1/apikey", primary.url)).bearer_auth(&admin);
        send(request.header("idempotency-key", "one").json(&body))
    };
    assert_eq!(twice(json!({ "expires_in_days": 10 })).await.status, 200);
    assert_eq!(twice(json!({ "expires_in_days": 11 })).await.status, 422);
    // The outermost that can be.
    for body in [
        json!({ "expires_in_days": 1 }),
        json!({ "expires_in_days": 3650 }),
        json!({ "networks": many.get(1..).unwrap() }),
    ] {
        let minted = mint_with(&primary.url, &admin, &body).await;
        assert_eq!(minted.status, 200, "{body}: {minted:?}");
    }
}

#[tokio::test]
async fn a_secondary_replaces_a_key_that_is_too_old_for_its_settings_at_the_next_sync() {
    for (first, second) in TestDatabase::each("a_secondary_replaces_a")
        .into_iter()
        .zip(TestDatabase::each("a_secondary_replaces_b"))
    {
        let primary = TestPrimary::start_on(first, None).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let slice = primary.add_slice("brakes", "pies-items", &json!({}), company).await;
        primary.add_grain(slice, "a", "payload").await;
        primary.refresh(slice).await;
        let admin = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
        mint_with(&primary.url, &admin, &json!({ "expires_in_days": 100, "format": "token" })).await;
        let settings =
            secondary::Settings { rotate_every: Some(chrono::Duration::days(30)), ..Default::default() };
        let receiver = TestSecondary::start_with(second, settings).await;
        receiver.connect(&primary.url, "companyadmin").await;
        let sync = async || receiver.sync(primary.server_id).await.unwrap().into_result().unwrap();
        sync().await;
        assert_eq!(newest(&primary, &admin).await["generation"], 2, "it is new");
        age(&primary, 31, 100).await;
        assert!(sync().await.warning.is_none());
        let info = newest(&primary, &admin).await;
        assert_eq!((&info["generation"], &info["format"]), (&json!(3), &json!("token")), "{info}");
        assert!(info["first_used_at"].is_string(), "{info}");
        sync().await;
        assert_eq!(newest(&primary, &admin).await["generation"], 3, "not again");
        // Without that setting it only warns.
        let unattended = TestSecondary::start().await;
        unattended.connect(&primary.url, "companyadmin").await;
        age(&primary, 81, 100).await;
        let warned = unattended.sync(primary.server_id).await.unwrap().warning.unwrap();
        assert!(warned.contains("ends 20") && warned.contains("sandpiper-secondary rotate"), "{warned}");
        assert_eq!(newest(&primary, &admin).await["generation"], 4);
        unattended.stop().await;
        receiver.stop().await;
        primary.stop().await;
    }
}
