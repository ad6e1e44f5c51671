//! Logins of people: one row each, found by the hash of its refresh token.

use diesel::prelude::*;

use super::list::{Column, Columns, Kind, Selection, Value, all_of, page_of};
use super::schema::{companies, sessions, settings, users};
use super::user::Holder;
use super::{Connection, StoreError, on_backend};
use crate::wire::{Id, Timestamp};

/// A row of `sessions`.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = sessions)]
pub struct SessionRow {
    /// The `sid` claim of its access tokens.
    pub id: Id,
    /// Whose login it is.
    pub user_id: i64,
    /// SHA-256 of the refresh token.
    pub token_sha256: Vec<u8>,
    /// Time of the login.
    pub created_at: Timestamp,
    /// Time of the last request, to the minute.
    pub last_seen_at: Timestamp,
    /// Everything of it is refused from here on.
    pub expires_at: Timestamp,
    /// When it was ended before that.
    pub ended_at: Option<Timestamp>,
    /// IP address of the login.
    pub address: Option<String>,
    /// What the client called itself.
    pub agent: Option<String>,
    /// Why it was ended.
    pub ended_why: Option<String>,
}

/// Why a session ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its owner logged out.
    LoggedOut,
    /// Its owner or staff ended it from elsewhere.
    ByHand,
    /// The user has another password.
    PasswordChanged,
    /// The user was switched off.
    SwitchedOff,
    /// The user was removed.
    UserDeleted,
    /// The user became the machine user of a minted key, or that was revoked.
    KeyChanged,
    /// A refresh token that had been exchanged was shown again.
    TokenReused,
    /// The database was restored from a backup, which may not know of its end.
    RolledBack,
}

impl Ended {
    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged out",
            Self::ByHand => "ended by hand",
            Self::PasswordChanged => "password changed",
            Self::SwitchedOff => "switched off",
            Self::UserDeleted => "user deleted",
            Self::KeyChanged => "api-key changed",
            Self::TokenReused => "refresh token used twice",
            Self::RolledBack => "rolled back",
        }
    }
}

/// Adds a session.
///
/// # Errors
/// What SQL reports.
pub fn insert(conn: &mut Connection, row: &SessionRow) -> Result<(), StoreError> {
    diesel::insert_into(sessions::table).values(row).execute(conn)?;
    Ok(())
}

/// What one read tells of a session.
#[derive(Debug, Clone, Queryable)]
pub struct FoundSession {
    /// The session.
    pub session: SessionRow,
    /// Whose it is.
    pub user: Holder,
    /// Whether the user's company is switched on.
    pub company_active: bool,
    /// Which state of the key rings is in force.
    pub ring_epoch: i64,
}

macro_rules! found {
    ($conn:expr, $condition:expr) => {
        // On the connection itself, where a query that does not change its shape is written and prepared once.
        on_backend!($conn, |conn| sessions::table
            .inner_join(users::table)
            .filter(users::deleted_at.is_null())
            .filter($condition)
            .select((
                sessions::all_columns,
                Holder::as_select(),
                // Not as one more join: see `look_up!` of api-keys.
                companies::table
                    .filter(companies::id.eq(users::company_id))
                    .select(companies::active)
                    .single_value()
                    .assume_not_null(),
                settings::table.select(settings::ring_epoch).single_value().assume_not_null(),
            ))
            .get_result(conn)
            .optional())
    };
}

/// The session with this refresh token.
///
/// # Errors
/// What SQL reports.
pub fn find_by_token(conn: &mut Connection, token_sha256: &[u8]) -> Result<Option<FoundSession>, StoreError> {
    Ok(found!(conn, sessions::token_sha256.eq(token_sha256))?)
}

/// A session with its user and company: the one read behind every request of a person.
///
/// # Errors
/// What SQL reports.
pub fn find(conn: &mut Connection, id: Id) -> Result<Option<FoundSession>, StoreError> {
    Ok(found!(conn, sessions::id.eq(id))?)
}

/// Notes that it is in use, if nobody has since `unseen_since`.
///
/// # Errors
/// What SQL reports.
pub fn touch(
    conn: &mut Connection,
    id: Id,
    unseen_since: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(sessions::table.find(id).filter(sessions::last_seen_at.le(unseen_since)))
        .set(sessions::last_seen_at.eq(now))
        .execute(conn)?;
    Ok(())
}

/// Exchanges the refresh token, if it still is `old` and the session was not ended; else `false`.
///
/// # Errors
/// What SQL reports.
pub fn exchange_token(
    conn: &mut Connection,
    id: Id,
    old_sha256: &[u8],
    new_sha256: &[u8],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let same = sessions::table
        .find(id)
        .filter(sessions::token_sha256.eq(old_sha256))
        .filter(sessions::ended_at.is_null());
    let exchanged = diesel::update(same)
        .set((sessions::token_sha256.eq(new_sha256), sessions::last_seen_at.eq(now)))
        .execute(conn)?;
    Ok(exchanged == 1)
}

/// Ends one session: no token of it is good any more. `false` if it was ended before.
///
/// # Errors
/// What SQL reports.
pub fn end(conn: &mut Connection, id: Id, why: Ended, now: Timestamp) -> Result<bool, StoreError> {
    let ended = diesel::update(sessions::table.find(id).filter(sessions::ended_at.is_null()))
        .set((sessions::ended_at.eq(now), sessions::ended_why.eq(why.as_str())))
        .execute(conn)?;
    Ok(ended == 1)
}

/// Ends every session of a user, but for `kept` if there is one.
///
/// # Errors
/// What SQL reports.
pub fn end_all(
    conn: &mut Connection,
    user_id: i64,
    kept: Option<Id>,
    why: Ended,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::update(
        sessions::table
            .filter(sessions::user_id.eq(user_id))
            .filter(sessions::ended_at.is_null())
            .filter(sessions::id.ne(kept.unwrap_or(Id::NIL))),
    )
    .set((sessions::ended_at.eq(now), sessions::ended_why.eq(why.as_str())))
    .execute(conn)?;
    Ok(())
}

/// Ends every session of everybody; returns how many.
///
/// # Errors
/// What SQL reports.
pub fn end_everybodys(conn: &mut Connection, why: Ended, now: Timestamp) -> Result<usize, StoreError> {
    Ok(diesel::update(sessions::table.filter(sessions::ended_at.is_null()))
        .set((sessions::ended_at.eq(now), sessions::ended_why.eq(why.as_str())))
        .execute(conn)?)
}

/// Removes the sessions of a user whose time is over.
///
/// # Errors
/// What SQL reports.
pub fn forget_expired(conn: &mut Connection, user_id: i64, now: Timestamp) -> Result<(), StoreError> {
    diesel::delete(
        sessions::table.filter(sessions::user_id.eq(user_id)).filter(sessions::expires_at.lt(now)),
    )
    .execute(conn)?;
    Ok(())
}

/// What lists of sessions offer.
pub const COLUMNS: Columns = Columns {
    filter: LISTED,
    sort: LISTED,
    by_default: CREATED_AT.descending(),
    unique: ID,
    includes: &[],
    tagged: false,
    whole: false,
};

const ID: Column = Column::new("id", Kind::Id, "sessions.id");
const CREATED_AT: Column = Column::new("created_at", Kind::Time, "sessions.created_at");
const LISTED: &[Column] = &[
    ID,
    Column::new("user_id", Kind::Number, "sessions.user_id"),
    CREATED_AT,
    Column::new("last_seen_at", Kind::Time, "sessions.last_seen_at"),
    Column::new("expires_at", Kind::Time, "sessions.expires_at"),
];

/// What a row has in a column of [`COLUMNS`].
pub fn position((row, _username): &(SessionRow, String), column: &str) -> Value {
    match column {
        "user_id" => Value::Number(row.user_id),
        "created_at" => Value::Time(row.created_at),
        "last_seen_at" => Value::Time(row.last_seen_at),
        "expires_at" => Value::Time(row.expires_at),
        _ => Value::Id(row.id),
    }
}

/// A page of the sessions that are alive, only those of `user` if given, each with the user's name, and how many there
/// are.
///
/// # Errors
/// What SQL reports.
pub fn list(
    conn: &mut Connection,
    user: Option<i64>,
    idle_since: Timestamp,
    now: Timestamp,
    selection: &Selection,
) -> Result<(Vec<(SessionRow, String)>, i64), StoreError> {
    let query = || {
        let query = sessions::table
            .inner_join(users::table)
            .filter(users::deleted_at.is_null())
            .filter(sessions::ended_at.is_null())
            .filter(sessions::expires_at.gt(now))
            .filter(sessions::last_seen_at.gt(idle_since))
            .select((sessions::all_columns, users::username))
            .into_boxed();
        match user {
            Some(id) => query.filter(sessions::user_id.eq(id)),
            None => query,
        }
    };
    let page = page_of!(query(), selection).load(conn)?;
    let total = all_of!(query(), selection).count().get_result(conn)?;
    Ok((page, total))
}
