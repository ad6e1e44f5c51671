//! Slowing down who guesses passwords, in a way that nobody can use to lock the owner out (security L2). Counts stand in
//! the database: every server sees them, and a restart changes nothing.

use chrono::Duration;

use crate::crypto::mac::MacKey;
use crate::crypto::password::Lane;
use crate::node::{Error, Node};
use crate::store::login_failure::FailuresRow;
use crate::store::user::{UserRow, login_key};
use crate::store::{self, Connection, StoreError};
use crate::wire::Timestamp;

/// Failures of a name from one place for which nobody waits; each further one doubles the wait.
const FREE: i64 = 3;
const LONGEST_WAIT: Duration = Duration::seconds(60);
/// Failures of an account from places that its owner is not known to use, in [`A_DAY`].
const MOST: i64 = 100;
/// After its first failure a count starts anew.
const A_DAY: Duration = Duration::hours(24);
/// A place is known so long after a good login.
const KNOWN_FOR: Duration = Duration::days(30);
/// Counts that are over go in such steps, with the failures that are added: fewer than they.
const SWEEP: i64 = 100;

/// One try with a password.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Of the name that was given and the place.
    place: Vec<u8>,
    /// Of the user, or of a name that nobody has.
    account: Vec<u8>,
    source: String,
    is_known: bool,
}

impl Attempt {
    /// `name` may be anybody's or nobody's.
    ///
    /// # Errors
    /// [`Error::Throttled`] when it comes too early: the password is not looked at.
    pub(super) fn begin(
        conn: &mut Connection,
        key: &MacKey,
        name: &str,
        user: Option<&UserRow>,
        source: String,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let name = login_key(name);
        // As much work for a name that nobody has.
        let user_id = user.map_or(-1, |user| user.id);
        let is_known = store::login_source::is_known(conn, user_id, &source, known_since(now))?;
        let attempt = Self {
            // By the name as given: a count that a user's name and address share would show that they are one.
            place: key.of(&["place", &name, &source]),
            account: match user {
                Some(user) => key.of(&["user", &user.id.to_string()]),
                None => key.of(&["name", &name]),
            },
            source,
            is_known,
        };
        let place = store::login_failure::find(conn, &attempt.place)?;
        let account = store::login_failure::find(conn, &attempt.account)?;
        attempt.judge(place.as_ref(), account.as_ref(), now)?;
        Ok(attempt)
    }

    /// Where its hash is computed.
    pub(super) fn lane(&self) -> Lane {
        if self.is_known { Lane::Known } else { Lane::Stranger }
    }

    /// Whether it comes too early.
    fn judge(
        &self,
        place: Option<&FailuresRow>,
        account: Option<&FailuresRow>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut wait = place.filter(|row| !is_over(row, now)).map_or(Duration::zero(), |row| {
            // Servers' clocks differ, and are set: nobody waits longer than at the moment of his failure.
            let wait = wait_after(row.failures);
            (row.last_at.plus(wait).get() - now.get()).min(wait)
        });
        let spent = account.filter(|row| !self.is_known && !is_over(row, now) && row.failures >= MOST);
        if let Some(row) = spent {
            wait = wait.max((row.first_at.plus(A_DAY).get() - now.get()).min(A_DAY));
        }
        if wait <= Duration::zero() {
            return Ok(());
        }
        Err(Error::Throttled { seconds: wait.num_seconds() + i64::from(wait.subsec_nanos() > 0) })
    }

    /// The password was right: whether that may be told. If other tries have failed meanwhile, it may not, or who sends a
    /// hundred at once would learn of a hundred.
    ///
    /// # Errors
    /// [`Error::Throttled`].
    pub(super) fn succeed(&self, conn: &mut Connection, user_id: i64, now: Timestamp) -> Result<(), Error> {
        let place = store::login_failure::find(conn, &self.place)?;
        let account = store::login_failure::find(conn, &self.account)?;
        self.judge(place.as_ref(), account.as_ref(), now)?;
        if place.is_some() {
            store::login_failure::forget(conn, &self.place)?;
        }
        store::login_source::forget_before(conn, user_id, known_since(now))?;
        store::login_source::remember(conn, user_id, &self.source, now)?;
        Ok(())
    }

    /// The password was wrong: counts that, and returns `refusal`, or that the try came too early.
    pub(super) async fn fail(self, node: &Node, refusal: Error) -> Error {
        let now = node.clock.now();
        let counted = node
            .store
            .write(move |conn| {
                // In this order everywhere: two who wait for each other would both fail.
                let mut place = counting(conn, &self.place, now)?;
                let mut account = counting(conn, &self.account, now)?;
                self.judge(Some(&place), Some(&account), now)?;
                for row in [&mut place, &mut account] {
                    row.failures += 1;
                    row.last_at = now;
                    store::login_failure::put(conn, row)?;
                }
                if account.failures == MOST {
                    tracing::warn!(
                        source = self.source,
                        "the failed logins of an account have reached the limit of a day"
                    );
                }
                store::login_failure::forget_before(conn, now.plus(-A_DAY), SWEEP)?;
                Ok(())
            })
            .await;
        match counted {
            Ok(()) => refusal,
            Err(error) => error,
        }
    }
}

/// Forgets the failures of an account: a new password makes the old guesses worthless.
///
/// # Errors
/// What the store reports.
pub(super) fn forgive(conn: &mut Connection, key: &MacKey, user: &UserRow) -> Result<(), StoreError> {
    store::login_failure::forget(conn, &key.of(&["user", &user.id.to_string()]))
}

/// Forgets the failures of an account, for who stands at the server itself.
///
/// # Errors
/// What the store reports.
pub async fn unlock(node: &Node, user: UserRow) -> Result<(), Error> {
    let key = node.throttle.clone();
    Ok(node.store.write(move |conn| forgive(conn, &key, &user)).await?)
}

/// Wait after so many failures: 0, 0, 0, 1, 2, 4 … 60 seconds.
fn wait_after(failures: i64) -> Duration {
    match failures - FREE {
        ..=0 => Duration::zero(),
        more => Duration::seconds(1 << (more - 1).min(6)).min(LONGEST_WAIT),
    }
}

fn is_over(row: &FailuresRow, now: Timestamp) -> bool {
    row.first_at.plus(A_DAY) <= now
}

fn known_since(now: Timestamp) -> Timestamp {
    now.plus(-KNOWN_FOR)
}

/// What has been counted today; nobody else counts there until the transaction ends.
fn counting(conn: &mut Connection, id: &[u8], now: Timestamp) -> Result<FailuresRow, StoreError> {
    let found = store::login_failure::find_for_update(conn, id, now)?;
    Ok(found.filter(|row| !is_over(row, now)).unwrap_or_else(|| FailuresRow {
        id: id.to_vec(),
        failures: 0,
        first_at: now,
        last_at: now,
    }))
}

#[cfg(test)]
mod tests {
    use super::wait_after;

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_minute() {
        let waits: Vec<i64> = (0..13).map(|failures| wait_after(failures).num_seconds()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait_after(i64::MAX).num_seconds(), 60);
    }
}
