//! The database of an installation of the reference (spec §8): read in one snapshot, and never written.
//!
//! The reference stores its zero values as NULL; the queries turn them back, so rules need not know. Columns that can
//! hold gigabytes are read a few rows at a time.

use std::collections::HashMap;

use diesel::connection::SimpleConnection as _;
use diesel::deserialize::{self, FromSql, Queryable, QueryableByName};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamp as SqlTimestamp};
use diesel::{PgConnection, RunQueryDsl as _};

use super::connection::{Connection, DatabaseUrl, UrlError, open};
use super::error::StoreError;
use super::types::SqlId;
use crate::wire::{Id, Timestamp};

/// The schema of the last commit of the reference: its migrations 1.01 to 1.15.
const SCHEMA: i64 = 115;

/// Why the source cannot be read; each message names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// What was given is no usable URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// It names another kind of database.
    #[error(
        "the reference keeps its data in PostgreSQL: write --from postgres://user@host/name, as its settings file says"
    )]
    NotPostgres,
    /// It cannot be reached, or was lost on the way: worth another try.
    #[error("the source cannot be read now: {0}")]
    Unavailable(String),
    /// User, password, database or rights are wrong.
    #[error("the source lets nobody in: {0}: check --from; its user must be allowed to read every table")]
    Refused(String),
    /// Something else is there, or another version of it.
    #[error("{0}")]
    NotReference(String),
    /// Anything not foreseen.
    #[error("reading the source failed: {0}")]
    Failed(String),
}

impl From<StoreError> for ReferenceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(text) => Self::Unavailable(text),
            StoreError::Missing(text) => Self::Refused(text),
            StoreError::Internal(text) if text.contains("permission denied") => Self::Refused(text),
            StoreError::Internal(text) if text.contains("does not exist") => Self::NotReference(format!(
                "the source is no complete database of the reference ({text}): check the name of the database in --from"
            )),
            // A standby cancels readers that are in the way of what it replays.
            StoreError::Internal(text) if text.contains("conflict with recovery") => Self::Unavailable(text),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<diesel::result::Error> for ReferenceError {
    fn from(error: diesel::result::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// A time of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// NULL, or the year 1 that the reference writes for it.
    Never,
    /// A time that both our databases can keep.
    At(Timestamp),
    /// Infinity, before the year 1 or after the year 9999.
    Beyond,
}

/// PostgreSQL counts microseconds from 2000-01-01T00:00:00Z.
const PG_EPOCH_UNIX_MICROS: i64 = 946_684_800_000_000;
/// 0001-01-01T00:00:00Z and 10000-01-01T00:00:00Z.
const YEARS_UNIX_MICROS: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

impl Moment {
    fn of_micros(since_2000: i64) -> Self {
        let Some(micros) = since_2000.checked_add(PG_EPOCH_UNIX_MICROS) else { return Self::Beyond };
        if micros == YEARS_UNIX_MICROS.start {
            return Self::Never;
        }
        if !YEARS_UNIX_MICROS.contains(&micros) {
            return Self::Beyond;
        }
        chrono::DateTime::from_timestamp_micros(micros)
            .map_or(Self::Beyond, |moment| Self::At(Timestamp::new(moment)))
    }
}

impl FromSql<Nullable<SqlTimestamp>, Pg> for Moment {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::of_micros(i64::from_be_bytes(value.as_bytes().try_into()?)))
    }

    fn from_nullable_sql(value: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        value.map_or(Ok(Self::Never), Self::from_sql)
    }
}

impl Queryable<Nullable<SqlTimestamp>, Pg> for Moment {
    type Row = Self;
    fn build(row: Self) -> deserialize::Result<Self> {
        Ok(row)
    }
}

/// Declares rows with the types of their columns.
macro_rules! rows {
    ($($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty = $sql:ty,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, QueryableByName)]
        #[diesel(check_for_backend(Pg))]
        pub struct $name {
            $($(#[$doc])* #[diesel(sql_type = $sql)] pub $field: $type,)+
        }
    )+};
}

rows! {
    /// Who the source is.
    Settings {
        /// `primary` or `secondary`.
        server_role: String = Text,
        /// The company that owns it.
        server_id: Option<Id> = Nullable<SqlId>,
    }
    /// A row of `companies`.
    Company {
        /// Its id.
        id: Id = SqlId,
        /// Its name.
        name: String = Text,
        /// Address of its server, or what somebody made up since the column must be unique and not empty.
        sync_addr: String = Text,
        /// On a secondary: the key for that primary, in the clear.
        sync_api_key: String = Text,
        /// On a primary: the user whose name and password the newest key holds.
        sync_user_id: Option<i64> = Nullable<BigInt>,
        /// The reference never looks at it.
        active: bool = Bool,
        /// When the row was made.
        created_at: Moment = Nullable<SqlTimestamp>,
        /// When it last changed.
        updated_at: Moment = Nullable<SqlTimestamp>,
    }
    /// A row of `users`.
    User {
        /// Its id.
        id: i64 = BigInt,
        /// As written.
        username: String = Text,
        /// bcrypt.
        password: String = Text,
        /// As written.
        email: String = Text,
        /// Given name.
        first_name: String = Text,
        /// Family name.
        last_name: String = Text,
        /// May be empty.
        phone: String = Text,
        /// Whether it may log in.
        active: bool = Bool,
        /// 100, 110, 120 or 200.
        role: i64 = BigInt,
        /// Whom it belongs to.
        company_id: Option<Id> = Nullable<SqlId>,
        /// Whether a refresh token is kept; they never expire.
        has_token: bool = Bool,
        /// Last login.
        last_login: Moment = Nullable<SqlTimestamp>,
        /// Last change of the password.
        password_changed: Moment = Nullable<SqlTimestamp>,
        /// When the row was made.
        created_at: Moment = Nullable<SqlTimestamp>,
        /// When it last changed.
        updated_at: Moment = Nullable<SqlTimestamp>,
    }
    /// A row of `slices`.
    Slice {
        /// Its id.
        id: Id = SqlId,
        /// Its name.
        name: String = Text,
        /// One of eight.
        slice_type: String = Text,
        /// Grains when it was last refreshed.
        content_count: i64 = BigInt,
        /// SHA-1 when it was last refreshed.
        content_hash: String = Text,
        /// When that was.
        content_date: Moment = Nullable<SqlTimestamp>,
        /// `false`: the publisher is editing.
        allow_sync: bool = Bool,
        /// `none`, `updating`, `success` or `error`.
        sync_status: String = Text,
        /// On a secondary: start of the last sync.
        last_sync_attempt: Moment = Nullable<SqlTimestamp>,
        /// On a secondary: end of the last good one.
        last_good_sync: Moment = Nullable<SqlTimestamp>,
        /// When the row was made.
        created_at: Moment = Nullable<SqlTimestamp>,
        /// When it last changed.
        updated_at: Moment = Nullable<SqlTimestamp>,
    }
    /// A row of `slice_metadata`.
    Pair {
        /// Of which slice.
        slice_id: Option<Id> = Nullable<SqlId>,
        /// Its key.
        key: String = Text,
        /// Its value.
        value: String = Text,
    }
    /// A row of `subscriptions`.
    Subscription {
        /// Its id.
        id: Id = SqlId,
        /// What is subscribed to.
        slice_id: Option<Id> = Nullable<SqlId>,
        /// The other party.
        company_id: Option<Id> = Nullable<SqlId>,
        /// Its name.
        name: String = Text,
        /// May be empty.
        description: String = Text,
        /// Whether it is synced.
        active: bool = Bool,
        /// When the row was made.
        created_at: Moment = Nullable<SqlTimestamp>,
        /// When it last changed.
        updated_at: Moment = Nullable<SqlTimestamp>,
    }
    /// A row of `tags`.
    Tag {
        /// Its id.
        id: i64 = BigInt,
        /// Its name.
        name: String = Text,
        /// May be empty.
        description: String = Text,
        /// When the row was made.
        created_at: Moment = Nullable<SqlTimestamp>,
        /// When it last changed.
        updated_at: Moment = Nullable<SqlTimestamp>,
    }
    /// A row of `slice_tags`.
    SliceTag {
        /// Which tag.
        tag_id: i64 = BigInt,
        /// On which slice.
        slice_id: Option<Id> = Nullable<SqlId>,
    }
    /// How many grains a slice has.
    GrainCount {
        /// Which slice; `None`: none at all.
        slice_id: Option<Id> = Nullable<SqlId>,
        /// Its grains.
        grains: i64 = BigInt,
    }
    /// A row of `grains` without its payload.
    GrainHead {
        /// Its id.
        id: Id = SqlId,
        /// What it is about.
        grain_key: String = Text,
        /// How the payload text encodes the bytes; empty where the source does not say.
        encoding: String = Text,
        /// By habit the file name.
        source: String = Text,
        /// Bytes of the payload text.
        payload_bytes: i64 = BigInt,
        /// 1, unless a row before has the same key.
        nth_of_key: i64 = BigInt,
        /// When the row was made.
        created_at: Moment = Nullable<SqlTimestamp>,
    }
    /// A grain that belongs to no slice.
    Orphan {
        /// Its id.
        id: Id = SqlId,
        /// What it is about.
        grain_key: String = Text,
    }
    /// A row of `activity`.
    Activity {
        /// Its id.
        id: i64 = BigInt,
        /// Whom it concerns.
        company_id: Option<Id> = Nullable<SqlId>,
        /// Which subscription.
        sub_id: Option<Id> = Nullable<SqlId>,
        /// Whether it went well.
        success: bool = Bool,
        /// What happened.
        message: String = Text,
        /// Why not.
        error: String = Text,
        /// Nanoseconds.
        duration: i64 = BigInt,
        /// When it was recorded.
        created_at: Moment = Nullable<SqlTimestamp>,
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Fetched {
    #[diesel(sql_type = SqlId)]
    id: Id,
    #[diesel(sql_type = Text)]
    grain_key: String,
    #[diesel(sql_type = Text)]
    payload: String,
}

/// An installation of the reference, as it stood at one moment.
pub struct Source {
    conn: PgConnection,
    shown: String,
}

impl std::fmt::Display for Source {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Source {
    /// Opens the database at `url` and holds one snapshot of it, so that a running server changes nothing for us.
    ///
    /// # Errors
    /// [`ReferenceError`]; [`ReferenceError::NotReference`] for another schema than the reference's last one.
    pub fn open(url: &str) -> Result<Self, ReferenceError> {
        let url: DatabaseUrl = match url.parse() {
            Ok(url @ DatabaseUrl::Postgres(_)) => url,
            Ok(DatabaseUrl::Sqlite(_)) | Err(UrlError::Scheme(_) | UrlError::NoPath) => {
                return Err(ReferenceError::NotPostgres);
            }
            Err(error) => return Err(error.into()),
        };
        let Connection::Postgres(mut conn) = open(&url)? else { return Err(ReferenceError::NotPostgres) };
        // Writing to our side takes as long as it takes.
        conn.batch_execute(
            "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0; \
             BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        )?;
        let mut source = Self { conn, shown: url.to_string() };
        source.require_schema()?;
        Ok(source)
    }

    fn require_schema(&mut self) -> Result<(), ReferenceError> {
        let shown = self.shown.clone();
        let known =
            self.count("SELECT count(*) AS count WHERE to_regclass('darwin_migrations') IS NOT NULL")?;
        if known == 0 {
            return Err(ReferenceError::NotReference(format!(
                "{shown} is no database of the reference (it has no table darwin_migrations): check the name in --from"
            )));
        }
        let version = self.count(
            "SELECT coalesce(max(round(version::numeric * 100)), 0)::bigint AS count FROM darwin_migrations",
        )?;
        if version == SCHEMA {
            return Ok(());
        }
        let version = format!("{}.{:02}", version / 100, version % 100);
        Err(ReferenceError::NotReference(format!(
            "{shown} has schema version {version} of the reference, and only 1.15 can be taken over: start the newest \
             server of the reference on it once, which brings it up to date"
        )))
    }

    fn count(&mut self, sql: &str) -> Result<i64, ReferenceError> {
        let row: Count = diesel::sql_query(sql).get_result(&mut self.conn)?;
        Ok(row.count)
    }

    fn load<T: QueryableByName<Pg> + 'static>(&mut self, sql: &str) -> Result<Vec<T>, ReferenceError> {
        Ok(diesel::sql_query(sql).load(&mut self.conn)?)
    }

    /// The rows of `settings`: one, once the reference's `init` has run.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn settings(&mut self) -> Result<Vec<Settings>, ReferenceError> {
        self.load("SELECT coalesce(server_role::text, '') AS server_role, server_id FROM settings")
    }

    /// All companies, the oldest first.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn companies(&mut self) -> Result<Vec<Company>, ReferenceError> {
        self.load(
            "SELECT id, coalesce(name, '') AS name, coalesce(sync_addr, '') AS sync_addr, \
             coalesce(sync_api_key, '') AS sync_api_key, sync_user_id::bigint AS sync_user_id, \
             coalesce(active, FALSE) AS active, created_at, updated_at FROM companies ORDER BY companies.created_at, companies.id",
        )
    }

    /// All users by id.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn users(&mut self) -> Result<Vec<User>, ReferenceError> {
        self.load(
            "SELECT id::bigint AS id, coalesce(username, '') AS username, coalesce(password, '') AS password, \
             coalesce(email, '') AS email, coalesce(first_name, '') AS first_name, \
             coalesce(last_name, '') AS last_name, coalesce(phone, '') AS phone, coalesce(active, FALSE) AS active, \
             coalesce(role, 0)::bigint AS role, company_id, coalesce(token, '') <> '' AS has_token, last_login, \
             password_changed, created_at, updated_at FROM users ORDER BY id, username",
        )
    }

    /// All slices, the oldest first.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn slices(&mut self) -> Result<Vec<Slice>, ReferenceError> {
        self.load(
            "SELECT id, coalesce(name, '') AS name, coalesce(slice_type::text, '') AS slice_type, \
             coalesce(content_count, 0)::bigint AS content_count, coalesce(content_hash, '') AS content_hash, \
             content_date, coalesce(allow_sync, FALSE) AS allow_sync, \
             coalesce(sync_status::text, 'none') AS sync_status, last_sync_attempt, last_good_sync, created_at, \
             updated_at FROM slices ORDER BY slices.created_at, slices.id",
        )
    }

    /// All metadata by slice, and in the order in which the reference hashes it: that of the database's collation.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn metadata(&mut self) -> Result<Vec<Pair>, ReferenceError> {
        self.load(
            "SELECT slice_id, coalesce(key, '') AS key, coalesce(value, '') AS value \
             FROM slice_metadata AS pairs ORDER BY pairs.slice_id, pairs.key",
        )
    }

    /// All subscriptions, the oldest first.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn subscriptions(&mut self) -> Result<Vec<Subscription>, ReferenceError> {
        self.load(
            "SELECT sub_id AS id, slice_id, company_id, coalesce(name, '') AS name, \
             coalesce(description, '') AS description, coalesce(active, FALSE) AS active, created_at, updated_at \
             FROM subscriptions ORDER BY subscriptions.created_at, sub_id",
        )
    }

    /// All tags by id.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn tags(&mut self) -> Result<Vec<Tag>, ReferenceError> {
        self.load(
            "SELECT id::bigint AS id, coalesce(name, '') AS name, coalesce(description, '') AS description, \
             created_at, updated_at FROM tags ORDER BY tags.id, tags.created_at",
        )
    }

    /// Which slice has which tag.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn slice_tags(&mut self) -> Result<Vec<SliceTag>, ReferenceError> {
        self.load("SELECT tag_id::bigint AS tag_id, slice_id FROM slice_tags ORDER BY 1, 2")
    }

    /// How many grains each slice has.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn grain_counts(&mut self) -> Result<Vec<GrainCount>, ReferenceError> {
        self.load("SELECT slice_id, count(*) AS grains FROM grains GROUP BY slice_id ORDER BY slice_id")
    }

    /// Grains whose slice is not there, at most `limit` of them.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn orphans(&mut self, limit: i64) -> Result<Vec<Orphan>, ReferenceError> {
        let sql = "SELECT id, coalesce(grain_key, '') AS grain_key FROM grains \
                   WHERE NOT EXISTS (SELECT 1 FROM slices WHERE slices.id = grains.slice_id) ORDER BY id LIMIT $1";
        Ok(diesel::sql_query(sql).bind::<BigInt, _>(limit).load(&mut self.conn)?)
    }

    /// Begins to read the grains of a slice by id; see [`next_grains`](Self::next_grains).
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn begin_grains(&mut self, slice_id: Id) -> Result<(), ReferenceError> {
        self.begin(
            "grains_of_slice",
            &format!(
                "SELECT id, coalesce(grain_key, '') AS grain_key, coalesce(encoding::text, '') AS encoding, \
                 coalesce(source, '') AS source, coalesce(octet_length(payload), 0)::bigint AS payload_bytes, \
                 row_number() OVER (PARTITION BY grain_key ORDER BY id) AS nth_of_key, created_at \
                 FROM grains WHERE slice_id = '{slice_id}' ORDER BY id, grain_key"
            ),
        )
    }

    /// The next grains of the slice, `limit` at most; none at the end.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn next_grains(&mut self, limit: usize) -> Result<Vec<GrainHead>, ReferenceError> {
        self.load(&format!("FETCH FORWARD {limit} FROM grains_of_slice"))
    }

    /// Payload texts of grains of a slice, by id and key; the caller keeps what they amount to small.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn payloads(
        &mut self,
        slice_id: Id,
        ids: Vec<Id>,
    ) -> Result<HashMap<(Id, String), String>, ReferenceError> {
        let rows: Vec<Fetched> = diesel::sql_query(
            "SELECT id, coalesce(grain_key, '') AS grain_key, coalesce(payload, '') AS payload FROM grains \
             WHERE slice_id = $1 AND id = ANY($2)",
        )
        .bind::<SqlId, _>(slice_id)
        .bind::<Array<SqlId>, _>(ids)
        .load(&mut self.conn)?;
        Ok(rows.into_iter().map(|row| ((row.id, row.grain_key), row.payload)).collect())
    }

    /// How many records there are.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn count_activity(&mut self) -> Result<i64, ReferenceError> {
        self.count("SELECT count(*) AS count FROM activity")
    }

    /// Begins to read the records by id; see [`next_activity`](Self::next_activity).
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn begin_activity(&mut self) -> Result<(), ReferenceError> {
        self.begin(
            "all_activity",
            "SELECT id::bigint AS id, company_id, sub_id, coalesce(success, FALSE) AS success, \
             coalesce(message, '') AS message, coalesce(error, '') AS error, coalesce(duration, 0) AS duration, \
             created_at FROM activity ORDER BY activity.id, activity.created_at",
        )
    }

    /// The next records, `limit` at most; none at the end.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn next_activity(&mut self, limit: usize) -> Result<Vec<Activity>, ReferenceError> {
        self.load(&format!("FETCH FORWARD {limit} FROM all_activity"))
    }

    /// A cursor in place of the one before. It plans for the whole result, not for its first rows.
    fn begin(&mut self, cursor: &str, query: &str) -> Result<(), ReferenceError> {
        self.conn.batch_execute(&format!(
            "CLOSE ALL; SET LOCAL cursor_tuple_fraction = 1; DECLARE {cursor} NO SCROLL CURSOR FOR {query}"
        ))?;
        Ok(())
    }
}

/// Whether `url` is itself a database of the reference: nothing of ours belongs there.
///
/// # Errors
/// What the database reports.
pub fn is_reference(url: &DatabaseUrl) -> Result<bool, StoreError> {
    if !matches!(url, DatabaseUrl::Postgres(_)) {
        return Ok(false);
    }
    let Connection::Postgres(mut conn) = open(url)? else { return Ok(false) };
    let found: Count = diesel::sql_query(
        "SELECT count(*) AS count FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'darwin_migrations'",
    )
    .get_result(&mut conn)?;
    Ok(found.count > 0)
}

#[cfg(test)]
mod tests {
    use super::{Moment, PG_EPOCH_UNIX_MICROS, YEARS_UNIX_MICROS};

    #[test]
    fn a_time_that_no_calendar_of_ours_has_is_told_apart() {
        let at = |unix_micros: i64| Moment::of_micros(unix_micros - PG_EPOCH_UNIX_MICROS);
        assert!(matches!(at(0), Moment::At(time) if time.to_string() == "1970-01-01T00:00:00Z"));
        assert_eq!(at(YEARS_UNIX_MICROS.start), Moment::Never);
        assert_eq!(at(YEARS_UNIX_MICROS.start - 1), Moment::Beyond);
        assert!(
            matches!(at(YEARS_UNIX_MICROS.end - 1), Moment::At(time) if time.to_string().starts_with("9999-12-31"))
        );
        for infinity in [i64::MAX, i64::MIN, YEARS_UNIX_MICROS.end] {
            assert_eq!(Moment::of_micros(infinity), Moment::Beyond);
        }
    }
}
