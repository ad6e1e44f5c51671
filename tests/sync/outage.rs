//! PostgreSQL goes away in the middle of a sync, and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tests::liar::Liar;
use tests::{TestDatabase, TestPrimary, TestSecondary, postgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sync_that_loses_either_database_leaves_the_old_version_and_the_next_one_brings_the_new() {
    let Some(cluster) = postgres::private("a_sync_that_loses_either_database") else { return };
    let cluster = Arc::new(cluster);
    // Which side's database it is, what is answered when it goes, and which answer is the last before that.
    for (of_primary, status, after) in
        [(true, 502, "/v1/sync/subs"), (true, 502, "/login"), (false, 503, "/feed"), (false, 503, "/login")]
    {
        let database = |here: bool| if here { TestDatabase::on(&cluster) } else { TestDatabase::sqlite() };
        let primary = TestPrimary::start_on(database(of_primary), None).await;
        let secondary = TestSecondary::start_on(database(!of_primary)).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let slice = primary.add_slice("items", "pies-items", &json!({ "k": "v" }), company).await;
        primary.add_grain(slice, "a", "one").await;
        primary.refresh(slice).await;
        let armed = Arc::new(AtomicBool::new(false));
        let (arm, stops) = (Arc::clone(&armed), Arc::clone(&cluster));
        let liar = Liar::start(
            primary.url.clone(),
            Arc::new(move |path, body| {
                if path.ends_with(after) && arm.swap(false, Ordering::SeqCst) {
                    stops.stop();
                }
                Some(body)
            }),
        );
        secondary.connect(&liar.url, "anna").await;
        secondary.sync(primary.server_id).await.unwrap().into_result().unwrap();
        primary.add_grain(slice, "b", "two").await;
        primary.refresh(slice).await;

        armed.store(true, Ordering::SeqCst);
        let path = format!("/v1/sync/{}", primary.server_id);
        let failed = secondary.admin.call(reqwest::Method::POST, &path).await.unwrap_err();
        assert!(failed.is_status(status), "{after}: {failed}");
        assert!(!armed.load(Ordering::SeqCst), "{after}: it was in the middle");
        let starts = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || starts.start()).await.unwrap();
        let old = tests::node::all_grains(&secondary.admin, slice).await;
        assert_eq!(old.len(), 1, "{after}: the old version");
        tests::wait_until("the next sync succeeds", async || {
            secondary.admin.call(reqwest::Method::POST, &path).await.is_ok()
        })
        .await;
        let (theirs, ours) = (
            tests::node::all_grains(&primary.admin, slice).await,
            tests::node::all_grains(&secondary.admin, slice).await,
        );
        assert_eq!((theirs.len(), &theirs), (2, &ours), "{after}");
        let seen: Value = secondary.admin.get(&format!("/v1/slices/{slice}")).await.unwrap();
        assert_eq!(seen["sync_status"], "success", "{after}");
        liar.stop().await;
        primary.stop().await;
        secondary.stop().await;
    }
}
