//! Going on with a database that was restored from a backup (decision 0017): what has ended since ends again, no number is
//! given out twice, and nobody stays logged in.

use std::collections::BTreeSet;

use serde::Serialize;

use super::keyring::{Fresh, end_in_recovery};
use crate::node::{Error, Node};
use crate::store::session::Ended;
use crate::store::user::UserRow;
use crate::store::{self, Connection, StoreError, Unknown};
use crate::wire::server::ServerRole;
use crate::wire::{Id, Timestamp};

/// Who ends something, and why, as rows of api-keys say it.
const BY: &str = "recover";
const WHY: &str = "rolled back";

/// What a recovery did: whom to look after.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recovered {
    /// Companies whose keys were ended; they must be given another one, or connect again.
    pub companies_without_key: BTreeSet<String>,
    /// Users who were switched off: they had been removed, switched off, or given another role.
    pub users_switched_off: BTreeSet<String>,
    /// Users whose password had been changed: another one must be set.
    pub passwords_to_set: BTreeSet<String>,
    /// Companies that were switched off.
    pub companies_switched_off: BTreeSet<String>,
    /// Subscriptions that were switched off, by name.
    pub subscriptions_switched_off: BTreeSet<String>,
    /// Slices that had been published anew or removed: closed for sync until somebody opens them.
    pub slices_closed: BTreeSet<String>,
    /// Keys of the rings that were retired.
    pub ring_keys_retired: Vec<String>,
    /// Logins of people that were alive.
    pub logins_ended: usize,
}

/// Recovers; `None` when the database knows all that this node remembers.
///
/// # Errors
/// What the store reports: then nothing was changed.
pub async fn recover(node: &Node) -> Result<Option<Recovered>, Error> {
    let fresh = Fresh::of(node);
    let now = node.clock.now();
    let is_primary = node.server.server_role == ServerRole::Primary;
    // Not the next number: two copies of a database may be recovered, each for itself.
    let lineage = (i64::from_be_bytes(node.random.bytes()) & i64::MAX).max(1);
    node.store
        .recover(lineage, move |conn, unknown| -> Result<Recovered, Error> {
            let mut done = Recovered::default();
            for death in &unknown.deaths {
                end_again(conn, &death.kind, &death.id, now, &mut done)?;
            }
            let ring_keys: Vec<String> = of_kind(unknown, "ring_key");
            done.ring_keys_retired = end_in_recovery(conn, &ring_keys, unknown.given_out, &fresh)?;
            done.logins_ended = store::session::end_everybodys(conn, Ended::RolledBack, now)?;
            store::company::raise_key_generations(conn, unknown.given_out)?;
            if is_primary {
                for (slice, _size) in store::slice::sizes(conn, None)? {
                    // One more: the number of what is published again was not given out either.
                    store::version::skip(conn, &slice, unknown.given_out + 1, now)?;
                }
            }
            Ok(done)
        })
        .await
}

fn of_kind(unknown: &Unknown, kind: &str) -> Vec<String> {
    unknown.deaths.iter().filter(|death| death.kind == kind).map(|death| death.id.clone()).collect()
}

/// Does what the event did. What is not in the backup, or is dead in it, needs no end.
fn end_again(
    conn: &mut Connection,
    kind: &str,
    id: &str,
    now: Timestamp,
    done: &mut Recovered,
) -> Result<(), Error> {
    match kind {
        "api_key" => {
            if let Some(key) = store::api_key::find(conn, parse(id)?)?
                && key.state != "revoked"
            {
                store::api_key::revoke(conn, key.key_id, BY, WHY, now)?;
                let company = store::company::find(conn, key.company_id)?;
                done.companies_without_key.extend(company.map(|company| company.name));
            }
        }
        "user" => {
            if let Some(user) = store::user::find(conn, number(id)?)? {
                store::user::end_tokens(conn, user.id)?;
                if user.active {
                    store::user::update(conn, &UserRow { active: false, updated_at: now, ..user.clone() })?;
                    done.users_switched_off.insert(user.username);
                }
            }
        }
        "password" => {
            if let Some(user) = store::user::find(conn, number(id)?)?
                && user.password_hash.is_some()
            {
                store::user::take_password(conn, user.id, now)?;
                done.passwords_to_set.insert(user.username);
            }
        }
        "company" => {
            if let Some(mut company) = store::company::find(conn, parse(id)?)?
                && company.active
            {
                (company.active, company.updated_at) = (false, now);
                store::company::update(conn, &company)?;
                done.companies_switched_off.insert(company.name);
            }
        }
        "subscription" => {
            if let Some(subscription) = store::subscription::find(conn, parse(id)?)?
                && subscription.active
            {
                store::subscription::set_active(conn, subscription.id, false, now)?;
                done.subscriptions_switched_off.insert(subscription.name);
            }
        }
        "slice" => {
            if let Some(slice) = store::slice::find(conn, parse(id)?)? {
                store::slice::set_lock(conn, slice.id, false, None, now)?;
                done.slices_closed.insert(slice.name);
            }
        }
        // All at once, behind the others.
        "ring_key" => {}
        other => {
            // Written by a newer program: what it is must not be passed over.
            return Err(Error::Conflict(format!(
                "the data folder remembers that a {other} ended, which this version does not know: upgrade this program"
            )));
        }
    }
    Ok(())
}

fn parse(id: &str) -> Result<Id, Error> {
    id.parse().map_err(|_not_one| damaged(id))
}

fn number(id: &str) -> Result<i64, Error> {
    id.parse().map_err(|_not_one| damaged(id))
}

fn damaged(id: &str) -> Error {
    StoreError::HighWater(format!("the data folder's file high-water has a line with a damaged id ({id})"))
        .into()
}
