//! Embedded migrations, one folder a database, run by one process at a time.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::pg::Pg;
use diesel::sqlite::Sqlite;
use diesel::{RunQueryDsl as _, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connection::{Connection, DatabaseUrl, open};
use super::error::StoreError;
use crate::failpoint::{Failpoint, reach};

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../migrations/postgres");

/// Any number that no other program on the same database uses: "sandpipr" in ASCII.
const ADVISORY_LOCK: i64 = 0x7361_6e64_7069_7072;

/// Brings the schema of `url` up to date and checks every table; returns the versions that were applied now.
///
/// # Errors
/// [`StoreError::NewerSchema`] when the database knows a version that this program does not; what SQL reports.
pub fn migrate(url: &DatabaseUrl) -> Result<Vec<String>, StoreError> {
    let mut conn = open(url)?;
    let applied = apply(&mut conn, url)?;
    super::schema::verify(&mut conn)?;
    Ok(applied)
}

fn apply(conn: &mut Connection, url: &DatabaseUrl) -> Result<Vec<String>, StoreError> {
    match (conn, url) {
        (Connection::Sqlite(conn), DatabaseUrl::Sqlite(path)) => {
            if up_to_date(conn)? {
                return Ok(Vec::new());
            }
            let _lock = lock_beside(path)?;
            run::<Sqlite>(conn, SQLITE)
        }
        (Connection::Postgres(conn), _) => {
            diesel::sql_query(format!("SELECT pg_advisory_lock({ADVISORY_LOCK})")).execute(conn)?;
            let applied = run::<Pg>(conn, POSTGRES);
            diesel::sql_query(format!("SELECT pg_advisory_unlock({ADVISORY_LOCK})")).execute(conn)?;
            applied
        }
        (Connection::Sqlite(_), DatabaseUrl::Postgres(_)) => {
            Err(StoreError::Internal("backend mismatch".to_owned()))
        }
    }
}

/// The usual case, answered without waiting for a lock that a writer may hold.
fn up_to_date(conn: &mut SqliteConnection) -> Result<bool, StoreError> {
    refuse_newer::<Sqlite, _>(conn, &SQLITE)?;
    conn.has_pending_migration(SQLITE).map(|pending| !pending).map_err(failed)
}

fn run<DB: Backend>(
    conn: &mut impl MigrationHarness<DB>,
    source: EmbeddedMigrations,
) -> Result<Vec<String>, StoreError>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    refuse_newer(conn, &source)?;
    reach(Failpoint::MigrationStarted);
    let applied = conn.run_pending_migrations(source).map_err(failed)?;
    if !applied.is_empty() {
        reach(Failpoint::MigrationApplied);
    }
    Ok(applied.iter().map(ToString::to_string).collect())
}

fn refuse_newer<DB, C>(conn: &mut C, source: &EmbeddedMigrations) -> Result<(), StoreError>
where
    DB: Backend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    let known: Vec<MigrationVersion<'static>> = MigrationSource::<DB>::migrations(source)
        .map_err(failed)?
        .iter()
        .map(|migration| migration.name().version().as_owned())
        .collect();
    let applied = conn.applied_migrations().map_err(failed)?;
    match applied.iter().find(|version| !known.contains(version)) {
        Some(unknown) => Err(StoreError::NewerSchema(unknown.to_string())),
        None => Ok(()),
    }
}

/// diesel takes no lock of its own: two processes starting at once would both see the same migration pending.
fn lock_beside(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".migrate.lock");
    let file = File::options().create(true).append(true).mode(0o600).open(&name).map_err(|error| {
        StoreError::Unavailable(format!("cannot open {}: {error}", Path::new(&name).display()))
    })?;
    file.lock().map_err(|error| {
        StoreError::Unavailable(format!("cannot lock the database for migration: {error}"))
    })?;
    Ok(file)
}

#[allow(clippy::needless_pass_by_value, reason = "the signature map_err wants")]
fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    match error.downcast::<diesel::result::Error>() {
        Ok(error) => StoreError::from(*error),
        Err(error) => {
            let text = error.to_string();
            if text.contains("disk is full") { StoreError::Full } else { StoreError::Internal(text) }
        }
    }
}
