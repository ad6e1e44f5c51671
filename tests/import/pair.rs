//! Both servers of an installation, taken over one after the other, meet again.

use serde_json::{Value, json};
use shared::store::list::Selection;
use shared::store::slice::{self, Tagged};
use shared::wire::Id;
use shared::wire::server::ServerRole;
use tests::node::published_grains;

use crate::program::Home;
use crate::source::{ADMIN, Source, installation};

const BETTER_BRAKES: &str = "10000000-0000-4000-8000-000000000000";
const ITEMS: &str = "2c000000-0000-4000-8000-000000000002";

/// The way that a user has: the primary now stands elsewhere.
async fn repoint(secondary: &str, primary: &str) {
    let http = reqwest::Client::new();
    let admin = json!({ "username": ADMIN.0, "password": ADMIN.1 });
    let login = http.post(format!("{secondary}/login")).json(&admin).send().await.unwrap();
    let login: Value = login.json().await.unwrap();
    http.patch(format!("{secondary}/v1/companies/{BETTER_BRAKES}"))
        .bearer_auth(login["token"].as_str().unwrap())
        .json(&json!({ "sync_addr": primary }))
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
}

#[tokio::test]
async fn imported_servers_sync_and_fetch_only_what_differed_in_the_reference() {
    let test = "imported_servers_sync";
    let Some(publisher) = Source::restore(test, ServerRole::Primary) else { return };
    let Some(receiver) = Source::restore(test, ServerRole::Secondary) else { return };
    let ids = |source: &Source| -> std::collections::BTreeSet<String> {
        let rows = source.rows(&format!("SELECT id FROM grains WHERE slice_id = '{ITEMS}'"));
        rows.into_iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let (theirs, ours) = (ids(&publisher), ids(&receiver));
    assert!(!ours.is_empty());
    let (added, removed) = (theirs.difference(&ours).count(), ours.difference(&theirs).count());
    for (primary, secondary) in
        Home::each(test, ServerRole::Primary).into_iter().zip(Home::each(test, ServerRole::Secondary))
    {
        primary.import(&publisher).ok();
        let report = secondary.import(&receiver).ok().json();
        assert_eq!(crate::whole::tally(&report, "api-keys"), (1, 1, 0));
        let key = installation()["partners"][0]["sync_api_key"].as_str().unwrap().to_owned();
        assert_key_is_encrypted(&secondary, &key).await;

        let (primary_server, secondary_server) = (primary.serve(), secondary.serve());
        repoint(&secondary_server.url, &primary_server.url).await;
        let first = secondary.run(&["sync", "--all", "--json"]).ok().json();
        let slices = first[0]["slices"].as_array().unwrap();
        // What was switched off on the receiver stays off.
        assert_eq!(slices.len(), 1, "{first}");
        let text = slices[0].to_string();
        for (name, count) in [("grains_added", added), ("grains_removed", removed)] {
            assert!(text.contains(&format!("\"{name}\":{count}")), "{name} {count}: {text}");
        }
        let again = secondary.run(&["sync", "--all", "--json"]).ok().json();
        assert!(again[0]["slices"][0].to_string().contains("unchanged"), "{again}");
        let id: Id = ITEMS.parse().unwrap();
        let (there, here) =
            (published_grains(&primary.store(), id).await, published_grains(&secondary.store(), id).await);
        assert_eq!(there.len(), theirs.len());
        assert!(there == here, "both hold the same");
    }
}

async fn assert_key_is_encrypted(home: &Home, key: &str) {
    let dump = crate::dump::all(&home.store()).await;
    let text = format!("{dump:?}");
    assert!(!text.contains(key), "in the clear");
    let hex = data_encoding::HEXUPPER.encode(key.as_bytes());
    assert!(!text.to_uppercase().contains(&hex), "in the clear, as hex");
    assert_eq!(dump["partners"].len(), 1);
}

#[tokio::test]
async fn what_a_secondary_holds_is_its_primarys_and_stays_readable() {
    let test = "what_a_secondary_holds";
    let Some(source) = Source::restore(test, ServerRole::Secondary) else { return };
    let hash = source.rows(&format!("SELECT content_hash FROM slices WHERE id = '{ITEMS}'"));
    for home in Home::each(test, ServerRole::Secondary) {
        home.import(&source).ok();
        let views = home
            .store()
            .read(|conn| slice::list(conn, None, &Tagged::default(), &Selection::all(&slice::COLUMNS)))
            .await
            .unwrap()
            .0;
        assert_eq!(views.len(), 3);
        for (row, published) in views {
            assert_eq!(row.primary_id, Some(BETTER_BRAKES.parse().unwrap()));
            if row.id.to_string() == ITEMS {
                assert_eq!(published.content_hash, hash[0]["content_hash"]);
                assert_eq!((published.version, row.sync_status.as_str()), (1, "success"));
                assert!(row.last_good_sync.is_some());
            } else {
                // Never synced there: nothing is here to be shown.
                assert_eq!((published.version, published.content_date), (0, None));
            }
        }
    }
}
