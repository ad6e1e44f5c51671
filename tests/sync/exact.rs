//! What arrives is exactly what was published, and only what changed travels.

use serde_json::{Value, json};
use shared::store;
use shared::wire::Id;
use tests::sample::AcesFile;
use tests::{Pair, TestDatabase};

use super::{change, is_unchanged, pairs};

async fn slice_at(client: &shared::client::Client, id: Id) -> Value {
    client.get(&format!("/v1/slices/{id}")).await.unwrap()
}

#[tokio::test]
async fn a_slice_with_metadata_arrives_with_it_and_later_edits_too() {
    for pair in pairs("a_slice_with_metadata").await {
        let metadata = json!({ "vcdb-version": "2026-10-31", "pcdb-version": "2026-10-24", "": "empty key", "ü": "Größe" });
        let slice = pair.primary.add_slice("brake-pads", "aces-items", &metadata, pair.company).await;
        pair.primary.add_grain(slice, "EB-1 / Ä", "<Item>&amp; ü \u{1F697}</Item>").await;
        pair.primary.refresh(slice).await;
        assert_eq!(change(&pair.sync().await).grains_added, 1);
        let (ours, theirs) =
            (slice_at(&pair.primary.admin, slice).await, slice_at(&pair.secondary.admin, slice).await);
        for member in
            ["slice_name", "slice_type", "content_hash", "content_count", "content_date", "metadata"]
        {
            assert_eq!(ours[member], theirs[member], "{member}");
        }
        assert_eq!(theirs["metadata"], metadata);
        assert_eq!(theirs["sync_status"], "success");
        let (ours, theirs) = pair.grains(slice).await;
        assert_eq!(ours, theirs);
        assert_eq!(ours[0]["grain_key"], "eb-1 / ä");
        assert!(is_unchanged(&pair.sync().await));
    }
}

#[tokio::test]
async fn a_file_of_30_mb_arrives_byte_for_byte_and_an_equal_one_is_not_published_again() {
    let sample = AcesFile { parts: 1900, apps_per_part: 69.0, seed: 7, revision: 0 };
    let bytes = sample.to_bytes();
    assert!(bytes.len() > 30_000_000, "{}", bytes.len());
    let pair = Pair::start().await;
    let slice = pair.primary.add_slice("brake-pads", "aces-file", &json!({}), pair.company).await;
    assert!(pair.primary.publish_file(slice, "aces.xml", bytes.clone()).await.unwrap().changed);
    assert!(!pair.primary.publish_file(slice, "aces.xml", bytes.clone()).await.unwrap().changed);
    assert_eq!(change(&pair.sync().await).grains_added, 1);
    let grain: Value =
        pair.secondary.admin.get(&format!("/v1/grains/{slice}/level-1?payload=yes")).await.unwrap();
    let encoding: shared::payload::Encoding = grain["encoding"].as_str().unwrap().parse().unwrap();
    let arrived = encoding.decode(grain["payload"].as_str().unwrap(), 100_000_000).unwrap();
    assert!(arrived == bytes, "the file differs");
    assert_eq!(grain["source"], "aces.xml");
    assert!(is_unchanged(&pair.sync().await));
    // A changed file replaces the old one whole.
    let next = AcesFile { revision: 1, ..sample }.to_bytes();
    pair.primary.publish_file(slice, "aces.xml", next).await.unwrap();
    let moved = change(&pair.sync().await);
    assert_eq!((moved.grains_added, moved.grains_removed), (1, 1));
    let (ours, theirs) = pair.grains(slice).await;
    assert!(ours.len() == 1 && ours == theirs);
}

/// 10,000 grains of 1 KiB, put into the draft without 10,000 requests.
async fn ten_thousand(pair: &Pair, slice: Id) {
    let now = pair.primary.node.clock.now();
    pair.primary
        .node
        .store
        .write(move |conn| -> Result<(), store::StoreError> {
            let random = shared::clock::Random::seeded(1);
            let grains: Vec<_> = (0..10_000)
                .map(|n| {
                    let (id, key) = (random.id(), format!("item-{n}"));
                    let payload = format!("{n:0>1024}");
                    let digest = shared::crypto::set_hash::grain_digest(id, &key, "raw", "test", &payload);
                    store::grain::NewGrain {
                        slice_id: slice,
                        id,
                        grain_key: key,
                        source: "test".to_owned(),
                        encoding: "raw".to_owned(),
                        payload,
                        digest: digest.to_vec(),
                        added_in: 1,
                        created_at: now,
                    }
                })
                .collect();
            store::grain::insert(conn, &grains)
        })
        .await
        .unwrap();
    pair.primary.refresh(slice).await;
}

#[tokio::test]
async fn of_10000_grains_the_10_that_changed_travel_and_an_unchanged_slice_is_not_written() {
    for pair in pairs("of_10000_grains").await {
        let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        ten_thousand(&pair, slice).await;
        let moved = change(&pair.sync().await);
        assert_eq!((moved.grains_added, moved.payload_bytes), (10_000, 10_240_000));
        let (ours, theirs) = pair.grains(slice).await;
        assert!(ours.len() == 10_000 && ours == theirs);

        let before = content_rows(&pair, slice).await;
        assert!(is_unchanged(&pair.sync().await));
        assert_eq!(content_rows(&pair, slice).await, before, "no row of the content was touched");

        for n in (0..10_000).step_by(1000) {
            pair.primary.add_grain(slice, &format!("item-{n}"), &format!("changed {n}")).await;
        }
        assert!(is_unchanged(&pair.sync().await), "a draft is nobody's but the publisher's");
        pair.primary.refresh(slice).await;
        let moved = change(&pair.sync().await);
        assert_eq!((moved.grains_added, moved.grains_removed), (10, 10));
        assert!(moved.payload_bytes < 200, "{moved:?}");
        let (ours, theirs) = pair.grains(slice).await;
        assert!(ours.len() == 10_000 && ours == theirs);
    }
}

/// What would change if a sync wrote to a slice.
async fn content_rows(pair: &Pair, slice: Id) -> (Vec<(i64, Option<i64>)>, String, i64) {
    pair.secondary
        .secondary
        .node
        .store
        .read(move |conn| -> Result<_, store::StoreError> {
            let row = store::slice::find(conn, slice)?.unwrap();
            let grains = store::grain::page(conn, slice, row.current_version, None, 20_000)?;
            let rows = grains.iter().map(|grain| (grain.row_id, grain.removed_in)).collect();
            Ok((rows, row.updated_at.to_string(), row.current_version))
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn an_unknown_version_is_reconciled_by_ids_and_only_the_difference_travels() {
    for pair in pairs("an_unknown_version_is_reconciled").await {
        let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        for n in 0..50 {
            pair.primary.add_grain(slice, &format!("item-{n}"), &format!("payload {n}")).await;
        }
        pair.primary.refresh(slice).await;
        pair.sync().await;
        // As after a restore: the secondary no longer knows which version of the primary it has.
        pair.secondary
            .secondary
            .node
            .store
            .write(move |conn| {
                store::version::set_source(conn, slice, 1, (shared::clock::Random::System.id(), 77), None)
            })
            .await
            .unwrap();
        pair.primary.add_grain(slice, "item-7", "another payload").await;
        pair.primary.add_grain(slice, "item-new", "new").await;
        pair.primary.refresh(slice).await;
        let moved = change(&pair.sync().await);
        assert_eq!((moved.grains_added, moved.grains_removed), (2, 1));
        let (ours, theirs) = pair.grains(slice).await;
        assert!(ours.len() == 51 && ours == theirs);
    }
}

#[tokio::test]
async fn keys_that_swap_and_slices_that_empty_arrive_as_they_are() {
    for pair in pairs("keys_that_swap").await {
        let slice = pair.primary.add_slice("items", "pies-items", &json!({ "a": "1" }), pair.company).await;
        pair.primary.refresh(slice).await;
        pair.sync().await;
        let (ours, theirs) =
            (slice_at(&pair.primary.admin, slice).await, slice_at(&pair.secondary.admin, slice).await);
        assert_eq!(
            (&ours["content_hash"], &ours["metadata"]),
            (&theirs["content_hash"], &theirs["metadata"])
        );
        let a = pair.primary.add_grain(slice, "a", "1").await;
        pair.primary.add_grain(slice, "b", "2").await;
        pair.primary.refresh(slice).await;
        pair.sync().await;
        pair.primary.add_grain(slice, "a", "2").await;
        pair.primary.add_grain(slice, "b", "1").await;
        pair.primary.refresh(slice).await;
        pair.sync().await;
        let (ours, theirs) = pair.grains(slice).await;
        assert!(ours.len() == 2 && ours == theirs && ours.iter().all(|grain| grain["id"] != a.to_string()));
        for grain in ours {
            let path = format!("/v1/grains/{}", grain["id"].as_str().unwrap());
            pair.primary.admin.call(reqwest::Method::DELETE, &path).await.unwrap();
        }
        pair.primary.refresh(slice).await;
        assert_eq!(change(&pair.sync().await).grains_removed, 2);
        assert!(pair.grains(slice).await.1.is_empty());
        assert!(is_unchanged(&pair.sync().await));
    }
}

#[tokio::test]
async fn the_run_is_recorded_on_both_sides() {
    for database in TestDatabase::each("the_run_is_recorded") {
        let pair = Pair::start_on(TestDatabase::sqlite(), database).await;
        let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        pair.primary.add_grain(slice, "a", "1").await;
        pair.primary.refresh(slice).await;
        pair.sync().await;
        let there: Value = pair.primary.admin.get("/v1/activity").await.unwrap();
        let messages: Vec<&str> =
            there["data"].as_array().unwrap().iter().map(|row| row["message"].as_str().unwrap()).collect();
        assert_eq!(messages, ["Slice \"items\"", "Sync: 1 of 1 slices changed"]);
        assert_eq!(there["data"][0]["company_id"], pair.company.to_string());
        let here: Value = pair.secondary.admin.get("/v1/activity").await.unwrap();
        assert_eq!(here["data"][0]["message"], "Syncing \"Better Brakes\"");
        assert_eq!(here["data"][0]["success"], true);
        assert!(here["data"][0]["duration"].as_i64().unwrap() > 0);
    }
}
