//! What ended every sync of the reference until somebody repaired the database by hand.

use std::sync::Arc;

use secondary::sync::Outcome;
use serde_json::{Value, json};
use shared::store;
use tests::liar::Liar;
use tests::node::all_grains;
use tests::{TestDatabase, TestPrimary, TestSecondary};

use super::pairs;

/// A slice with metadata, from a primary that speaks the reference's wire and no other.
#[tokio::test]
async fn a_slice_with_metadata_arrives_over_the_wire_of_the_reference_and_stays_equal() {
    for database in TestDatabase::each("a_slice_with_metadata_over_the_go_wire") {
        let primary = TestPrimary::start().await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let metadata = json!({ "vcdb-version": "2026-10-31", "pcdb-version": "2026-10-24", "ü": "Größe" });
        let slice = primary.add_slice("brake-pads", "aces-items", &metadata, company).await;
        for key in ["a", "b"] {
            primary.add_grain(slice, key, &format!("payload of {key}")).await;
        }
        primary.refresh(slice).await;
        let old = Liar::start(
            primary.url.clone(),
            Arc::new(|path, body| {
                Some(match path {
                    "/server" => String::from_utf8(body).unwrap().replace("sync-2", "none").into_bytes(),
                    _ => body,
                })
            }),
        );
        let secondary = TestSecondary::start_on(database).await;
        secondary.connect(&old.url, "companyadmin").await;
        for round in 0..2 {
            let report = secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
            assert_eq!((report.protocol, report.changed()), ("go", 1), "round {round}: {report:?}");
            let [ours, theirs] = [&primary.admin, &secondary.admin].map(|admin| async move {
                admin.get::<Value>(&format!("/v1/slices/{slice}")).await.unwrap()
            });
            let (ours, theirs) = (ours.await, theirs.await);
            for member in ["slice_name", "slice_type", "content_hash", "content_count", "metadata"] {
                assert_eq!(ours[member], theirs[member], "round {round}: {member}");
            }
            assert_eq!(theirs["metadata"], metadata);
            assert_eq!(all_grains(&secondary.admin, slice).await, all_grains(&primary.admin, slice).await);
            let again = secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
            assert!(matches!(again.slices[0].outcome, Outcome::Unchanged), "round {round}: {again:?}");
            primary.add_grain(slice, "b", "another payload").await;
            primary.refresh(slice).await;
        }
        old.stop().await;
    }
}

/// Locked slices are told apart in `tests/sync/isolation.rs`; here one is broken, and it is the first of the list.
#[tokio::test]
async fn a_slice_whose_feed_is_broken_does_not_starve_the_ones_behind_it() {
    for database in TestDatabase::each("a_slice_whose_feed_is_broken") {
        let primary = TestPrimary::start().await;
        let company = primary.add_company("Retail Parts", "companyadmin").await;
        let mut slices = Vec::new();
        for name in ["1 broken", "2 cut off", "3 sound", "4 sound"] {
            let slice = primary.add_slice(name, "pies-items", &json!({}), company).await;
            primary.add_grain(slice, "a", name).await;
            primary.refresh(slice).await;
            slices.push(slice);
        }
        let [broken, cut] = [slices[0], slices[1]].map(|slice| format!("/v1/sync/slices/{slice}/feed"));
        let liar = Liar::start(
            primary.url.clone(),
            Arc::new(move |path, body| {
                if path == broken {
                    Some(b"{\"nonsense\":1}\n".to_vec())
                } else if path == cut {
                    None
                } else {
                    Some(body)
                }
            }),
        );
        let secondary = TestSecondary::start_on(database).await;
        secondary.connect(&liar.url, "companyadmin").await;
        for changed in [2, 0] {
            let report = secondary.sync(primary.server_id).await.unwrap();
            assert_eq!((report.failures().len(), report.changed()), (2, changed), "{report:?}");
        }
        for (slice, arrived) in slices.iter().zip([0, 0, 1, 1]) {
            assert_eq!(all_grains(&secondary.admin, *slice).await.len(), arrived);
        }
        liar.stop().await;
    }
}

#[tokio::test]
async fn a_subscription_made_anew_under_another_id_syncs_on_and_has_one_row_here() {
    for pair in pairs("a_subscription_made_anew").await {
        let slice = pair.primary.add_slice("items", "pies-items", &json!({}), pair.company).await;
        pair.primary.add_grain(slice, "a", "1").await;
        pair.primary.refresh(slice).await;
        pair.sync().await;
        for round in 0..2 {
            let subs: Value = pair.primary.admin.get("/v1/subs").await.unwrap();
            let old = subs["data"][0]["id"].as_str().unwrap().to_owned();
            pair.primary.admin.call(reqwest::Method::DELETE, &format!("/v1/subs/{old}")).await.unwrap();
            let other = shared::clock::Random::System.id();
            let new = pair.primary.subscribe_as(other, "items", slice, pair.company).await;
            assert_ne!(new.to_string(), old);
            pair.primary.add_grain(slice, "b", &format!("round {round}")).await;
            pair.primary.refresh(slice).await;
            assert_eq!(pair.sync().await.changed(), 1);
            let (ours, theirs) = pair.grains(slice).await;
            assert_eq!(ours, theirs);
            let id = pair.primary.server_id;
            let rows = pair
                .secondary
                .secondary
                .node
                .store
                .read(move |conn| store::subscription::of_company(conn, id))
                .await
                .unwrap();
            assert!(rows.len() == 1 && rows[0].id == new && rows[0].slice_id == slice, "{rows:?}");
        }
    }
}
