//! A database is restored from a backup: what ended since stays dead, and no number is given out twice (decision 0017).

use reqwest::Method;
use serde_json::{Value, json};
use shared::node::service::recover::{Recovered, recover};
use shared::store::StoreError;
use shared::wire::Timestamp;
use tests::node::{COMPANY_ADMIN_PASSWORD, published_grains};
use tests::restore::Home;
use tests::{ADMIN, TestDatabase, TestSecondary};

use super::ends::TABLE;
use super::event::{Event, Party, Servers};
use super::{key_login, mint, post, token_of};

async fn recovered(home: &Home) -> Recovered {
    recover(&home.node().await).await.unwrap().expect("something to recover")
}

/// What becomes of a party: as the table says, but that nobody is logged in any more, that a password which had been changed
/// is none, and that whoever had another role is off.
fn afterwards(expected: &str, event: Event, is_anna: bool) -> String {
    let is_off = is_anna && matches!(event, Event::IsDemoted);
    let password = if is_off { "x" } else { &expected[8..9] };
    format!("xxx xxx {password} xxx{}", &expected[13..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ended_after_a_backup_is_dead_when_it_is_restored_and_after_it_was_accepted() {
    let of_all = |event: &Event| matches!(event, Event::SealKeyIsRetired | Event::TokenKeyIsRetired);
    for database in TestDatabase::each("whatever_ended_after_a_backup") {
        let home = Home::found(database).await;
        // What ends a key of a ring ends everybody's: a round for each of those.
        let (rings, others): (Vec<_>, Vec<_>) = TABLE.into_iter().partition(|(event, ..)| of_all(event));
        let rounds = std::iter::once(others).chain(rings.into_iter().map(|row| vec![row]));
        for (round, rows) in rounds.enumerate() {
            let mut servers = Servers::of(vec![home.serve().await, home.serve().await]);
            servers.staff =
                servers.log_in(0, json!({ "username": ADMIN.0, "password": ADMIN.1 })).await.access;
            let mut all: Vec<(Event, String, Party)> = Vec::new();
            let mut events = Vec::new();
            for (number, (event, annas, colleagues, competitors)) in rows.into_iter().enumerate() {
                let name = |who: &str| format!("{who}{round}{number}");
                let (company, own) = servers.parties(&[name("anna"), name("adam")]).await;
                let (_other, others) = servers.parties(&[name("otto")]).await;
                events.push((event, company, all.len()));
                for (party, expected) in own.into_iter().chain(others).zip([annas, colleagues, competitors]) {
                    let expected =
                        afterwards(expected, event, expected == annas && party.username.starts_with("anna"));
                    all.push((event, expected, party));
                }
            }
            let backup = home.back_up().await;
            for (number, (event, company, anna)) in events.into_iter().enumerate() {
                servers.happen(event, number, &company, &all[anna].2).await;
            }
            for server in std::mem::take(&mut servers.all) {
                server.stop().await;
            }
            home.restore(&backup);

            let running = home.serve_strangers().await;
            let url = running.url();
            for (event, _expected, party) in &mut all {
                let answers = servers.statuses(&url, party).await;
                assert_eq!(answers, [503; 11], "{} after {event:?}", party.username);
            }
            let admin = post(&url, "/login", &json!({ "username": ADMIN.0, "password": ADMIN.1 })).await;
            assert_eq!((admin.status, admin.body["code"].clone()), (503, json!("rolled_back")));
            assert!(
                admin.body["message"].as_str().unwrap().contains("recover --accept-rollback"),
                "{admin:?}"
            );
            for token in ["no token", servers.staff.as_str()] {
                let asked =
                    servers.ask(&url, Method::POST, "/v1/companies", token, json!({ "name": "New" })).await;
                assert_eq!((asked.0, &asked.1["code"]), (503, &json!("rolled_back")));
            }
            assert_eq!(servers.ask(&url, Method::GET, "/check", "", Value::Null).await.0, 200);
            let write = home.node().await.store.write(|_conn| Ok::<(), StoreError>(())).await;
            assert!(matches!(write, Err(StoreError::RolledBack)));
            running.stop().await;

            let told = recovered(&home).await;
            assert!(recover(&home.node().await).await.unwrap().is_none(), "once is enough");
            servers.all = vec![home.serve().await];
            let mut wrong = Vec::new();
            for (event, expected, party) in &mut all {
                let after = servers.accepts(0, party).await;
                if after != *expected {
                    wrong.push(format!("{event:?}: {}: {after}, not {expected}", party.username));
                }
            }
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
            if round == 0 {
                assert_eq!(told.passwords_to_set.len(), 2, "{told:?}");
                assert_eq!(told.companies_switched_off.len(), 1, "{told:?}");
                // Revoked twice, superseded, and with its machine.
                assert_eq!(told.companies_without_key.len(), 4, "{told:?}");
                // He, the deleted one, the demoted one, and two machines.
                assert_eq!(told.users_switched_off.len(), 5, "{told:?}");
            } else {
                assert_eq!(told.ring_keys_retired.len(), 1, "{told:?}");
            }
            for server in std::mem::take(&mut servers.all) {
                server.stop().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_generation_of_a_key_is_given_out_twice() {
    for database in TestDatabase::each("no_generation_of_a_key") {
        let home = Home::found(database).await;
        let primary = home.serve().await;
        primary.add_company("Retail Parts", "anna").await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let mut keys = vec![mint(&primary.url, &anna).await];
        let backup = home.back_up().await;
        for _ in 0..3 {
            keys.push(mint(&primary.url, &anna).await);
        }
        primary.stop().await;
        home.restore(&backup);
        let running = home.serve_strangers().await;
        for key in &keys {
            assert_eq!(key_login(&running.url(), key).await.status, 503);
        }
        running.stop().await;
        assert!(recovered(&home).await.companies_without_key.contains("Retail Parts"));
        let primary = home.serve().await;
        for key in &keys {
            assert_eq!(key_login(&primary.url, key).await.status, 401);
        }
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let next = mint(&primary.url, &anna).await;
        let newest = keys.iter().map(|key| key["generation"].as_i64().unwrap()).max().unwrap();
        assert!(next["generation"].as_i64().unwrap() > newest, "{next} after {newest}");
        assert_eq!(key_login(&primary.url, &next).await.status, 200);
        // A copy of now is the node of now.
        let backup = home.back_up().await;
        primary.stop().await;
        home.restore(&backup);
        let primary = home.serve().await;
        assert_eq!(key_login(&primary.url, &next).await.status, 200);
        primary.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_number_of_a_version_is_given_out_twice_and_who_had_a_newer_one_gets_what_is_published_next() {
    for database in TestDatabase::each("no_number_of_a_version") {
        let home = Home::found(database).await;
        let primary = home.serve().await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let slice = primary.add_slice("items", "pies-items", &json!({ "k": "v" }), company).await;
        let quiet = primary.add_slice("quiet", "pies-items", &json!({}), company).await;
        let secondary = TestSecondary::start().await;
        secondary.connect(&primary.url, "anna").await;
        for id in [slice, quiet] {
            primary.add_grain(id, "a", "old").await;
            primary.refresh(id).await;
        }
        // A draft that the backup has.
        primary.add_grain(slice, "draft", "kept").await;
        secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
        let backup = home.back_up().await;
        for payload in ["lost 1", "lost 2"] {
            primary.add_grain(slice, "a", payload).await;
            primary.refresh(slice).await;
        }
        secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
        let lost = current_version(&primary.node.store, slice).await;
        let listen = primary.url.clone();
        primary.stop().await;
        home.restore(&backup);

        let told = recovered(&home).await;
        assert_eq!(
            told.slices_closed.iter().collect::<Vec<_>>(),
            ["items"],
            "the other one was not published"
        );
        let primary = home.serve_at(&listen).await;
        assert!(current_version(&primary.node.store, slice).await > lost);
        let admin = &primary.admin;
        let synced = secondary.sync(primary.server_id).await.unwrap();
        assert!(synced.into_result().is_err(), "it is closed");
        let kept = published_grains(&secondary.secondary.node.store, slice).await;
        assert!(
            kept.iter().any(|grain| grain["payload"] == "lost 2"),
            "the receiver keeps what it has: {kept:?}"
        );

        primary.add_grain(slice, "a", "new").await;
        primary.refresh(slice).await;
        admin.call(Method::PUT, &format!("/v1/slices/unlock/{slice}")).await.unwrap();
        secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
        for id in [slice, quiet] {
            let published = published_grains(&primary.node.store, id).await;
            assert_eq!(published, published_grains(&secondary.secondary.node.store, id).await);
        }
        let published = published_grains(&primary.node.store, slice).await;
        let mut payloads: Vec<&str> =
            published.iter().map(|grain| grain["payload"].as_str().unwrap()).collect();
        payloads.sort_unstable();
        assert_eq!(payloads, ["kept", "new"]);
        primary.stop().await;
        secondary.stop().await;
    }
}

async fn current_version(store: &shared::store::Store, slice: shared::wire::Id) -> i64 {
    store.read(move |conn| shared::store::slice::find(conn, slice)).await.unwrap().unwrap().current_version
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_each_remembers_what_it_ended_itself() {
    let Some(database) = TestDatabase::postgres("of_two_servers_each") else { return };
    let home = Home::found(database).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let here = home.serve().await;
    let mut keys = Vec::new();
    for name in ["anna", "otto"] {
        here.add_company(&format!("Parts of {name}"), name).await;
        let token = token_of(&here.url, name, COMPANY_ADMIN_PASSWORD).await;
        keys.push((token.clone(), mint(&here.url, &token).await));
    }
    let there = home.serve_in(elsewhere.path()).await;
    let backup = home.back_up().await;
    let end = async |url: &str, token: &str| {
        let ended = reqwest::Client::new().delete(format!("{url}/v1/apikey")).bearer_auth(token);
        assert_eq!(ended.send().await.unwrap().status(), 200);
    };
    end(&here.url, &keys[0].0).await;
    end(&there.url, &keys[1].0).await;
    here.stop().await;
    there.stop().await;
    home.restore(&backup);

    assert_eq!(recovered(&home).await.companies_without_key.len(), 1, "what this folder knows");
    let here = home.serve().await;
    assert_eq!(key_login(&here.url, &keys[0].1).await.status, 401);
    // The other folder knows of one more.
    let other = home.node_in(elsewhere.path()).await;
    assert!(matches!(other.store.require_current(), Err(StoreError::RolledBack)));
    let told = recover(&other).await.unwrap().expect("something to recover");
    assert_eq!(told.companies_without_key.iter().collect::<Vec<_>>(), ["Parts of otto"]);
    assert_eq!(key_login(&here.url, &keys[1].1).await.status, 401);
    // Neither has anything more to say.
    here.stop().await;
    for folder in [home.folder(), elsewhere.path()] {
        let node = home.node_in(folder).await;
        node.store.require_current().unwrap();
        assert!(recover(&node).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_turned_back_under_a_running_server_lets_nobody_in() {
    let Some(database) = TestDatabase::postgres_alone("a_database_that_is_turned_back") else { return };
    let home = Home::found(database).await;
    let (primary, other) = (home.serve().await, home.serve().await);
    primary.add_company("Retail Parts", "anna").await;
    let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
    let key = mint(&primary.url, &anna).await;
    let backup = home.back_up().await;
    let ended = reqwest::Client::new().delete(format!("{}/v1/apikey", primary.url)).bearer_auth(&anna);
    assert_eq!(ended.send().await.unwrap().status(), 200);
    assert_eq!(key_login(&primary.url, &key).await.status, 401);
    home.restore(&backup);
    // A connection that was open leads to the tables of these names: the first change that ends something tells.
    let ended = reqwest::Client::new().delete(format!("{}/v1/apikey", primary.url)).bearer_auth(&anna);
    assert_eq!(ended.send().await.unwrap().status(), 503);
    // And a new connection tells as it is made.
    home.cut_connections();
    for url in [&primary.url, &other.url] {
        tests::wait_until("it says why", async || {
            let answer = key_login(url, &key).await;
            assert_eq!(answer.status, 503, "{answer:?}");
            answer.body["code"] == "rolled_back"
        })
        .await;
    }
    primary.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_that_was_cut_off_is_done_again() {
    for database in TestDatabase::each("a_recovery_that_was_cut_off") {
        let home = Home::found(database).await;
        let file = home.folder().join("high-water");
        let primary = home.serve().await;
        primary.add_company("Retail Parts", "anna").await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let key = mint(&primary.url, &anna).await;
        let backup = home.back_up().await;
        let ended = reqwest::Client::new().delete(format!("{}/v1/apikey", primary.url)).bearer_auth(&anna);
        assert_eq!(ended.send().await.unwrap().status(), 200);
        primary.stop().await;
        home.restore(&backup);
        let before = std::fs::read(&file).unwrap();

        // It dies before its commit.
        let node = home.node().await;
        let died = node.store.recover(7, |conn, unknown| {
            assert!(!unknown.deaths.is_empty());
            shared::store::session::end_everybodys(
                conn,
                shared::store::session::Ended::RolledBack,
                Timestamp::default(),
            )?;
            Err::<(), _>(StoreError::Busy)
        });
        assert!(matches!(died.await, Err(StoreError::Busy)));
        assert!(matches!(node.store.require_current(), Err(StoreError::RolledBack)));
        assert_eq!(std::fs::read(&file).unwrap(), before);
        // It dies behind it: the file does not know yet.
        assert_eq!(recovered(&home).await.companies_without_key.len(), 1);
        std::fs::write(&file, before).unwrap();
        assert!(matches!(home.node().await.store.require_current(), Err(StoreError::RolledBack)));
        assert_eq!(recovered(&home).await.companies_without_key.len(), 0, "they are dead already");
        let primary = home.serve().await;
        assert_eq!(key_login(&primary.url, &key).await.status, 401);
        // The same backup once more: it is from before the recoveries.
        primary.stop().await;
        home.restore(&backup);
        assert_eq!(recovered(&home).await.companies_without_key.len(), 1);
        let primary = home.serve().await;
        assert_eq!(key_login(&primary.url, &key).await.status, 401);
        primary.stop().await;
    }
}
