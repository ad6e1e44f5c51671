//! What is good for one thing is good for nothing else (T3), and rights are the database's, not the token's (T5).
//!
//! That a machine's token reads what its company subscribes to and nothing else (T8) is shown for every operation by the
//! walk over all permissions, `api` `permission`; here is how long it lives.

use diesel::RunQueryDsl as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::crypto::api_key::Credential;
use shared::store::{self, StoreError};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, TestDatabase, TestPrimary};

use super::forge::{Secrets, claims, hs256, with};
use super::{Answer, get, id_of, key_login, mint, post, token_of};

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Sets a column, as no endpoint does.
async fn set(primary: &TestPrimary, sql: String) {
    let set = move |conn: &mut store::Connection| -> Result<(), StoreError> {
        store::on_backend!(conn, |c| diesel::sql_query(sql).execute(c))?;
        Ok(())
    };
    primary.node.store.write(set).await.unwrap();
}

/// A primary whose secrets are known, with anna, who has minted a key, and otto of another company.
struct World {
    primary: TestPrimary,
    secrets: Secrets,
    staff: String,
    anna: String,
    otto: String,
    key: Value,
    /// The answer to a login with the key.
    machine: Value,
}

impl World {
    async fn new(database: TestDatabase) -> Self {
        let secrets = Secrets::new(21);
        let primary = TestPrimary::start_on(database, Some(secrets.both())).await;
        primary.add_company("Retail Parts", "anna").await;
        primary.add_company("Other Parts", "otto").await;
        let staff = token_of(&primary.url, ADMIN.0, ADMIN.1).await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let otto = token_of(&primary.url, "otto", COMPANY_ADMIN_PASSWORD).await;
        let key = mint(&primary.url, &anna).await;
        let machine = key_login(&primary.url, &key).await.body;
        Self { primary, secrets, staff, anna, otto, key, machine }
    }

    async fn status(&self, path: &str, claims: &Value) -> u16 {
        get(&self.primary.url, path, &self.secrets.token(claims)).await.status
    }
}

#[tokio::test]
async fn the_token_of_a_machine_is_not_one_of_a_person_nor_one_persons_anothers() {
    for database in TestDatabase::each("the_token_of_a_machine") {
        let world = World::new(database).await;
        let machine_token = text(&world.machine["token"]);
        let [staff, anna, otto, machine] =
            [&world.staff, &world.anna, &world.otto, &machine_token].map(|token| claims(token));
        for good in [&staff, &anna, &otto, &machine] {
            assert_eq!(world.status("/me", good).await, 200);
        }
        assert!(machine.get("sid").is_none() && anna["sid"].is_string());
        // Each claim that names somebody, taken from each of the others.
        for (own, name) in [(&staff, "staff"), (&anna, "anna"), (&otto, "otto"), (&machine, "machine")] {
            for other in [&staff, &anna, &otto, &machine] {
                for claim in ["id", "sub", "sid"].into_iter().filter(|claim| own[claim] != other[claim]) {
                    let mixed = with(own, claim, other.get(claim).cloned());
                    assert_eq!(world.status("/me", &mixed).await, 401, "{name}: {mixed}");
                }
            }
        }
        // And all but one: the session of one with everything else of another.
        for (session, rest) in [(&staff, &anna), (&anna, &otto), (&anna, &machine), (&staff, &machine)] {
            let mixed = with(rest, "sid", Some(session["sid"].clone()));
            assert_eq!(world.status("/me", &mixed).await, 401, "{mixed}");
            let renamed = with(&mixed, "id", Some(session["id"].clone()));
            assert_eq!(world.status("/me", &renamed).await, 401, "{renamed}");
        }
        // The key's generation is part of the name.
        for generation in [0, 2] {
            let other = with(&machine, "gen", Some(json!(generation)));
            assert_eq!(world.status("/me", &other).await, 401, "{other}");
        }
        world.primary.stop().await;
    }
}

#[tokio::test]
async fn a_token_that_claims_more_rights_has_those_of_the_database() {
    for database in TestDatabase::each("a_token_that_claims_more") {
        let world = World::new(database).await;
        let machine_token = text(&world.machine["token"]);
        let url = &world.primary.url;
        let of_staff = claims(&world.staff);
        for (token, role) in [(&world.anna, 120), (&machine_token, 200)] {
            let own = claims(token);
            let me = get(url, "/me", token).await;
            assert_eq!(me.body["role"], json!(role));
            for (claim, value) in [
                ("r", json!(100)),
                ("r", json!(0)),
                ("r", json!(-1)),
                ("r", json!(i64::MAX)),
                ("c", json!(world.primary.server_id)),
                ("c", claims(&world.otto)["c"].clone()),
                ("u", json!("admin")),
                ("e", json!("admin@example.com")),
            ] {
                let raised = world.secrets.token(&with(&own, claim, Some(value.clone())));
                assert_eq!(get(url, "/me", &raised).await.body, me.body, "{claim} {value}");
                for path in ["/v1/settings", "/v1/tags", "/v1/keyring", "/v1/activity"] {
                    assert_eq!(get(url, path, &raised).await.status, 403, "{claim} {value}: {path}");
                }
                let offers = get(url, "/v1/sync/subs", token).await.body;
                assert_eq!(get(url, "/v1/sync/subs", &raised).await.body, offers, "{claim} {value}");
            }
        }
        // Nor do they shrink by what a token says.
        let lowered = world.secrets.token(&with(&of_staff, "r", Some(json!(300))));
        assert_eq!(get(url, "/v1/settings", &lowered).await.status, 200);
        // Who is demoted is so with the next request, by the token he has.
        assert_eq!(get(url, "/v1/companies", &world.anna).await.status, 200);
        let anna = claims(&world.anna)["id"].clone();
        set(&world.primary, format!("UPDATE users SET role = 300 WHERE id = {anna}")).await;
        assert_eq!(get(url, "/v1/companies", &world.anna).await.status, 403);
        set(&world.primary, format!("UPDATE users SET role = 7 WHERE id = {anna}")).await;
        assert_eq!(get(url, "/me", &world.anna).await.status, 401, "no role that there is");
        world.primary.stop().await;
    }
}

/// Where something can be shown.
const DOORS: [&str; 6] =
    ["bearer", "GET /refresh", "POST /refresh", "/login", "/synclogin", "/login as password"];

async fn show(url: &str, door: &str, credential: &str) -> Answer {
    match door {
        "bearer" => get(url, "/me", credential).await,
        "GET /refresh" => {
            get(url, &format!("/refresh/{}", utf8_percent_encode(credential, NON_ALPHANUMERIC)), "").await
        }
        "POST /refresh" => post(url, "/refresh", &json!({ "refresh_token": credential })).await,
        "/login as password" => {
            post(url, "/login", &json!({ "username": credential, "password": credential })).await
        }
        path => post(url, path, &json!({ "sync-api-key": credential })).await,
    }
}

#[tokio::test]
async fn every_kind_of_credential_is_refused_at_the_doors_of_all_other_kinds() {
    for database in TestDatabase::each("every_kind_of_credential") {
        let world = World::new(database).await;
        let url = &world.primary.url;
        let login =
            post(url, "/login", &json!({ "username": "anna", "password": COMPANY_ADMIN_PASSWORD })).await;
        let rings = world.primary.node.rings.current();
        let api_key = text(&world.key["sync_api_key"]);
        let credential = Credential::open(&api_key, rings.seals.as_ref().unwrap().keys()).unwrap();
        let access = text(&login.body["token"]);
        let kinds = [
            ("a person's access token", access.clone(), vec!["bearer"]),
            ("a machine's access token", text(&world.machine["token"]), vec!["bearer"]),
            (
                "a person's refresh token",
                text(&login.body["refresh_token"]),
                vec!["GET /refresh", "POST /refresh"],
            ),
            (
                "a machine's refresh token",
                text(&world.machine["refresh_token"]),
                vec!["GET /refresh", "POST /refresh"],
            ),
            ("an api-key", api_key, vec!["/login", "/synclogin"]),
            ("a session's id", text(&claims(&access)["sid"]), vec![]),
            ("a token's id", text(&claims(&access)["jti"]), vec![]),
            ("a key's id", text(&world.key["key_id"]), vec![]),
            ("a machine's name", credential.username.clone(), vec![]),
            ("a machine's secret", credential.password.expose().to_owned(), vec![]),
            ("a secret of the ring that signs", world.secrets.jwt.clone(), vec![]),
            ("a secret of the ring that seals", world.secrets.seal.clone(), vec![]),
            ("a person's password", COMPANY_ADMIN_PASSWORD.to_owned(), vec![]),
            (
                "the hash of a refresh token",
                data_encoding::HEXLOWER
                    .encode(&shared::crypto::refresh::sha256(login.body["refresh_token"].as_str().unwrap())),
                vec![],
            ),
        ];
        for door in DOORS {
            let refusal = show(url, door, "junk").await;
            assert_eq!(refusal.status, 401, "{door}");
            for (kind, credential, doors) in &kinds {
                if !doors.contains(&door) {
                    assert_eq!(show(url, door, credential).await, refusal, "{kind} at {door}");
                }
            }
        }
        // A machine has no password, its name and secret are none.
        let as_person = json!({ "username": credential.username, "password": credential.password.expose() });
        assert_eq!(post(url, "/login", &as_person).await.status, 401);
        for (kind, credential, doors) in &kinds {
            for door in doors {
                assert_eq!(show(url, door, credential).await.status, 200, "{kind} at {door}");
            }
        }
        world.primary.stop().await;
    }
}

#[tokio::test]
async fn a_machines_refresh_token_that_was_not_made_here_is_refused() {
    for database in TestDatabase::each("a_machines_refresh_token") {
        let world = World::new(database).await;
        let url = &world.primary.url;
        let good = text(&world.machine["refresh_token"]);
        let body = data_encoding::HEXLOWER.decode(good.as_bytes()).unwrap()[..20].to_vec();
        let sealed = |body: &[u8], key: &[u8]| {
            data_encoding::HEXLOWER.encode(&[body, &hs256(key, body)[..12]].concat())
        };
        assert_eq!(sealed(&body, &world.secrets.refresh), good, "this is how it is made");
        let mut later = body.clone();
        later[16..].copy_from_slice(&u32::MAX.to_be_bytes());
        let mut over = body.clone();
        let minute = u32::try_from(Clock::System.now().unix() / 60).unwrap();
        over[16..].copy_from_slice(&(minute - 1).to_be_bytes());
        let another = mint(url, &world.otto).await;
        let others = [id_of(&another["key_id"]).as_bytes().as_slice(), &body[16..]].concat();
        let mut nobody = body.clone();
        nobody[0] ^= 1;
        let tag = &good[40..];
        let mut forgeries = vec![
            ("a later end", format!("{}{tag}", data_encoding::HEXLOWER.encode(&later))),
            ("another's key", format!("{}{tag}", data_encoding::HEXLOWER.encode(&others))),
            ("no MAC", format!("{}{}", &good[..40], "0".repeat(24))),
            ("by the key of access tokens", sealed(&body, &world.secrets.access)),
            ("by the ring's secret", sealed(&body, world.secrets.jwt.as_bytes())),
            ("over", sealed(&over, &world.secrets.refresh)),
            ("a key that is none", sealed(&nobody, &world.secrets.refresh)),
            ("longer", format!("{good}00")),
            ("shorter", good[..62].to_owned()),
            ("an odd digit", good[..63].to_owned()),
        ];
        for at in 0..32 {
            let mut bytes = data_encoding::HEXLOWER.decode(good.as_bytes()).unwrap();
            bytes[at] ^= 1 << (at % 8);
            forgeries.push(("a bit", data_encoding::HEXLOWER.encode(&bytes)));
        }
        for door in ["GET /refresh", "POST /refresh"] {
            let refusal = show(url, door, &"0".repeat(64)).await;
            for (name, token) in &forgeries {
                assert_eq!(show(url, door, token).await, refusal, "{name} at {door}");
            }
            assert_eq!(show(url, door, &good).await.status, 200);
        }
        world.primary.stop().await;
    }
}

#[tokio::test]
async fn a_machines_access_token_lives_a_quarter_of_an_hour_however_it_was_got() {
    let world = World::new(TestDatabase::sqlite()).await;
    let refresh = text(&world.machine["refresh_token"]);
    for door in ["GET /refresh", "POST /refresh"] {
        let renewed = show(&world.primary.url, door, &refresh).await.body;
        for login in [&world.machine, &renewed] {
            let token = claims(login["token"].as_str().unwrap());
            let life = token["exp"].as_i64().unwrap() - token["iat"].as_i64().unwrap();
            assert_eq!(life, 15 * 60, "{token}");
            assert_eq!(
                (&token["sub"], &token["gen"]),
                (&json!(format!("sync_{}", text(&world.key["key_id"]))), &json!(1))
            );
        }
    }
    world.primary.stop().await;
}
