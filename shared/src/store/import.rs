//! What only an import writes: rows that keep the ids of another database, and the record of the import itself.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::activity::ActivityRow;
use super::schema::{activity, imports, tags, users};
use super::tag::TagRow;
use super::user::UserRow;
use super::{Connection, StoreError, on_backend};
use crate::wire::Timestamp;

/// A row of `imports`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = imports)]
pub struct ImportRow {
    /// Always 1.
    pub id: i64,
    /// Of the source's rows when the import began.
    pub source_sha256: Vec<u8>,
    /// What it did, as JSON; `None` while it is under way.
    pub report: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None`: it is under way, or was cut off.
    pub finished_at: Option<Timestamp>,
}

/// The node's import; `None` for a node that `init` made.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection) -> Result<Option<ImportRow>, StoreError> {
    Ok(imports::table.find(1).first(conn).optional()?)
}

/// Writes that an import has begun.
///
/// # Errors
/// [`StoreError::Conflict`] when there was one.
pub fn begin(conn: &mut Connection, source_sha256: &[u8], now: Timestamp) -> Result<(), StoreError> {
    let row = ImportRow {
        id: 1,
        source_sha256: source_sha256.to_vec(),
        report: None,
        started_at: now,
        finished_at: None,
    };
    diesel::insert_into(imports::table).values(row).execute(conn)?;
    Ok(())
}

/// Writes that it is done: from now on the node may serve.
///
/// # Errors
/// What SQL reports.
pub fn finish(conn: &mut Connection, report: &str, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(imports::table.find(1))
        .set((imports::report.eq(report), imports::finished_at.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Adds a user with the id it had.
///
/// # Errors
/// [`StoreError::Conflict`] when id, name or e-mail exist, or the company has a sync user already.
pub fn insert_user(conn: &mut Connection, row: &UserRow) -> Result<(), StoreError> {
    diesel::insert_into(users::table).values(row).execute(conn)?;
    Ok(())
}

/// Adds records with the ids they had; the caller keeps a batch small.
///
/// # Errors
/// [`StoreError::Conflict`] when an id exists.
pub fn insert_activity(conn: &mut Connection, rows: &[ActivityRow]) -> Result<(), StoreError> {
    on_backend!(conn, |c| diesel::insert_into(activity::table).values(rows).execute(c))?;
    Ok(())
}

/// Adds a tag with the id it had.
///
/// # Errors
/// [`StoreError::Conflict`] when id or name exist.
pub fn insert_tag(conn: &mut Connection, row: &TagRow) -> Result<(), StoreError> {
    diesel::insert_into(tags::table)
        .values((
            tags::id.eq(row.id),
            tags::name.eq(&row.name),
            tags::description.eq(&row.description),
            tags::created_at.eq(row.created_at),
            tags::updated_at.eq(row.updated_at),
        ))
        .execute(conn)?;
    Ok(())
}

/// Highest id of a record; `None` without records.
///
/// # Errors
/// What SQL reports.
pub fn last_activity(conn: &mut Connection) -> Result<Option<i64>, StoreError> {
    Ok(activity::table.select(diesel::dsl::max(activity::id)).first(conn)?)
}

/// Tables whose ids the database chooses, and an import keeps.
#[derive(Clone, Copy, Debug)]
pub enum Numbered {
    /// `users`.
    Users,
    /// `activity`.
    Activity,
    /// `tags`.
    Tags,
}

/// The next row gets an id above `last`: an id that stood for somebody in the source, even if his row was not taken,
/// never stands for somebody else here.
///
/// # Errors
/// What SQL reports.
pub fn reserve_ids(conn: &mut Connection, table: Numbered, last: i64) -> Result<(), StoreError> {
    let name = match table {
        Numbered::Users => "users",
        Numbered::Activity => "activity",
        Numbered::Tags => "tags",
    };
    if last < 1 {
        return Ok(());
    }
    match conn {
        Connection::Sqlite(conn) => {
            diesel::sql_query(
                "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0 \
                 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
            )
            .bind::<Text, _>(name)
            .execute(conn)?;
            diesel::sql_query("UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1")
                .bind::<Text, _>(name)
                .bind::<BigInt, _>(last)
                .execute(conn)?;
        }
        Connection::Postgres(conn) => {
            diesel::sql_query("SELECT setval(pg_get_serial_sequence($1, 'id'), $2)")
                .bind::<Text, _>(name)
                .bind::<BigInt, _>(last)
                .execute(conn)?;
        }
    }
    Ok(())
}
