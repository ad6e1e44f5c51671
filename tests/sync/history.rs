//! Versions: listed, compared, and brought back exactly, whatever else happens to the slice.

use serde_json::{Value, json};
use shared::client::ClientError;
use shared::node::service::{history, slice as slices};
use shared::store::stage::StageRow;
use shared::store::{self, Connection, StoreError};
use shared::wire::{Id, Timestamp};
use tests::node::{COMPANY_ADMIN_PASSWORD, login, published_grains};
use tests::{Pair, TestDatabase, TestPrimary};

use super::{change, is_unchanged, pairs};

async fn rollback(primary: &TestPrimary, slice: Id, version: i64) -> Result<Value, ClientError> {
    primary.admin.post(&format!("/v1/slices/{slice}/rollback"), &json!({ "version": version })).await
}

fn rollback_by_anna(slice_id: Id, run: Id, version: i64, touched_at: Timestamp) -> StageRow {
    StageRow {
        slice_id,
        run,
        purpose: "rollback".to_owned(),
        owner: "anna".to_owned(),
        source_epoch: None,
        source_version: version,
        source_digest: None,
        mark: None,
        unfinished_row: None,
        touched_at,
    }
}

async fn compare(primary: &TestPrimary, slice: Id, query: &str) -> Value {
    primary.admin.get(&format!("/v1/slices/{slice}/compare?{query}")).await.unwrap()
}

async fn write<T: Send + 'static>(
    primary: &TestPrimary,
    change: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
) -> T {
    primary.node.store.write(change).await.unwrap()
}

async fn version(primary: &TestPrimary, slice: Id, number: i64) -> store::version::VersionRow {
    primary.node.store.read(move |conn| store::version::find(conn, slice, number)).await.unwrap().unwrap()
}

async fn set_metadata(primary: &TestPrimary, slice: Id, draft: i64, pairs: &[(&str, &str)]) {
    let pairs: Vec<(String, String)> =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    write(primary, move |conn| store::metadata::replace(conn, slice, draft, &pairs)).await;
}

async fn remove_grain(primary: &TestPrimary, id: Id) {
    primary.admin.call(reqwest::Method::DELETE, &format!("/v1/grains/{id}")).await.unwrap();
}

/// Three versions that share little: what `a` is changes, `b` goes, `large` is replaced, `c` comes.
async fn two_versions(primary: &TestPrimary, company: Id) -> (Id, Vec<Value>) {
    let slice = primary.add_slice("items", "pies-items", &json!({ "k": "1", "gone": "x" }), company).await;
    primary.add_grain(slice, "a", "first").await;
    let b = primary.add_grain(slice, "b", "b").await;
    primary.add_grain(slice, "large", &"Ä1".repeat(1_500_000)).await;
    primary.add_grain(slice, "same", "same").await;
    primary.refresh(slice).await;
    let first = published_grains(&primary.node.store, slice).await;
    primary.add_grain(slice, "a", "second").await;
    remove_grain(primary, b).await;
    primary.add_grain(slice, "large", "short").await;
    primary.add_grain(slice, "c", "c").await;
    set_metadata(primary, slice, 2, &[("k", "2"), ("new", "y")]).await;
    primary.refresh(slice).await;
    (slice, first)
}

#[tokio::test]
async fn a_version_comes_back_to_the_byte_and_receivers_get_it_as_any_change() {
    for pair in pairs("a_version_comes_back").await {
        let primary = &pair.primary;
        let (slice, first) = two_versions(primary, pair.company).await;
        pair.sync().await;
        let answer = rollback(primary, slice, 1).await.unwrap();
        assert_eq!((&answer["version"], &answer["changed"]), (&json!(3), &json!(true)));
        let (old, new) = (version(primary, slice, 1).await, version(primary, slice, 3).await);
        assert_eq!(
            (
                &old.set_hash,
                &old.digest,
                &old.content_hash,
                &old.ids_hash,
                old.grain_count,
                old.payload_bytes
            ),
            (
                &new.set_hash,
                &new.digest,
                &new.content_hash,
                &new.ids_hash,
                new.grain_count,
                new.payload_bytes
            )
        );
        assert!(new.content_date > old.content_date);
        assert_eq!(published_grains(&primary.node.store, slice).await, first, "ids, keys and payloads");
        // What was computed at publishing is what computing anew gives.
        let (ids, full) = primary
            .node
            .store
            .read(move |conn| shared::node::service::version::content_hashes(conn, slice, 3))
            .await
            .unwrap();
        assert_eq!((ids, full), (new.ids_hash.clone(), new.content_hash.clone()));
        let moved = change(&pair.sync().await);
        assert_eq!((moved.grains_added, moved.grains_removed), (3, 3), "only the difference travels");
        let (ours, theirs) = pair.grains(slice).await;
        assert!(ours == theirs && ours == first);
        let theirs: Value = pair.secondary.admin.get(&format!("/v1/slices/{slice}")).await.unwrap();
        assert_eq!(theirs["metadata"], json!({ "k": "1", "gone": "x" }));
        assert_eq!(theirs["content_hash"], new.content_hash);
        assert!(is_unchanged(&pair.sync().await));
        // Forth again, and by the file of a draft: nothing was left behind.
        assert_eq!(rollback(primary, slice, 2).await.unwrap()["version"], 4);
        assert_eq!(version(primary, slice, 4).await.digest, version(primary, slice, 2).await.digest);
        pair.sync().await;
        let (ours, theirs) = pair.grains(slice).await;
        assert!(ours == theirs && ours.len() == 4);
        primary.refresh(slice).await;
        let listed: Value = primary.admin.get(&format!("/v1/slices/{slice}/versions")).await.unwrap();
        let numbers: Vec<_> =
            listed["data"].as_array().unwrap().iter().map(|row| row["number"].clone()).collect();
        assert_eq!(numbers, [4, 3, 2, 1], "newest first; refreshing an empty draft publishes nothing");
        assert_eq!(
            (&listed["data"][0]["current"], &listed["data"][1]["current"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(listed["data"][3]["content_hash"], old.content_hash);
        assert_eq!(listed["data"][3]["payload_bytes"], 4_500_010);
    }
}

#[tokio::test]
async fn a_receiver_that_skipped_what_was_taken_back_has_nothing_to_do() {
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
    pair.primary.add_grain(slice, "a", "1").await;
    pair.primary.refresh(slice).await;
    pair.sync().await;
    pair.primary.add_grain(slice, "a", "2").await;
    pair.primary.refresh(slice).await;
    rollback(&pair.primary, slice, 1).await.unwrap();
    assert!(is_unchanged(&pair.sync().await));
    let receivers: Value = pair.primary.admin.get(&format!("/v1/slices/{slice}/receivers")).await.unwrap();
    assert_eq!(
        (&receivers["data"][0]["version"], &receivers["data"][0]["current"]),
        (&json!(3), &json!(true))
    );
    // A grain that came back is the same grain: nothing differs between 1 and 3.
    let same = compare(&pair.primary, slice, "from=1&to=3").await;
    assert_eq!(
        (&same["added"]["count"], &same["removed"]["count"], &same["replaced"]["count"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert_eq!(
        rollback(&pair.primary, slice, 1).await.unwrap()["changed"],
        false,
        "it has that content already"
    );
}

#[tokio::test]
async fn what_cannot_be_rolled_back_is_refused_and_changes_nothing() {
    for pair in pairs("what_cannot_be_rolled_back").await {
        let primary = &pair.primary;
        let (slice, _first) = two_versions(primary, pair.company).await;
        let second = published_grains(&primary.node.store, slice).await;
        let unchanged = rollback(primary, slice, 2).await.unwrap();
        assert_eq!((&unchanged["version"], &unchanged["changed"]), (&json!(2), &json!(false)));
        for unknown in [0, -1, 3, i64::MAX] {
            assert!(rollback(primary, slice, unknown).await.unwrap_err().is_status(404), "{unknown}");
        }
        assert!(rollback(primary, primary.server_id, 1).await.unwrap_err().is_status(404));
        let path = format!("/v1/slices/{slice}/rollback");
        for body in
            [json!({}), json!({ "version": null }), json!({ "version": "1" }), json!({ "version": 1.5 })]
        {
            assert!(primary.admin.post::<Value>(&path, &body).await.unwrap_err().is_status(400), "{body}");
        }
        // Whoever edits comes first.
        let draft = primary.add_grain(slice, "draft", "draft").await;
        let refused = rollback(primary, slice, 1).await.unwrap_err();
        assert!(refused.is_status(409) && refused.to_string().contains("unpublished changes"), "{refused}");
        remove_grain(primary, draft).await;
        slices::lock_as(&primary.node, "somebody", slice).await.unwrap();
        let refused = rollback(primary, slice, 1).await.unwrap_err();
        assert!(refused.is_status(409) && refused.to_string().contains("somebody"), "{refused}");
        slices::unlock_as(&primary.node, None, slice).await.unwrap();
        // Who may not.
        let person = login(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
        for (method, path) in [
            ("GET", format!("/v1/slices/{slice}/versions")),
            ("GET", format!("/v1/slices/{slice}/compare?from=1")),
            ("POST", path.clone()),
        ] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let refused = match method.as_str() {
                "POST" => person.post::<Value>(&path, &json!({ "version": 1 })).await.unwrap_err(),
                _ => person.get::<Value>(&path).await.unwrap_err(),
            };
            assert!(refused.is_status(403), "{path}: {refused}");
            // On a copy there is nothing of the kind.
            let refused = match method.as_str() {
                "POST" => {
                    pair.secondary.admin.post::<Value>(&path, &json!({ "version": 1 })).await.unwrap_err()
                }
                _ => pair.secondary.admin.get::<Value>(&path).await.unwrap_err(),
            };
            assert!(refused.is_status(403), "{path}: {refused}");
        }
        for query in ["", "from=x", "from=1&to=x"] {
            let path = format!("/v1/slices/{slice}/compare?{query}");
            assert!(primary.admin.get::<Value>(&path).await.unwrap_err().is_status(400), "{query}");
        }
        for query in ["from=0", "from=1&to=9"] {
            let path = format!("/v1/slices/{slice}/compare?{query}");
            assert!(primary.admin.get::<Value>(&path).await.unwrap_err().is_status(404), "{query}");
        }
        assert_eq!(published_grains(&primary.node.store, slice).await, second);
        // His own lock hinders nobody, and stays.
        primary.admin.call(reqwest::Method::PUT, &format!("/v1/slices/lock/{slice}")).await.unwrap();
        rollback(primary, slice, 1).await.unwrap();
        let shown: Value = primary.admin.get(&format!("/v1/slices/{slice}")).await.unwrap();
        assert_eq!(shown["allow_sync"], false);
    }
}

#[tokio::test]
async fn a_grain_that_lives_elsewhere_by_now_stops_a_rollback_and_nothing_is_left_of_it() {
    for database in TestDatabase::each("a_grain_that_lives_elsewhere") {
        let primary = TestPrimary::start_on(database, None).await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let slice = primary.add_slice("items", "pies-items", &json!({ "k": "1" }), company).await;
        let other = primary.add_slice("others", "pies-items", &json!({}), company).await;
        primary.add_grain(slice, "a", "a").await;
        let moved = primary.add_grain(slice, "b", "b").await;
        primary.refresh(slice).await;
        remove_grain(&primary, moved).await;
        primary.add_grain(slice, "c", "c").await;
        primary.refresh(slice).await;
        let body =
            json!({ "id": moved, "slice_id": other, "grain_key": "b", "encoding": "raw", "payload": "b" });
        let _grain: Value = primary.admin.post("/v1/grains", &body).await.unwrap();
        let refused = rollback(&primary, slice, 1).await.unwrap_err();
        assert!(refused.is_status(409) && refused.to_string().contains("another slice"), "{refused}");
        let draft: Value = primary.admin.get(&format!("/v1/grains/slice/{slice}")).await.unwrap();
        let keys: Vec<&str> =
            draft["data"].as_array().unwrap().iter().map(|row| row["grain_key"].as_str().unwrap()).collect();
        assert!(keys.len() == 2 && keys.contains(&"a") && keys.contains(&"c"), "{keys:?}");
        remove_grain(&primary, moved).await;
        assert_eq!(rollback(&primary, slice, 1).await.unwrap()["version"], 3);
    }
}

/// Thousands of grains: several batches.
async fn many(primary: &TestPrimary, slice: Id, version: i64, keys: std::ops::Range<u32>) {
    write(primary, move |conn| {
        let random = shared::clock::Random::System;
        let now = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
        let grains: Vec<_> = keys
            .map(|n| {
                let (id, key) = (random.id(), format!("item-{n:05}"));
                let payload = format!("{version}-{n:0>500}");
                let digest = shared::crypto::set_hash::grain_digest(id, &key, "raw", "test", &payload);
                store::grain::NewGrain {
                    slice_id: slice,
                    id,
                    grain_key: key,
                    source: "test".to_owned(),
                    encoding: "raw".to_owned(),
                    payload,
                    digest: digest.to_vec(),
                    added_in: version,
                    created_at: now,
                }
            })
            .collect();
        store::grain::insert(conn, &grains)
    })
    .await;
}

async fn remove_all(primary: &TestPrimary, slice: Id, version: i64) {
    write(primary, move |conn| {
        let ids = store::grain::index_page(conn, slice, version - 1, None, 100_000)?;
        let ids: Vec<Id> = ids.into_iter().map(|(id, _digest)| id).collect();
        store::grain::remove(conn, slice, version, &ids).map(|_count| ())
    })
    .await;
}

#[tokio::test]
async fn rollbacks_at_once_and_edits_between_them_never_mix() {
    for pair in pairs("rollbacks_at_once").await {
        let primary = &pair.primary;
        let slice = primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        many(primary, slice, 1, 0..3_000).await;
        primary.refresh(slice).await;
        remove_all(primary, slice, 2).await;
        many(primary, slice, 2, 1_000..4_000).await;
        primary.refresh(slice).await;
        let digest = version(primary, slice, 1).await.digest;
        let edits = async {
            let (mut refused, mut taken) = (0, 0);
            for n in 0..40 {
                let body = json!({ "slice_id": slice, "grain_key": format!("edit-{n}"), "encoding": "raw", "payload": "x" });
                match primary.admin.post::<Value>("/v1/grains", &body).await {
                    Ok(_) => taken += 1,
                    Err(error) if error.is_status(409) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
                match primary.admin.call(reqwest::Method::POST, &format!("/v1/slices/refresh/{slice}")).await
                {
                    Ok(()) => {}
                    Err(error) if error.is_status(409) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            (refused, taken)
        };
        let ours = history::rollback_as(&primary.node, "somebody", slice, 1);
        let (first, second, third, (refused, taken)) =
            tokio::join!(rollback(primary, slice, 1), rollback(primary, slice, 1), ours, edits);
        let mut done = Vec::new();
        for outcome in [first, second] {
            match outcome {
                Ok(answer) => done.push(answer["version"].as_i64().unwrap()),
                Err(error) => assert!(error.is_status(409), "{error}"),
            }
        }
        match third {
            Ok(published) => done.push(published.version),
            Err(error) => assert_eq!(error.status_and_code().0, 409, "{error}"),
        }
        assert!(!done.is_empty() || taken > 0, "somebody got it: {refused} edits were refused");
        for number in done {
            assert_eq!(
                version(primary, slice, number).await.digest,
                digest,
                "version {number} is exactly that"
            );
        }
        // Whatever came last, it can be synced, and rolled back once more.
        primary.refresh(slice).await;
        pair.sync().await;
        rollback(primary, slice, 1).await.unwrap();
        pair.sync().await;
        let (ours, theirs) = pair.grains(slice).await;
        assert!(ours.len() == 3_000 && ours == theirs);
    }
}

#[tokio::test]
async fn a_rollback_that_was_cut_off_is_never_published_and_the_next_one_undoes_it() {
    for pair in pairs("a_rollback_that_was_cut_off").await {
        let primary = &pair.primary;
        let (slice, first) = two_versions(primary, pair.company).await;
        let second = published_grains(&primary.node.store, slice).await;
        // As a process leaves it that is killed in the middle: half the draft, and its row.
        let cut_off = async |touched_at: Timestamp| {
            let run = primary.node.random.id();
            write(primary, move |conn| {
                store::stage::begin(conn, &rollback_by_anna(slice, run, 1, touched_at))?;
                let newer = store::grain::added_between(conn, slice, 1, 2, None, 2)?;
                let ids: Vec<Id> = newer.iter().map(|row| row.id).collect();
                store::grain::remove(conn, slice, 3, &ids)?;
                let gone = store::grain::removed_between(conn, slice, 1, 2, None, 10)?;
                let keys: Vec<_> = newer.iter().map(|row| row.grain_key.clone()).collect();
                let back: Vec<_> = gone.into_iter().filter(|row| keys.contains(&row.grain_key)).collect();
                store::history::bring_back(conn, 3, &back)
            })
            .await;
        };
        let old = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        for back_to in [2, 1] {
            cut_off(old).await;
            assert_eq!(
                published_grains(&primary.node.store, slice).await,
                second,
                "readers see what they saw"
            );
            let body = json!({ "slice_id": slice, "grain_key": "x", "encoding": "raw", "payload": "x" });
            for refused in [
                primary.admin.post::<Value>("/v1/grains", &body).await.unwrap_err(),
                primary
                    .admin
                    .post::<Value>(&format!("/v1/slices/refresh/{slice}"), &json!({}))
                    .await
                    .unwrap_err(),
            ] {
                assert!(refused.is_status(409) && refused.to_string().contains("cut off"), "{refused}");
            }
            let answer = rollback(primary, slice, back_to).await.unwrap();
            assert_eq!(answer["changed"], back_to == 1);
            let now = published_grains(&primary.node.store, slice).await;
            assert_eq!(now, if back_to == 1 { first.clone() } else { second.clone() });
            primary.refresh(slice).await;
            assert_eq!(published_grains(&primary.node.store, slice).await, now, "the draft is empty");
        }
        // One that lives is nobody's to touch.
        let now = primary.node.clock.now();
        write(primary, move |conn| store::stage::begin(conn, &rollback_by_anna(slice, slice, 2, now))).await;
        let refused = rollback(primary, slice, 2).await.unwrap_err();
        assert!(refused.is_status(409) && refused.to_string().contains("a rollback by anna"), "{refused}");
        let lock = format!("/v1/slices/lock/{slice}");
        let refused = primary.admin.call(reqwest::Method::PUT, &lock).await.unwrap_err();
        assert!(refused.is_status(409) && refused.to_string().contains("a rollback by anna"), "{refused}");
    }
}

#[tokio::test]
async fn two_versions_are_compared_by_keys_in_both_directions_and_answers_are_bounded() {
    for pair in pairs("two_versions_are_compared").await {
        let primary = &pair.primary;
        let (slice, _first) = two_versions(primary, pair.company).await;
        let forth = compare(primary, slice, "from=1&to=2").await;
        assert_eq!(forth["added"], json!({ "count": 1, "keys": ["c"] }));
        assert_eq!(forth["removed"], json!({ "count": 1, "keys": ["b"] }));
        assert_eq!(forth["replaced"], json!({ "count": 2, "keys": ["a", "large"] }));
        assert_eq!(
            forth["metadata"],
            json!([
                { "key": "gone", "from": "x", "to": null },
                { "key": "k", "from": "1", "to": "2" },
                { "key": "new", "from": null, "to": "y" },
            ])
        );
        let back = compare(primary, slice, "from=2&to=1").await;
        assert_eq!(
            (&back["added"], &back["removed"], &back["replaced"]),
            (&forth["removed"], &forth["added"], &forth["replaced"])
        );
        let none = compare(primary, slice, "from=2").await;
        assert_eq!(
            (&none["to"], &none["added"]["count"], &none["metadata"]),
            (&json!(2), &json!(0), &json!([]))
        );
        many(primary, slice, 3, 0..2_500).await;
        primary.refresh(slice).await;
        let much = compare(primary, slice, "from=1").await;
        let keys = much["added"]["keys"].as_array().unwrap();
        assert_eq!((&much["added"]["count"], keys.len()), (&json!(2_501), 1_000));
        assert_eq!(
            (keys[0].as_str(), keys[999].as_str()),
            (Some("c"), Some("item-00998")),
            "the first by key"
        );
    }
}
