//! Versions that are no longer kept go, and what somebody reads stays.

use std::collections::BTreeSet;

use diesel::{RunQueryDsl as _, sql_query};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use shared::node::service::retention::{self, Retention};
use shared::store::{self, Store, StoreError};
use shared::wire::{Id, Timestamp};
use tests::TestPrimary;
use tests::node::published_grains;

use super::{change, pairs};

const MIB: usize = 1024 * 1024;

/// Everything there is was made long ago.
async fn grow_old(store: &Store) {
    store
        .write(|conn| -> Result<(), StoreError> {
            for table in ["slice_versions", "grains"] {
                let sql = format!("UPDATE {table} SET created_at = '2026-01-01T00:00:00.000000Z'");
                store::on_backend!(conn, |c| sql_query(sql).execute(c))?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

async fn versions(store: &Store, slice: Id) -> BTreeSet<i64> {
    let mut kept = BTreeSet::new();
    for version in 0..100 {
        if store.read(move |conn| store::version::exists(conn, slice, version)).await.unwrap() {
            kept.insert(version);
        }
    }
    kept
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

/// Rows of grains, pieces of long payloads and metadata, whatever version they belong to.
async fn rows(store: &Store) -> [i64; 3] {
    store
        .read(|conn| -> Result<_, StoreError> {
            let mut counts = [0; 3];
            for (count, table) in counts.iter_mut().zip(["grains", "grain_chunks", "slice_metadata"]) {
                let sql = format!("SELECT COUNT(*) AS count FROM {table}");
                *count = store::on_backend!(conn, |c| sql_query(sql).get_result::<Count>(c))?.count;
            }
            Ok(counts)
        })
        .await
        .unwrap()
}

/// A version for each number, of a grain that stays, one that changes, a long payload in the second and metadata that change.
async fn publish(primary: &TestPrimary, slice: Id, numbers: std::ops::RangeInclusive<usize>) {
    for number in numbers {
        match number {
            1 => drop(primary.add_grain(slice, "same", "same").await),
            2 => drop(primary.add_grain(slice, "long", &"x".repeat(9 * MIB)).await),
            3 => drop(primary.add_grain(slice, "long", "short").await),
            _ => {}
        }
        primary.add_grain(slice, "changing", &format!("payload {number}")).await;
        let pairs = vec![("number".to_owned(), number.to_string())];
        let set = move |conn: &mut store::Connection| -> Result<(), StoreError> {
            let draft = store::slice::find(conn, slice)?.unwrap().current_version + 1;
            store::metadata::replace(conn, slice, draft, &pairs)
        };
        primary.node.store.write(set).await.unwrap();
        primary.refresh(slice).await;
    }
}

#[tokio::test]
async fn what_is_old_and_not_among_the_newest_goes_with_all_that_only_it_had() {
    for pair in pairs("what_is_old_and_not_among_the_newest").await {
        let (primary, store) = (&pair.primary, &pair.primary.node.store);
        let slice = primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        publish(primary, slice, 1..=1).await;
        pair.sync().await;
        publish(primary, slice, 2..=60).await;
        retention::collect(&primary.node, false).await.unwrap();
        assert_eq!(versions(store, slice).await.len(), 61, "all are young");
        let content = published_grains(store, slice).await;
        grow_old(store).await;
        retention::collect(&primary.node, false).await.unwrap();
        let kept = versions(store, slice).await;
        assert_eq!((kept.len(), kept.first()), (50, Some(&11)));
        assert_eq!(published_grains(store, slice).await, content);
        // Fifty of the one that changes, `same` and the short `long`; and fifty pairs.
        assert_eq!(rows(store).await, [52, 0, 50]);
        let listed: Value =
            primary.admin.get(&format!("/v1/slices/{slice}/versions?pagesize=100")).await.unwrap();
        assert_eq!(listed["paging"]["items_total"], 50, "{listed}");
        let compare = format!("/v1/slices/{slice}/compare?from=");
        let shown: Value = primary.admin.get(&format!("{compare}11")).await.unwrap();
        assert_eq!(shown["replaced"]["keys"], json!(["changing"]), "{shown}");
        let refused = primary.admin.get::<Value>(&format!("{compare}10")).await.unwrap_err();
        assert!(refused.is_status(404) && refused.to_string().contains("no longer kept"), "{refused}");
        // The receiver's version is forgotten: the two compare ids.
        let moved = change(&pair.sync().await);
        assert_eq!((moved.grains_added, moved.grains_removed), (2, 1));
        assert_eq!(published_grains(&pair.secondary.secondary.node.store, slice).await, content);
        // Nothing is left to do, and doing it again changes nothing.
        retention::collect(&primary.node, true).await.unwrap();
        assert_eq!(rows(store).await, [52, 0, 50]);
    }
}

#[tokio::test]
async fn a_version_that_is_asked_for_by_its_number_is_leased_and_gone_when_it_was_collected() {
    for pair in pairs("a_version_that_is_asked_for").await {
        let (primary, store) = (&pair.primary, &pair.primary.node.store);
        let slice = primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        publish(primary, slice, 1..=60).await;
        let client =
            tests::node::login(&primary.url, "companyadmin", tests::node::COMPANY_ADMIN_PASSWORD).await;
        let _key: Value = client.post("/v1/apikey", &json!({})).await.unwrap();
        let feed = format!("/v1/sync/slices/{slice}/feed?version=");
        // A receiver that goes on with what it had begun.
        let (status, _lines) = ask(primary, &format!("{feed}5")).await;
        assert_eq!(status, 200);
        grow_old(store).await;
        retention::collect(&primary.node, false).await.unwrap();
        assert_eq!(versions(store, slice).await.first(), Some(&5), "it is leased, and all since stay too");
        let (status, lines) = ask(primary, &format!("{feed}5")).await;
        assert!(status == 200 && lines.ends_with("\"end\"\n"), "{status} {lines}");
        assert!(lines.contains("payload 5") && !lines.contains("payload 6"), "{lines}");
        let (status, body) = ask(primary, &format!("{feed}4")).await;
        assert!(status == 410 && body.contains("no longer kept"), "{status} {body}");
        // Nobody asked for long.
        let later = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        store
            .write(move |conn| -> Result<(), StoreError> {
                let sql = format!("UPDATE version_leases SET expires_at = '{later}'");
                store::on_backend!(conn, |c| sql_query(sql).execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
        retention::collect(&primary.node, false).await.unwrap();
        assert_eq!(versions(store, slice).await.first(), Some(&11));
        let (status, _body) = ask(primary, &format!("{feed}5")).await;
        assert_eq!(status, 410);
    }
}

/// Status and body, as the admin of the company that subscribes.
async fn ask(primary: &TestPrimary, path: &str) -> (u16, String) {
    let answer = request(primary, path).await.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn request(primary: &TestPrimary, path: &str) -> reqwest::RequestBuilder {
    let http = tests::stranger();
    let body = json!({ "username": "companyadmin", "password": tests::node::COMPANY_ADMIN_PASSWORD });
    let login: Value =
        http.post(format!("{}/login", primary.url)).json(&body).send().await.unwrap().json().await.unwrap();
    http.get(format!("{}{path}", primary.url)).bearer_auth(login["token"].as_str().unwrap())
}

#[tokio::test]
async fn a_reader_whose_version_is_collected_under_him_never_gets_a_feed_that_looks_whole() {
    for pair in pairs("a_reader_whose_version_is_collected").await {
        let (primary, store) = (&pair.primary, &pair.primary.node.store);
        let slice = primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        let now = primary.node.clock.now();
        for batch in 0..20 {
            store
                .write(move |conn| -> Result<(), StoreError> {
                    let grains: Vec<_> = (0..50)
                        .map(|number| {
                            let id = shared::clock::Random::System.id();
                            let (key, payload) = (format!("{batch} {number}"), "x".repeat(60_000));
                            store::grain::NewGrain {
                                slice_id: slice,
                                id,
                                digest: shared::crypto::set_hash::grain_digest(id, &key, "raw", "", &payload)
                                    .to_vec(),
                                grain_key: key,
                                source: String::new(),
                                encoding: "raw".to_owned(),
                                payload,
                                added_in: 1,
                                created_at: now,
                            }
                        })
                        .collect();
                    store::grain::insert(conn, &grains)
                })
                .await
                .unwrap();
        }
        primary.refresh(slice).await;
        let path = format!("/v1/sync/slices/{slice}/feed");
        let answer = request(primary, &path).await.send().await.unwrap();
        let mut body = answer.bytes_stream();
        let mut read = body.next().await.unwrap().unwrap().len();
        // 60 MB do not fit into what lies between the two: he stands in the middle.
        primary.publish_file(slice, "a.xml", b"<ACES/>".to_vec()).await.unwrap();
        publish(primary, slice, 5..=60).await;
        grow_old(store).await;
        retention::collect(&primary.node, false).await.unwrap();
        assert_eq!(rows(store).await[0], 51, "his rows are gone");
        let mut end = Vec::new();
        let broken = loop {
            match body.next().await {
                Some(Ok(chunk)) => {
                    read += chunk.len();
                    end = chunk.to_vec();
                }
                Some(Err(_broken)) => break true,
                None => break false,
            }
        };
        assert!(broken && !end.ends_with(b"\"end\"\n") && read < 60_000_000, "{broken} {read}");
    }
}

#[test]
fn the_settings_say_how_much_is_kept() {
    let parse = |text| shared::server::config::ConfigFile::parse(text).unwrap().policies().retention;
    assert_eq!(parse(""), Retention { versions: 50, young: chrono::Duration::hours(24) });
    let own = parse("keep_versions = 3\nkeep_hours = 0");
    assert_eq!(own, Retention { versions: 3, young: chrono::Duration::zero() });
}
