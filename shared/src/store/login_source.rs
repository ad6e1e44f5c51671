//! Where users have logged in from.

use diesel::prelude::*;

use super::schema::login_sources;
use super::{Connection, StoreError};
use crate::wire::Timestamp;

/// Whether a user has logged in from `source` since then.
///
/// # Errors
/// What SQL reports.
pub fn is_known(
    conn: &mut Connection,
    user_id: i64,
    source: &str,
    since: Timestamp,
) -> Result<bool, StoreError> {
    let known = login_sources::table
        .find((user_id, source))
        .filter(login_sources::last_at.ge(since))
        .select(login_sources::user_id);
    Ok(known.first::<i64>(conn).optional()?.is_some())
}

/// Notes that a user has logged in from `source`.
///
/// # Errors
/// What SQL reports.
pub fn remember(conn: &mut Connection, user_id: i64, source: &str, now: Timestamp) -> Result<(), StoreError> {
    super::on_backend!(conn, |c| diesel::insert_into(login_sources::table)
        .values((
            login_sources::user_id.eq(user_id),
            login_sources::source.eq(source),
            login_sources::last_at.eq(now),
        ))
        .on_conflict((login_sources::user_id, login_sources::source))
        .do_update()
        .set(login_sources::last_at.eq(now))
        .execute(c))?;
    Ok(())
}

/// Removes where a user has not logged in from since then.
///
/// # Errors
/// What SQL reports.
pub fn forget_before(conn: &mut Connection, user_id: i64, before: Timestamp) -> Result<(), StoreError> {
    let old = login_sources::table
        .filter(login_sources::user_id.eq(user_id))
        .filter(login_sources::last_at.lt(before));
    diesel::delete(old).execute(conn)?;
    Ok(())
}
