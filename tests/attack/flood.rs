//! A flood of logins must not stop the machines, nor people at the places that they use.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::RunQueryDsl as _;
use serde_json::json;
use shared::crypto::password::Policy;
use shared::node::Policies;
use shared::store::{self, Connection, StoreError};
use tests::node::{COMPANY_ADMIN_PASSWORD, quick};
use tests::{ADMIN, TestDatabase, TestPrimary};

use super::{Caller, key_login, send};

/// While every hashing thread is taken and the queue behind them is full, keys log in and are refused as ever: neither
/// costs a hash. No clock is asked: a login that hashed would be told that the server is overloaded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_good_and_bad_are_answered_while_password_hashing_is_overloaded() {
    let primary = TestPrimary::start().await;
    primary.add_company("Retail Parts", "companyadmin").await;
    // At this cost a refusal of an unknown name takes a good part of a second.
    let slow = primary.start_twin(Policies { passwords: Policy { cost: 12, min_score: 2 }, ..quick() }).await;
    let url = slow.url();
    let admin = Caller::password(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await.at(&url);
    let key = admin.call("POST", "/v1/apikey", None).await.1;
    let hex = key["sync_api_key"].as_str().unwrap().to_owned();

    let (over, overloaded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let guess = |url: String| async move {
        // One name alone would soon have to wait.
        let body =
            json!({ "username": format!("nobody-{}", rand::random::<u32>()), "password": "some guess" });
        send(super::http().post(format!("{url}/login")).json(&body)).await.0
    };
    let flood: Vec<_> = (0..50)
        .map(|_| {
            let (url, over, overloaded) = (url.clone(), Arc::clone(&over), Arc::clone(&overloaded));
            tokio::spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    match guess(url.clone()).await {
                        503 => {
                            overloaded.fetch_add(1, Ordering::SeqCst);
                            // Its place in the queue is taken: it waits for one like any other client.
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        status => assert_eq!(status, 401),
                    }
                }
            })
        })
        .collect();
    let deadline = Instant::now() + Duration::from_mins(1);
    while overloaded.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "the flood never filled the queue");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let bad = format!("{}00", &hex[..hex.len() - 2]);
    for round in 0..5 {
        let before = overloaded.load(Ordering::SeqCst);
        assert_eq!(key_login(&url, &key).await.0, 200, "round {round}: a good key");
        for junk in [&bad[..], "aabb", &"ab".repeat(2_000)] {
            let answer = key_login(&url, &json!({ "sync_api_key": junk })).await;
            assert_eq!(answer.0, 401, "round {round}: a bad key: {}", answer.1);
        }
        assert_eq!(admin.get("/server").await.0, 200, "round {round}");
        // The queue still was full behind these.
        while overloaded.load(Ordering::SeqCst) == before {
            assert!(Instant::now() < deadline, "the flood ended by itself");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    over.store(true, Ordering::SeqCst);
    for client in flood {
        client.abort();
    }
}

/// The flood comes from elsewhere and has filled the queue of strangers; it takes every thread for hashing that it gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_logs_in_from_his_usual_place_while_strangers_flood_the_login() {
    let primary = TestPrimary::start().await;
    primary.add_company("Retail Parts", "companyadmin").await;
    let slow = primary.start_twin(Policies { passwords: Policy { cost: 10, min_score: 2 }, ..quick() }).await;
    let url = slow.url();
    let body = json!({ "username": "companyadmin", "password": COMPANY_ADMIN_PASSWORD });
    let login = async || send(super::http().post(format!("{url}/login")).json(&body)).await.0;
    assert_eq!(login().await, 200, "this is his usual place from now on");

    let elsewhere: IpAddr = "127.0.0.2".parse().unwrap();
    let elsewhere = reqwest::Client::builder().local_address(elsewhere).build().unwrap();
    let overloaded = Arc::new(AtomicUsize::new(0));
    let flood: Vec<_> = (0..50)
        .map(|client: usize| {
            let (url, elsewhere, overloaded) = (url.clone(), elsewhere.clone(), Arc::clone(&overloaded));
            tokio::spawn(async move {
                for round in 0.. {
                    // Half of them after the victim himself.
                    let name = if client.is_multiple_of(2) {
                        "companyadmin".to_owned()
                    } else {
                        format!("nobody-{client}-{round}")
                    };
                    let body = json!({ "username": name, "password": "some guess" });
                    match send(elsewhere.post(format!("{url}/login")).json(&body)).await.0 {
                        503 => {
                            overloaded.fetch_add(1, Ordering::SeqCst);
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        429 => tokio::time::sleep(Duration::from_millis(20)).await,
                        status => assert_eq!(status, 401),
                    }
                }
            })
        })
        .collect();
    let deadline = Instant::now() + Duration::from_mins(1);
    while overloaded.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "the flood never filled the queue");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for round in 0..10 {
        let before = overloaded.load(Ordering::SeqCst);
        assert_eq!(login().await, 200, "round {round}");
        while overloaded.load(Ordering::SeqCst) == before {
            assert!(Instant::now() < deadline, "the flood ended by itself");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for client in flood {
        client.abort();
    }
}

/// A store has eight connections. (On SQLite whoever reads waits for nobody.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_that_wait_for_the_database_leave_its_connections_to_others() {
    let Some(database) = TestDatabase::postgres("logins_that_wait_for_the_database") else { return };
    let primary = TestPrimary::start_on(database, None).await;
    let staff = Caller::password(&primary.url, ADMIN.0, ADMIN.1).await;
    let store = &primary.node.store;
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let lock = store.write(move |conn| -> Result<(), StoreError> {
        let sql = "LOCK TABLE login_failures IN ACCESS EXCLUSIVE MODE";
        store::on_backend!(conn, |c| diesel::sql_query(sql).execute(c))?;
        locked.send(()).unwrap();
        released.recv().unwrap();
        Ok(())
    });
    let flood = async {
        is_locked.await.unwrap();
        let logins: Vec<_> = (0..16)
            .map(|number| {
                let body = json!({ "username": format!("nobody-{number}"), "password": "some guess" });
                tokio::spawn(send(super::http().post(format!("{}/login", primary.url)).json(&body)))
            })
            .collect();
        let waiting = async || store.read(waiting).await.unwrap();
        tests::wait_until("logins wait for the lock", async || waiting().await >= 2).await;
        for _request in 0..20 {
            let answer = tokio::time::timeout(Duration::from_secs(5), staff.get("/server")).await;
            assert_eq!(answer.expect("no request waits for logins").0, 200);
        }
        assert!(waiting().await >= 2, "they still wait");
        release.send(()).unwrap();
        for login in logins {
            assert_eq!(login.await.unwrap().0, 401);
        }
    };
    let (lock, ()) = tokio::join!(lock, flood);
    lock.unwrap();
    primary.stop().await;
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

/// How many wait for a lock in this database.
fn waiting(conn: &mut Connection) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'login_failures'::regclass";
    let row: Count = store::on_backend!(conn, |c| diesel::sql_query(sql).get_result(c))?;
    Ok(row.count)
}
