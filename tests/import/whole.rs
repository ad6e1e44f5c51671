//! What is taken over, and how it works afterwards.

use serde_json::{Value, json};
use shared::wire::Id;
use shared::wire::server::ServerRole;
use tests::node::published_grains;

use crate::dump;
use crate::program::Home;
use crate::source::{ADMIN, COMPANY_ADMIN_PASSWORD, Source, installation};

/// (read, taken, refused) of a table.
pub fn tally(report: &Value, table: &str) -> (i64, i64, i64) {
    let tallies = report["tables"].as_array().unwrap();
    let tally = tallies.iter().find(|tally| tally["table"] == table).unwrap();
    let number = |name: &str| tally[name].as_i64().unwrap();
    (number("read"), number("taken"), number("refused"))
}

/// Findings of a report without their rows.
fn findings(report: &Value) -> Vec<(&str, &str, i64)> {
    let found = report["found"].as_array().unwrap();
    found
        .iter()
        .map(|found| {
            let text = |name: &str| found[name].as_str().unwrap();
            (text("table"), text("finding"), found["count"].as_i64().unwrap())
        })
        .collect()
}

async fn log_in(url: &str, credentials: &Value) -> (u16, Value) {
    let answer = reqwest::Client::new().post(format!("{url}/login")).json(credentials).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_primary_is_taken_over_whole_and_every_active_partners_key_goes_on_working() {
    let test = "a_primary_is_taken_over_whole";
    let Some(source) = Source::restore(test, ServerRole::Primary) else { return };
    for home in Home::each(test, ServerRole::Primary) {
        let report = home.import(&source).ok().json();
        for (table, counted) in [
            ("companies", "companies"),
            ("users", "users"),
            ("slices", "slices"),
            ("metadata", "slice_metadata"),
            ("subscriptions", "subscriptions"),
            ("grains", "grains"),
            ("activity", "activity"),
            ("tags", "tags"),
            ("slice-tags", "slice_tags"),
        ] {
            let rows = source.count(&format!("SELECT count(*) FROM {counted};"));
            assert!(rows > 0, "{table}");
            assert_eq!(tally(&report, table), (rows, rows, 0), "{table}");
        }
        assert_eq!(tally(&report, "api-keys"), (5, 5, 0));
        assert!(findings(&report).contains(&("companies", "company-inactive", 1)), "{report}");
        assert!(
            !findings(&report).iter().any(|(_table, finding, _count)| *finding == "stale-hash"),
            "{report}"
        );

        let store = home.store();
        assert_hashes_and_grains(&source, &store).await;
        // Again: nothing is changed, and that is said.
        let before = dump::all(&store).await;
        let again = home.import(&source).ok().json();
        assert_eq!(again["already"], json!(true));
        assert_eq!(again["tables"], report["tables"]);
        dump::assert_equal(&before, &dump::all(&store).await);
        let text = home.run_with(
            &["import", "--from", &source.url],
            &source.secrets().each_ref().map(|(name, text)| (*name, text.as_str())),
        );
        assert!(text.ok().out.contains("nothing was changed now"));

        let server = home.serve();
        for partner in installation()["partners"].as_array().unwrap() {
            let key = json!({ "username": "", "password": "", "sync-api-key": partner["sync_api_key"] });
            let person = json!({ "username": partner["company_admin"], "password": COMPANY_ADMIN_PASSWORD });
            let id = partner["company_id"].as_str().unwrap();
            // The last one was never switched on. The reference does not look; we do, and the report says so.
            let expected = if partner["name"] == "Partner 4" { 401 } else { 200 };
            for _turn in 0..2 {
                let (status, body) = log_in(&server.url, &key).await;
                assert_eq!(status, expected, "the key of {id}: {body}");
            }
            assert_eq!(log_in(&server.url, &person).await.0, expected, "the admin of {id}");
        }
        let admin = json!({ "username": ADMIN.0, "password": ADMIN.1 });
        let (status, login) = log_in(&server.url, &admin).await;
        assert_eq!(status, 200, "{login}");
        assert_keys_are_upgraded(&home).await;

        // What is added now gets numbers of its own, also that nobody of the source had.
        let last = source.count("SELECT max(id) FROM users;");
        let user = json!({
            "first_name": "New", "last_name": "Admin", "username": "newadmin", "email": "new@example.com",
            "password": "violet-otter-marble-42", "password_confirm": "violet-otter-marble-42",
            "company_id": "21000000-0000-4000-8000-000000000000", "role": 120,
        });
        let new: Value = reqwest::Client::new()
            .post(format!("{}/v1/users", server.url))
            .bearer_auth(login["token"].as_str().unwrap())
            .json(&user)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(new["id"], json!(last + 1), "{new}");
    }
}

/// Every slice has the hash that the reference stored, and every grain is what it was.
async fn assert_hashes_and_grains(source: &Source, store: &shared::store::Store) {
    for slice in source.rows("SELECT id, content_hash, content_count, content_date FROM slices") {
        let id: Id = slice["id"].as_str().unwrap().parse().unwrap();
        let view = store
            .read(move |conn| shared::store::slice::view(conn, id))
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("slice {id} is missing"));
        assert_eq!(view.1.version, 1);
        assert_eq!(view.1.content_hash, slice["content_hash"], "slice {id}");
        assert_eq!(json!(view.1.grain_count), slice["content_count"], "slice {id}");
        let date = view.1.content_date.unwrap().to_string();
        assert_eq!(date.trim_end_matches('Z'), slice["content_date"], "slice {id}");
        let theirs = source.rows(&format!(
            "SELECT id, slice_id, grain_key, source, encoding, char_length(payload) AS payload_len, payload \
             FROM grains WHERE slice_id = '{id}' ORDER BY id"
        ));
        let ours = published_grains(store, id).await;
        assert_eq!(ours.len(), theirs.len(), "slice {id}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs);
        }
    }
}

/// Keys that logged in are kept as fast hashes now; the others still are bcrypt.
async fn assert_keys_are_upgraded(home: &Home) {
    let keys = home.store().read(|conn| shared::store::api_key::list(conn, None)).await.unwrap();
    let legacy = keys.iter().filter(|key| key.legacy_bcrypt.is_some()).count();
    assert_eq!((keys.len(), legacy), (5, 1));
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_says_what_an_import_would() {
    let test = "a_dry_run_writes_nothing";
    let Some(source) = Source::restore(test, ServerRole::Primary) else { return };
    source.sql("UPDATE slices SET content_hash = 'stale' WHERE name = 'brakes-pies';");
    let home = Home::sqlite(ServerRole::Primary);
    let dry = home.import_with(&source, &["--dry-run"], &[]).ok().json();
    assert!(!home.dir.exists(), "nothing was written");
    let mut wet = home.import(&source).ok().json();
    assert_eq!((dry["dry_run"].clone(), wet["dry_run"].clone()), (json!(true), json!(false)));
    wet["dry_run"] = json!(true);
    assert_eq!(dry, wet);
    assert!(findings(&dry).contains(&("slices", "stale-hash", 1)), "{dry}");
    let slice: Id = "2c000000-0000-4000-8000-000000000001".parse().unwrap();
    let view = home.store().read(move |conn| shared::store::slice::view(conn, slice)).await.unwrap().unwrap();
    assert_eq!(view.1.content_hash, "4425d1016eadf3d2b1f943fde787ed379b7b3a91", "the true one was taken");
}

#[tokio::test]
async fn nulls_wherever_the_reference_can_have_them_become_its_zero_values() {
    let test = "nulls_become_zero_values";
    let Some(source) = Source::restore(test, ServerRole::Primary) else { return };
    source.sql(
        "UPDATE companies SET sync_api_key = NULL, sync_user_id = NULL, active = NULL, created_at = NULL, updated_at = NULL;
         UPDATE users SET phone = NULL, active = NULL, last_login = NULL, password_changed = NULL, token = NULL,
             created_at = NULL, updated_at = NULL;
         UPDATE users SET password = NULL WHERE role <> 200;
         UPDATE slices SET content_count = NULL, content_date = NULL, content_hash = NULL, allow_sync = NULL,
             last_sync_attempt = NULL, last_good_sync = NULL, created_at = NULL, updated_at = NULL;
         UPDATE slice_metadata SET value = NULL;
         UPDATE subscriptions SET description = NULL, active = NULL, created_at = NULL, updated_at = NULL;
         UPDATE grains SET payload = NULL, source = NULL, created_at = NULL;
         UPDATE activity SET company_id = NULL, sub_id = NULL, success = NULL, error = NULL, duration = NULL, created_at = NULL;
         UPDATE tags SET description = NULL, created_at = NULL, updated_at = NULL;
         UPDATE settings SET created_at = NULL, updated_at = NULL;",
    );
    for home in Home::each(test, ServerRole::Primary) {
        let report = home.import(&source).ok().json();
        for tally in report["tables"].as_array().unwrap() {
            assert_eq!(tally["read"], tally["taken"], "{tally}");
        }
        let slice: Id = "2c000000-0000-4000-8000-000000000000".parse().unwrap();
        let store = home.store();
        let (user, company, view, pairs) = store
            .read(move |conn| -> Result<_, shared::store::StoreError> {
                Ok((
                    shared::store::user::find(conn, 1)?.unwrap(),
                    shared::store::company::find(conn, slice_company())?.unwrap(),
                    shared::store::slice::view(conn, slice)?.unwrap(),
                    shared::store::metadata::at(conn, slice, 1)?,
                ))
            })
            .await
            .unwrap();
        assert_eq!((user.password_hash, user.active, user.phone.as_str()), (None, false, ""));
        assert_eq!((user.last_login, user.created_at.to_string().as_str()), (None, "0001-01-01T00:00:00Z"));
        assert!(!company.active);
        assert_eq!((view.0.allow_sync, view.1.grain_count), (false, 1));
        assert_eq!(pairs[0].1, "");
        assert_eq!(published_grains(&store, slice).await[0]["payload"], "");
        let said = findings(&report);
        for finding in
            [("companies", "owner-activated", 1), ("users", "no-super-admin", 1), ("slices", "stale-hash", 4)]
        {
            assert!(said.contains(&finding), "{finding:?} in {said:?}");
        }
    }
}

fn slice_company() -> Id {
    "20000000-0000-4000-8000-000000000000".parse().unwrap()
}
