//! The recordings name ids, credentials and times of another installation: the world is built with its ids, and every
//! recorded token is replaced by the one that our own answer to the recorded login gave.

use serde_json::{Value, json};
use shared::wire::Id;
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::recording::{Exchange, exchanges, send};
use super::shape;

/// Plays one exchange and compares status and shape.
async fn play(url: &str, token: &mut String, exchange: &Exchange, body: &Value) -> Value {
    let shown = format!("{} {}", exchange.method, exchange.path);
    let own = Some(token.as_str()).filter(|token| !token.is_empty());
    let answer = send(&reqwest::Client::new(), url, exchange, &exchange.path, own, body).await;
    assert_eq!(answer.status, exchange.status, "{shown}: {}", answer.body);
    assert_eq!(shape::lacking(&exchange.answer, &answer.body), [""; 0], "{shown}: {}", answer.body);
    assert!(!shape::shows_a_key(&answer.body), "{shown}: {}", answer.body);
    if exchange.path == "/login" {
        *token = answer.body["token"].as_str().unwrap().to_owned();
    }
    answer.body
}

const COMPANY: &str = "20000000-0000-0000-0000-000000000000";

/// A primary with the recorded slices: `acme-items` with three grains, `acme-brakes-aces` for a file.
async fn primary_world(database: TestDatabase) -> TestPrimary {
    let primary = TestPrimary::start_on(database, None).await;
    let _company: Value = primary
        .admin
        .post(
            "/v1/companies",
            &json!({ "id": COMPANY, "name": "Retail Parts", "sync_addr": "none2", "active": true }),
        )
        .await
        .unwrap();
    for (end, name, kind) in [("a0", "acme-brakes-aces", "aces-file"), ("a1", "acme-items", "pies-items")] {
        let slice = format!("2c000000-0000-0000-0000-0000000000{end}");
        let _slice: Value = primary
            .admin
            .post("/v1/slices", &json!({ "id": slice, "name": name, "slice_type": kind, "allow_sync": true }))
            .await
            .unwrap();
        let sub = json!({
            "id": format!("2d000000-0000-0000-0000-0000000000{end}"), "slice_id": slice, "company_id": COMPANY,
            "name": format!("sub-{name}"), "active": true,
        });
        let _sub: Value = primary.admin.post("/v1/subs", &sub).await.unwrap();
    }
    for n in 0..3 {
        let grain = json!({
            "id": format!("2e000000-0000-0000-0000-00000000000{n}"), "slice_id": "2c000000-0000-0000-0000-0000000000a1",
            "grain_key": format!("item-{n}"), "source": "t", "encoding": "raw", "payload": format!("<Item n=\"{n}\"/>"),
        });
        let _grain: Value = primary.admin.post("/v1/grains", &grain).await.unwrap();
    }
    primary.refresh("2c000000-0000-0000-0000-0000000000a1".parse().unwrap()).await;
    // As in the recorded installation, the company has its sync user.
    shared::node::service::mint::mint_for(
        &primary.node,
        COMPANY.parse().unwrap(),
        "test",
        shared::node::service::mint::Mint::default(),
    )
    .await
    .unwrap();
    primary
}

async fn put_file(primary: &TestPrimary) {
    let recorded = exchanges(include_str!("../fixtures/sandpiper/client-secondary.jsonl"));
    let list = recorded
        .iter()
        .find(|e| e.path.contains("/sync/slice/2c000000-0000-0000-0000-0000000000a0"))
        .unwrap();
    let mut grain = list.answer[0].clone();
    grain["payload_len"] = json!(2880);
    let _grain: Value = primary.admin.post("/v1/grains", &grain).await.unwrap();
    primary.refresh("2c000000-0000-0000-0000-0000000000a0".parse().unwrap()).await;
}

#[tokio::test]
async fn a_secondary_of_the_reference_syncs_from_our_primary() {
    for database in TestDatabase::each("a_secondary_of_the_reference") {
        let primary = primary_world(database).await;
        put_file(&primary).await;
        let company: Id = COMPANY.parse().unwrap();
        let key = shared::node::service::mint::mint_for(
            &primary.node,
            company,
            "test",
            shared::node::service::mint::Mint::default(),
        )
        .await
        .unwrap();
        let mut token = String::new();
        for exchange in exchanges(include_str!("../fixtures/sandpiper/client-secondary.jsonl")) {
            let mut body = exchange.body.clone();
            if exchange.path == "/login" {
                body["sync-api-key"] = json!(key.sync_api_key);
            }
            let answer = play(&primary.url, &mut token, &exchange, &body).await;
            match exchange.path.as_str() {
                // The very bytes that its hash covers: the same ids give the same hash.
                "/v1/sync/subs" => {
                    let hash = |list: &Value, name: &str| {
                        let found =
                            list.as_array().unwrap().iter().find(|sub| sub["slice"]["slice_name"] == name);
                        found.unwrap()["slice"]["content_hash"].clone()
                    };
                    for name in ["acme-items", "acme-brakes-aces"] {
                        assert_eq!(hash(&answer, name), hash(&exchange.answer, name), "{name}");
                    }
                }
                path if path.starts_with("/v1/grains/") => {
                    for member in
                        ["id", "slice_id", "grain_key", "source", "encoding", "payload_len", "payload"]
                    {
                        assert_eq!(answer[member], exchange.answer[member], "{path} {member}");
                    }
                }
                _ => {}
            }
        }
        primary.stop().await;
    }
}

/// With metadata the reference's own primary makes its secondary fail for ever (gap B1): ours tells it the hash over ids.
#[tokio::test]
async fn a_secondary_of_the_reference_is_told_a_hash_that_it_can_reach() {
    let primary = primary_world(TestDatabase::sqlite()).await;
    let company: Id = COMPANY.parse().unwrap();
    let slice = primary
        .add_slice("with-metadata", "pies-items", &json!({ "vcdb-version": "2026-10-31" }), company)
        .await;
    let grain = primary.add_grain(slice, "a", "x").await;
    primary.refresh(slice).await;
    let key = shared::node::service::mint::mint_for(
        &primary.node,
        company,
        "test",
        shared::node::service::mint::Mint::default(),
    )
    .await
    .unwrap();
    let http = reqwest::Client::new();
    let login: Value = http
        .post(format!("{}/login", primary.url))
        .json(&json!({ "sync-api-key": key.sync_api_key }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let mut hashes = Vec::new();
    for agent in ["Sandpiper", "sandpiper-rs/0.1.0"] {
        let subs: Value = http
            .get(format!("{}/v1/sync/subs", primary.url))
            .header("user-agent", agent)
            .bearer_auth(login["token"].as_str().unwrap())
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let sub = subs.as_array().unwrap().iter().find(|sub| sub["slice_id"] == slice.to_string()).unwrap();
        hashes.push(sub["slice"]["content_hash"].as_str().unwrap().to_owned());
    }
    let mut ids_only = shared::crypto::content_hash::ContentHash::new();
    ids_only.id(grain);
    let (ids_hash, full) = ids_only.finish([("vcdb-version", "2026-10-31")]);
    assert_eq!(hashes, [ids_hash, full]);
}

#[tokio::test]
async fn the_command_line_of_the_reference_works_against_both_our_servers() {
    for database in TestDatabase::each("the_command_line_of_the_reference") {
        let primary = primary_world(database).await;
        let secondary = TestSecondary::start().await;
        let company: Id = COMPANY.parse().unwrap();
        let recorded = exchanges(include_str!("../fixtures/sandpiper/client-cli.jsonl"));
        // It asks the server for its role after each login; the recorded answer says which server it spoke with.
        let mut token = String::new();
        let mut connected = false;
        for (n, exchange) in recorded.iter().enumerate() {
            let role = recorded[..=(n + 1).min(recorded.len() - 1)]
                .iter()
                .rev()
                .find(|e| e.path == "/server")
                .map_or("primary", |e| e.answer["server-role"].as_str().unwrap());
            let is_secondary = role == "secondary";
            if is_secondary && !connected {
                connected = true;
                prepare_secondary(&primary, &secondary, company).await;
            }
            let url = if is_secondary { &secondary.url } else { &primary.url };
            let mut body = exchange.body.clone();
            if exchange.path == "/login" {
                token.clear();
                body["password"] = json!(tests::ADMIN.1);
            }
            let mut exchange = renamed(exchange, &primary, is_secondary);
            if exchange.status == 500 && exchange.path.starts_with("/v1/sync/") {
                // A company without a key or of no such id: the reference panics (gap B8), we say what is missing.
                exchange.status = 404;
                exchange.answer = json!({ "message": "" });
            }
            play(url, &mut token, &exchange, &body).await;
        }
        assert!(connected);
        primary.stop().await;
        secondary.stop().await;
    }
}

/// Our primary made its own server id; the recordings name the other installation's.
fn renamed(exchange: &Exchange, primary: &TestPrimary, is_secondary: bool) -> Exchange {
    let path = if is_secondary {
        exchange.path.replace("10000000-0000-0000-0000-000000000000", &primary.server_id.to_string())
    } else {
        exchange.path.clone()
    };
    Exchange { path, ..exchange.clone() }
}

/// As the recorded installation was: connected to the primary, both slices synced.
async fn prepare_secondary(primary: &TestPrimary, secondary: &TestSecondary, company: Id) {
    let user = json!({
        "first_name": "Carla", "last_name": "Admin", "username": "companyadmin", "email": "carla@example.com",
        "password": tests::node::COMPANY_ADMIN_PASSWORD, "password_confirm": tests::node::COMPANY_ADMIN_PASSWORD,
        "company_id": company, "role": 120,
    });
    let _user: Value = primary.admin.post("/v1/users", &user).await.unwrap();
    secondary.connect(&primary.url, "companyadmin").await;
    secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
}
