//! What a server remembers of a credential holds no longer than what it was read from.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::{QueryableByName, RunQueryDsl as _};
use serde_json::json;
use shared::clock::Random;
use shared::crypto::api_key::Credential;
use shared::store::{self, AnyConnection, Connection, Remembered, StoreError, stamp};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, TestDatabase, TestPrimary};

use super::{get, key_login, mint, sql, token_of};

/// Every column of the tables that decide who is let in, with another value for it if a server remembers it; else with an empty
/// text.
const COLUMNS: [(&str, &[(&str, &str)]); 5] = [
    (
        "users",
        &[
            ("id", ""),
            ("company_id", "company_id"),
            ("username", "username || 'x'"),
            ("username_key", ""),
            ("password_hash", ""),
            ("email", "email || 'x'"),
            ("email_key", ""),
            ("first_name", ""),
            ("last_name", ""),
            ("phone", ""),
            ("active", "NOT active"),
            ("role", "role + 1"),
            ("generation", "generation + 1"),
            ("last_login", ""),
            ("password_changed", ""),
            ("created_at", ""),
            ("updated_at", ""),
            ("display_name", ""),
            ("deleted_at", "created_at"),
        ],
    ),
    (
        "companies",
        &[
            ("id", ""),
            ("name", ""),
            ("name_key", ""),
            ("sync_addr", ""),
            ("active", "NOT active"),
            ("key_generation", ""),
            ("created_at", ""),
            ("updated_at", ""),
        ],
    ),
    (
        "sessions",
        &[
            ("id", "{id}"),
            ("user_id", "1 + (SELECT max(user_id) FROM sessions) - user_id"),
            ("token_sha256", ""),
            ("created_at", ""),
            ("last_seen_at", "'2020-01-01T00:00:00.000000Z'"),
            ("expires_at", "created_at"),
            ("ended_at", "created_at"),
            ("address", ""),
            ("agent", ""),
            ("ended_why", ""),
        ],
    ),
    (
        "api_keys",
        &[
            ("key_id", "{id}"),
            ("company_id", "(SELECT id FROM companies WHERE name = 'Better Brakes')"),
            ("user_id", "(SELECT id FROM users WHERE username = 'admin')"),
            ("generation", "generation + 1"),
            ("secret_sha256", "(SELECT token_sha256 FROM sessions LIMIT 1)"),
            ("legacy_bcrypt", "'x'"),
            ("state", "'revoked'"),
            ("created_at", "(SELECT created_at FROM companies WHERE name = 'Retail Parts')"),
            ("created_by", ""),
            ("first_used_at", "NULL"),
            ("last_used_at", "'2020-01-01T00:00:00.000000Z'"),
            ("last_used_ip", ""),
            ("valid_until", "created_at"),
            ("revoked_at", ""),
            ("revoked_by", ""),
            ("revoked_why", ""),
            ("seal_key", ""),
            ("expires_at", "created_at"),
            ("networks", "'203.0.113.0/24'"),
            ("scan_id", "'x'"),
        ],
    ),
    (
        "settings",
        &[
            ("id", ""),
            ("server_role", ""),
            ("server_id", ""),
            ("root_key_check", ""),
            ("created_at", ""),
            ("updated_at", ""),
            ("ring_epoch", "ring_epoch + 1"),
        ],
    ),
];

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = diesel::sql_types::Text)]
    text: String,
}

/// The columns that the database has.
fn columns(conn: &mut Connection, table: &str) -> Result<BTreeSet<String>, StoreError> {
    let sql = match conn {
        AnyConnection::Sqlite(_) => format!("SELECT name AS text FROM pragma_table_info('{table}')"),
        AnyConnection::Postgres(_) => format!(
            "SELECT column_name::text AS text FROM information_schema.columns WHERE table_schema = current_schema() \
             AND table_name = '{table}'"
        ),
    };
    let rows: Vec<Text> = store::on_backend!(conn, |c| diesel::sql_query(sql).load(c))?;
    Ok(rows.into_iter().map(|row| row.text).collect())
}

/// A primary with a company, a login of its admin, and its key, which was used.
async fn primary_with_a_key(database: TestDatabase) -> (TestPrimary, String, serde_json::Value) {
    let primary = TestPrimary::start_on(database, None).await;
    primary.add_company("Retail Parts", "companyadmin").await;
    let token = token_of(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let key = mint(&primary.url, &token).await;
    assert_eq!(key_login(&primary.url, &key).await.status, 200);
    (primary, token, key)
}

#[tokio::test]
async fn whatever_is_remembered_has_another_stamp_once_it_is_changed_by_whomever_and_uses_leave_the_stamp() {
    for database in TestDatabase::each("whatever_is_remembered") {
        let (primary, ..) = primary_with_a_key(database).await;
        let store = &primary.node.store;
        let random = match primary.node.store.url() {
            store::DatabaseUrl::Sqlite(_) => "randomblob(16)",
            store::DatabaseUrl::Postgres(_) => "gen_random_uuid()",
        };
        for (table, known) in COLUMNS {
            let all = store.read(move |conn| columns(conn, table)).await.unwrap();
            let listed: BTreeSet<String> =
                known.iter().map(|(column, _value)| (*column).to_owned()).collect();
            assert_eq!(all, listed, "{table}: is a new column one that is remembered?");
            for (column, value) in known {
                let value = value.replace("{id}", random);
                let is_remembered = !value.is_empty();
                let value = if is_remembered { value } else { (*column).to_owned() };
                let change = format!("UPDATE {table} SET {column} = {value}");
                // One row: of some columns no two may be the same.
                let change = match table {
                    "users" => format!("{change} WHERE username = 'companyadmin'"),
                    "companies" => format!("{change} WHERE name = 'Retail Parts'"),
                    _ => change,
                };
                let was = store.read(stamp).await.unwrap();
                let undone = change.clone();
                let refused = store
                    .write(move |conn| {
                        store::on_backend!(conn, |c| diesel::sql_query(undone).execute(c))?;
                        Err::<(), _>(StoreError::Busy)
                    })
                    .await;
                assert!(matches!(refused, Err(StoreError::Busy)), "{refused:?}");
                assert_eq!(store.read(stamp).await.unwrap(), was, "undone: {change}");
                sql(&primary, change.clone()).await;
                let is_stamped = store.read(stamp).await.unwrap() != was;
                assert_eq!(is_stamped, is_remembered, "{change}");
                if change.contains("username || 'x'") {
                    // The next change is to find the row.
                    let back = "UPDATE users SET username = 'companyadmin' WHERE username = 'companyadminx'";
                    sql(&primary, back).await;
                }
            }
        }
        for used in [
            "UPDATE sessions SET last_seen_at = '2099-01-01T00:00:00.000000Z'",
            "UPDATE api_keys SET last_used_at = '2099-01-01T00:00:00.000000Z', last_used_ip = '192.0.2.1'",
        ] {
            let was = store.read(stamp).await.unwrap();
            sql(&primary, used).await;
            assert_eq!(store.read(stamp).await.unwrap(), was, "{used}");
        }
        let retail = "(SELECT id FROM companies WHERE name = 'Retail Parts')";
        for table in ["sessions", "api_keys", &format!("users WHERE company_id = {retail}")] {
            let was = store.read(stamp).await.unwrap();
            sql(&primary, format!("DELETE FROM {table}")).await;
            assert_ne!(store.read(stamp).await.unwrap(), was, "{table}");
        }
        let was = store.read(stamp).await.unwrap();
        sql(&primary, "DELETE FROM companies WHERE name = 'Retail Parts'").await;
        assert_ne!(store.read(stamp).await.unwrap(), was, "companies");
        if matches!(store.url(), store::DatabaseUrl::Postgres(_)) {
            for table in ["sessions", "api_keys", "users"] {
                let was = store.read(stamp).await.unwrap();
                sql(&primary, format!("TRUNCATE {table} CASCADE")).await;
                assert_ne!(store.read(stamp).await.unwrap(), was, "{table} emptied");
            }
        }
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_change_by_hand_in_the_database_holds_on_every_server_from_the_next_request_on() {
    for database in TestDatabase::each("a_change_by_hand") {
        let (here, token, key) = primary_with_a_key(database).await;
        let there = here.beside().await;
        let machine = key_login(&here.url, &key).await.body["token"].as_str().unwrap().to_owned();
        // What to do, what to do to undo it, and how the person, the machine and its key fare in between.
        #[rustfmt::skip]
        let changes = [
            ("UPDATE users SET active = {false} WHERE username = 'companyadmin'", "UPDATE users SET active = {true}", [401, 200, 200]),
            ("UPDATE users SET role = 300 WHERE username = 'companyadmin'",
             "UPDATE users SET role = 120 WHERE username = 'companyadmin'", [403, 200, 200]),
            ("UPDATE users SET generation = generation + 1 WHERE username = 'companyadmin'",
             "UPDATE users SET generation = generation - 1 WHERE username = 'companyadmin'", [401, 200, 200]),
            ("UPDATE users SET active = {false} WHERE role = 200", "UPDATE users SET active = {true}", [200, 401, 401]),
            ("UPDATE companies SET active = {false} WHERE name = 'Retail Parts'", "UPDATE companies SET active = {true}", [401, 401, 401]),
            ("UPDATE api_keys SET networks = '203.0.113.0/24'", "UPDATE api_keys SET networks = ''", [200, 401, 401]),
            ("UPDATE api_keys SET expires_at = created_at", "UPDATE api_keys SET expires_at = NULL", [200, 401, 401]),
            ("UPDATE sessions SET ended_at = created_at", "UPDATE sessions SET ended_at = NULL", [401, 200, 200]),
            ("DELETE FROM sessions", "", [401, 200, 200]),
            ("DELETE FROM api_keys", "", [401, 401, 401]),
        ];
        let [is_true, is_false] = match here.node.store.url() {
            store::DatabaseUrl::Sqlite(_) => ["1", "0"],
            store::DatabaseUrl::Postgres(_) => ["true", "false"],
        };
        let written = |sql: &str| sql.replace("{true}", is_true).replace("{false}", is_false);
        let mut usual = [200, 200, 200];
        for (change, undo, expected) in changes {
            for _again in 0..2 {
                for url in [&here.url, &there.url] {
                    assert_eq!(fare(url, &token, &machine, &key).await, usual, "before {change}");
                }
            }
            sql(&here, written(change)).await;
            for url in [&here.url, &there.url] {
                assert_eq!(fare(url, &token, &machine, &key).await, expected, "{change}");
            }
            if undo.is_empty() {
                usual = expected;
            } else {
                sql(&here, written(undo)).await;
            }
        }
        there.stop().await;
        here.stop().await;
    }
}

/// Status of a list that only company admins see, of who a machine is, and of a login with its key.
async fn fare(url: &str, token: &str, machine: &str, key: &serde_json::Value) -> [u16; 3] {
    [
        get(url, "/v1/users", token).await.status,
        get(url, "/me", machine).await.status,
        key_login(url, key).await.status,
    ]
}

#[tokio::test]
async fn what_changes_while_it_is_read_is_read_again_and_what_was_refused_is_read_each_time() {
    for database in TestDatabase::each("what_changes_while_it_is_read") {
        let primary = TestPrimary::start_on(database, None).await;
        let store = &primary.node.store;
        let known: Remembered<u32, String> = Remembered::default();
        let reads = Arc::new(AtomicUsize::new(0));
        let find = |name: u32, is_good: bool, change: bool| {
            let reads = Arc::clone(&reads);
            known.find(
                store,
                name,
                move |_value| is_good,
                move |conn, _name| {
                    let sql = format!("SELECT email AS text FROM users WHERE username = '{}'", ADMIN.0);
                    let row: Text = store::on_backend!(conn, |c| diesel::sql_query(sql).get_result(c))?;
                    if change {
                        let sql = "UPDATE users SET email = email || 'x'";
                        store::on_backend!(conn, |c| diesel::sql_query(sql).execute(c))?;
                    }
                    reads.fetch_add(1, Ordering::SeqCst);
                    Ok(row.text)
                },
            )
        };
        let first = find(1, true, true).await.unwrap();
        assert_eq!(
            find(1, true, false).await.unwrap(),
            format!("{first}x"),
            "it was changed behind the read"
        );
        assert_eq!(reads.load(Ordering::SeqCst), 2);
        find(1, true, false).await.unwrap();
        assert_eq!(reads.load(Ordering::SeqCst), 2, "remembered");
        for read in 3..6 {
            find(1, false, false).await.unwrap();
            assert_eq!(reads.load(Ordering::SeqCst), read, "what is remembered must not refuse");
            find(2, false, false).await.unwrap();
            assert_eq!(reads.load(Ordering::SeqCst), read + 1, "a refusal is not remembered");
            reads.fetch_sub(1, Ordering::SeqCst);
        }
        // Only so many: then it begins anew.
        for name in 10..4200 {
            find(name, true, false).await.unwrap();
        }
        let before = reads.load(Ordering::SeqCst);
        find(1, true, false).await.unwrap();
        assert_eq!(reads.load(Ordering::SeqCst), before + 1, "forgotten");
        primary.stop().await;
    }
}

#[tokio::test]
async fn the_use_of_a_key_that_is_remembered_is_noted_again_after_a_minute_and_only_then() {
    for database in TestDatabase::each("the_use_of_a_key") {
        let (primary, _token, key) = primary_with_a_key(database).await;
        let last_use = async || {
            let keys = primary.node.store.read(|conn| store::api_key::list(conn, None)).await.unwrap();
            keys[0].last_used_at.unwrap()
        };
        let first = last_use().await;
        for _login in 0..3 {
            assert_eq!(key_login(&primary.url, &key).await.status, 200);
            assert_eq!(last_use().await, first, "no write for each login");
        }
        sql(&primary, "UPDATE api_keys SET last_used_at = '2026-01-01T00:00:00.000000Z'").await;
        assert_eq!(key_login(&primary.url, &key).await.status, 200);
        let noted = last_use().await;
        assert!(noted > first);
        // What is remembered still has the use before.
        assert_eq!(key_login(&primary.url, &key).await.status, 200);
        assert_eq!(last_use().await, noted, "noted once");
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_key_that_is_remembered_opens_nothing_with_another_secret() {
    for database in TestDatabase::each("a_key_that_is_remembered") {
        let (primary, _token, key) = primary_with_a_key(database).await;
        let rings = primary.node.rings.current();
        let ring = rings.seals.as_ref().unwrap();
        let sealed = key["sync_api_key"].as_str().unwrap();
        for _login in 0..3 {
            let mut other = Credential::open(sealed, ring.keys()).unwrap();
            other.password = "another-secret-of-the-same-machine".into();
            let (kid, seal_key) = ring.active();
            let other = json!({ "sync_api_key": other.seal(kid, seal_key, 1, &Random::System) });
            assert_eq!(key_login(&primary.url, &key).await.status, 200);
            assert_eq!(key_login(&primary.url, &other).await.status, 401);
        }
        primary.stop().await;
    }
}
