//! Logins of people: what is alive, who may see and end it.

use chrono::Duration;

use crate::node::permission::{Action, Scope};
use crate::node::query::List;
use crate::node::{Error, Node, Principal};
use crate::store::list::Selection;
use crate::store::session::{Ended, SessionRow};
use crate::store::{self, Connection};
use crate::wire::page::Page;
use crate::wire::session::Session;
use crate::wire::user::Role;
use crate::wire::{Id, Timestamp};

pub use crate::store::session::COLUMNS;

const MISSING: Error = Error::NotFound("Session does not exist.");

/// How long logins of people live.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// From the login on.
    pub whole: Duration,
    /// Without a request.
    pub idle: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Self { whole: Duration::hours(24), idle: Duration::hours(24) }
    }
}

/// `last_seen_at` is this coarse: a request writes at most so often.
pub(in crate::node) const SEEN_EVERY: Duration = Duration::seconds(60);

impl Lives {
    /// Whether a session is alive.
    pub fn admit(self, session: &SessionRow, now: Timestamp) -> bool {
        // As coarse as `last_seen_at` is, so that nobody is sent away before his time.
        let idle_until = session.last_seen_at.plus(self.idle + SEEN_EVERY);
        session.ended_at.is_none() && now < session.expires_at && now < idle_until
    }

    /// A session that was not seen since then is idle.
    fn idle_since(self, now: Timestamp) -> Timestamp {
        now.plus(-(self.idle + SEEN_EVERY))
    }
}

/// Ends the caller's own login.
///
/// # Errors
/// [`Error::Forbidden`] for a machine, which has none: its tokens end with its key.
pub async fn logout(node: &Node, who: &Principal) -> Result<(), Error> {
    node.permit(who, Action::Logout)?;
    let id = who.session_id.ok_or(Error::Forbidden)?;
    let now = node.clock.now();
    node.store.write(move |conn| store::session::end(conn, id, Ended::LoggedOut, now)).await?;
    Ok(())
}

/// The logins that are alive, newest first: the caller's own, for staff everybody's.
///
/// # Errors
/// [`Error::Forbidden`].
pub async fn list(node: &Node, who: &Principal, list: List) -> Result<Page<Session>, Error> {
    let user = match node.permit(who, Action::ListSessions)? {
        Scope::All => None,
        Scope::Own { user_id, .. } => Some(user_id),
    };
    let (now, current) = (node.clock.now(), who.session_id);
    let idle_since = node.sessions.idle_since(now);
    node.store
        .read(move |conn| {
            let (rows, total) = store::session::list(conn, user, idle_since, now, &list.selection)?;
            list.page(rows, total, store::session::position, |rows| {
                Ok(rows.into_iter().map(|(row, username)| to_wire(row, username, current)).collect())
            })
        })
        .await
}

/// The logins that are alive, or those of one user, for who stands at the server itself.
///
/// # Errors
/// What the store reports.
pub async fn all(node: &Node, user: Option<i64>) -> Result<Vec<Session>, Error> {
    let now = node.clock.now();
    let idle_since = node.sessions.idle_since(now);
    let read = move |conn: &mut Connection| {
        store::session::list(conn, user, idle_since, now, &Selection::all(&COLUMNS))
    };
    let (rows, _total) = node.store.read(read).await?;
    Ok(rows.into_iter().map(|(row, username)| to_wire(row, username, None)).collect())
}

/// Ends every login of a user, for who stands at the server itself; returns how many were alive.
///
/// # Errors
/// What the store reports.
pub async fn end_all(node: &Node, user: i64) -> Result<usize, Error> {
    let alive = all(node, Some(user)).await?.len();
    let now = node.clock.now();
    let end = move |conn: &mut Connection| store::session::end_all(conn, user, None, Ended::ByHand, now);
    node.store.write(end).await?;
    Ok(alive)
}

/// Ends one login.
///
/// # Errors
/// [`Error::Forbidden`] for another's, unless the caller is staff, and for that of a stronger user; [`Error::NotFound`].
pub async fn end(node: &Node, who: &Principal, id: Id) -> Result<(), Error> {
    let scope = node.permit(who, Action::EndSession)?;
    let (now, by) = (node.clock.now(), who.clone());
    node.store
        .write(move |conn: &mut Connection| -> Result<(), Error> {
            // Whose it might be, nobody else may learn.
            let found = store::session::find(conn, id)?;
            let found = found.ok_or_else(|| scope.unless_own(Error::Forbidden, MISSING))?;
            scope.admits_user(found.user.id)?;
            let role = Role::from_number(found.user.role);
            if found.user.id != by.user_id && role.is_some_and(|role| role.number() < by.role.number()) {
                return Err(Error::Forbidden);
            }
            if !store::session::end(conn, id, Ended::ByHand, now)? {
                return Err(MISSING);
            }
            Ok(())
        })
        .await
}

fn to_wire(row: SessionRow, username: String, current: Option<Id>) -> Session {
    Session {
        current: current == Some(row.id),
        id: row.id,
        user_id: row.user_id,
        username,
        created_at: row.created_at,
        last_seen_at: row.last_seen_at,
        expires_at: row.expires_at,
        address: row.address.unwrap_or_default(),
        agent: row.agent.unwrap_or_default(),
    }
}
