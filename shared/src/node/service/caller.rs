//! Looking at a caller again. A read let him in; what ended him since must not be outrun by what he asked for, so a
//! transaction that makes or ends credentials looks once more.

use super::key_life::accepts;
use crate::node::{Error, Principal};
use crate::store::api_key::KeyName;
use crate::store::user::Holder;
use crate::store::{self, Connection};
use crate::wire::Timestamp;

/// Refuses a caller whose credential, user, role or company is not what it was when he was let in.
///
/// # Errors
/// [`Error::Unauthenticated`]; what the store reports.
pub fn require_still_good(conn: &mut Connection, who: &Principal, now: Timestamp) -> Result<(), Error> {
    let is_same = |user: &Holder| user.active && user.id == who.user_id && user.role == who.role.number();
    let is_good = match (who.key_id, who.session_id) {
        (Some(key_id), _) => {
            store::api_key::look_up(conn, &KeyName::Id(key_id))?.found.is_some_and(|found| {
                accepts(&found.key.standing, now) && is_same(&found.user) && found.company_active
            })
        }
        (None, Some(session)) => store::session::find(conn, session)?.is_some_and(|found| {
            found.session.ended_at.is_none() && is_same(&found.user) && found.company_active
        }),
        (None, None) => false,
    };
    if is_good { Ok(()) } else { Err(Error::Unauthenticated) }
}
