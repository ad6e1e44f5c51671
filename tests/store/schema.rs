//! Both databases have the same schema.

use std::collections::BTreeSet;
use std::fs;

use shared::store::{Store, StoreError, migrate};
use tests::TestDatabase;

/// Folders in `migrations/sqlite`, and in `migrations/postgres`.
const MIGRATIONS: usize = 19;

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |backend: &str| -> BTreeSet<String> {
        fs::read_dir(format!("{}/../migrations/{backend}", env!("CARGO_MANIFEST_DIR")))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    assert_eq!(names("sqlite"), names("postgres"));
    assert_eq!(names("sqlite").len(), MIGRATIONS);
}

#[test]
fn migrating_twice_changes_nothing_and_every_column_can_be_selected() {
    for database in TestDatabase::each("migrating_twice") {
        assert_eq!(migrate(database.url()).unwrap().len(), MIGRATIONS, "{}", database.url());
        // `migrate` selects every column of every table each time.
        assert!(migrate(database.url()).unwrap().is_empty(), "{}", database.url());
    }
}

#[test]
fn several_processes_may_migrate_at_once() {
    for database in TestDatabase::each("several_processes_may_migrate") {
        let applied: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| migrate(database.url()).unwrap().len())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(applied, MIGRATIONS, "{}", database.url());
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    for database in TestDatabase::each("a_newer_schema_is_refused") {
        let store = database.store();
        store
            .write(|conn| -> Result<(), StoreError> {
                let sql = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000001')";
                shared::store::on_backend!(conn, |c| diesel::RunQueryDsl::execute(
                    diesel::sql_query(sql),
                    c
                ))?;
                Ok(())
            })
            .await
            .unwrap();
        assert!(matches!(Store::open(database.url().clone()), Err(StoreError::NewerSchema(_))));
    }
}

#[test]
fn a_missing_file_is_an_error_and_not_a_new_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("typo.db");
    let url = format!("sqlite://{}", file.display()).parse().unwrap();
    assert!(matches!(Store::open(url), Err(StoreError::Missing(_))));
    assert!(!file.exists());
}
