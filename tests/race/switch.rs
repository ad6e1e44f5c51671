//! Switching off, while somebody changes something else of the same row.

use futures_util::StreamExt as _;
use futures_util::future::join;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use shared::node::service::user as service;
use shared::store::{self, StoreError};
use shared::wire::user::{CreateUser, Role};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, TestPrimary};

use super::{Http, forget_failures, on_each, text};

const ROUNDS: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_company_or_user_that_is_switched_off_stays_off_whatever_is_changed_at_the_same_time() {
    on_each("a_company_or_user_that_is_switched_off", |database| async move {
        let here = TestPrimary::start_on(database, None).await;
        let there = here.beside().await;
        let company = here.add_company("Retail Parts", "companyadmin").await;
        let http = Http::new();
        let staff = http.staff(&here.url, ADMIN.0).await;
        let user = http.person(&here.url, "companyadmin").await;
        let (_status, me) = Http::send(http.0.get(format!("{}/me", here.url)).bearer_auth(&user)).await;
        for path in [format!("/v1/companies/{company}"), format!("/v1/users/{}", me["id"])] {
            let patch = |node: &TestPrimary, body: serde_json::Value| {
                Http::send(http.0.patch(format!("{}{path}", node.url)).bearer_auth(&staff).json(&body))
            };
            let is_company = path.contains("companies");
            for round in 0..tests::times(ROUNDS) {
                let other = if is_company {
                    json!({ "name": format!("Retail Parts {round}") })
                } else {
                    json!({ "phone": format!("555-{round}") })
                };
                assert_eq!(patch(&here, json!({ "active": true })).await.0, 200);
                let (off, renamed) =
                    join(patch(&here, json!({ "active": false })), patch(&there, other.clone())).await;
                assert_eq!((off.0, renamed.0), (200, 200), "{off:?} {renamed:?}");
                let (status, after) =
                    Http::send(http.0.get(format!("{}{path}", here.url)).bearer_auth(&staff)).await;
                assert_eq!(status, 200, "{after}");
                assert_eq!(after["active"], false, "{path}, round {round}: switched on again by {other}");
                let field = if is_company { "name" } else { "phone" };
                assert_eq!(
                    after[field], other[field],
                    "{path}, round {round}: and the other change is there too"
                );
            }
        }
        there.stop().await;
        here.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_super_admins_who_switch_each_other_off_at_once_do_not_lock_everybody_out() {
    on_each("two_super_admins", |database| async move {
        let here = TestPrimary::start_on(database, None).await;
        let there = here.beside().await;
        let http = Http::new();
        let second = CreateUser {
            first_name: "Second".to_owned(),
            last_name: "Admin".to_owned(),
            username: "second".to_owned(),
            email: "second@example.com".to_owned(),
            password: ADMIN.1.into(),
            password_confirm: ADMIN.1.into(),
            company_id: here.server_id,
            role: 100,
            phone: String::new(),
            display_name: String::new(),
            active: Some(true),
        };
        let second = service::insert(&here.node, second, Role::SuperAdmin).await.unwrap().id;
        for round in 0..tests::times(ROUNDS) {
            let names = [ADMIN.0, "second"];
            let ids = here
                .node
                .store
                .write(move |conn| {
                    let mut ids = Vec::new();
                    for name in names {
                        let mut user = store::user::find_by_username(conn, name)?.unwrap();
                        user.active = true;
                        store::user::update(conn, &user)?;
                        ids.push(user.id);
                    }
                    Ok::<_, StoreError>(ids)
                })
                .await
                .unwrap();
            assert_eq!(ids[1], second);
            let (first, other) =
                join(http.staff(&here.url, names[0]), http.staff(&there.url, names[1])).await;
            let off = |node: &TestPrimary, token: &str, id: i64| {
                let path = format!("{}/v1/users/{id}", node.url);
                Http::send(http.0.patch(path).bearer_auth(token).json(&json!({ "active": false })))
            };
            let (one, two) = join(off(&here, &first, ids[1]), off(&there, &other, ids[0])).await;
            for (status, body) in [&one, &two] {
                assert!([200, 401, 409].contains(status), "{status}: {body}");
            }
            let left = here.node.store.read(|conn| store::user::count_active(conn, 100)).await.unwrap();
            assert_eq!(left, 1, "round {round}: {one:?} {two:?}");
        }
        there.stop().await;
        here.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_meets_its_user_being_switched_off_leaves_nothing_that_works_later() {
    on_each("a_login_that_meets", |database| async move {
        let here = TestPrimary::start_on(database, None).await;
        let there = here.beside().await;
        here.add_company("Retail Parts", "companyadmin").await;
        let http = Http::new();
        let staff = http.staff(&here.url, ADMIN.0).await;
        let user = here.node.store.read(|conn| store::user::find_by_username(conn, "companyadmin")).await;
        let path = format!("{}/v1/users/{}", here.url, user.unwrap().unwrap().id);
        let switch = |active: bool| {
            let request = http.0.patch(&path).bearer_auth(&staff);
            Http::send(request.json(&json!({ "active": active })))
        };
        let body = json!({ "username": "companyadmin", "password": COMPANY_ADMIN_PASSWORD });
        let mut met = 0;
        for (round, before) in (0..tests::times(ROUNDS)).zip((0..4).cycle()) {
            let mut logins: FuturesUnordered<_> = (0..4)
                .map(|n| {
                    let url = [&here.url, &there.url][n % 2];
                    Http::send(http.0.post(format!("{url}/login")).json(&body))
                })
                .collect();
            // Switched off after none, one, two or three of them were answered.
            let before: Vec<_> = logins.by_ref().take(before).collect().await;
            let (during, off) = join(logins.collect::<Vec<_>>(), switch(false)).await;
            assert_eq!(off.0, 200, "{off:?}");
            assert_eq!(switch(true).await.0, 200);
            // Who was refused in one round must not have to wait in the next.
            forget_failures(&here.node.store).await;
            for (status, login) in before.into_iter().chain(during) {
                assert!([200, 401].contains(&status), "{status}: {login}");
                if status == 401 {
                    continue;
                }
                met += 1;
                let refresh = format!("{}/refresh/{}", there.url, text(&login["refresh_token"]));
                let (refreshed, _body) = Http::send(http.0.get(refresh)).await;
                let is_live = http.is_live(&there.url, &text(&login["token"])).await;
                assert_eq!(
                    (refreshed, is_live),
                    (401, false),
                    "round {round}: it outlived the switching off"
                );
            }
        }
        assert!(met > 0, "some logins were answered before");
        there.stop().await;
        here.stop().await;
    })
    .await;
}
