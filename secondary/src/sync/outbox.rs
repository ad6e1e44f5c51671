//! What the primary is to hear of a run waits in the outbox until it has been heard: in order, at least once, and never in the
//! way of a run.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::client::{Client, ClientError};
use shared::failpoint::{Failpoint, reach};
use shared::node::Error;
use shared::store;
use shared::store::outbox::OutboxRow;
use shared::wire::activity::Activity;
use shared::wire::slice::VersionId;
use shared::wire::{Id, Timestamp};
use tokio::time::timeout;

use crate::Secondary;

/// Records read, and forgotten, in one step.
const PAGE: i64 = 50;
/// Older records are news to nobody.
const KEPT_DAYS: i64 = 30;
/// A record that the primary fails to take so often is left out, or nothing behind it would ever arrive.
const ATTEMPTS: i64 = 5;
/// What waits from earlier runs keeps a run from its slices for so long at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// A record of the sync log, without what only the primary knows: our company's id there.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    /// The subscription that it is about; nil for a run.
    pub sub_id: Id,
    /// What happened.
    pub message: String,
    /// Why not, if it failed.
    pub error: String,
    /// Nanoseconds.
    pub duration: i64,
    /// What we have of the slice now, in the primary's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionId>,
}

impl Record {
    /// As it waits.
    pub fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|error| Error::Internal(error.to_string()))
    }

    /// As it travels. One that comes late says when it was.
    fn into_activity(self, company_id: Id, late: Option<Timestamp>) -> (Activity, Option<VersionId>) {
        let message = match late {
            Some(moment) => format!("{} ({moment})", self.message),
            None => self.message,
        };
        let activity = Activity {
            id: 0,
            company_id,
            sub_id: self.sub_id,
            success: self.error.is_empty(),
            message,
            error: self.error,
            duration: self.duration,
            created_at: None,
            subscription: None,
        };
        (activity, self.version)
    }
}

/// Delivers what waits from earlier contacts. Nothing comes of a failure: it goes on waiting.
pub(crate) async fn deliver_late(secondary: &Secondary, primary_id: Id, client: &Client) {
    let store = &secondary.node.store;
    // The usual case writes nothing.
    match store.read(move |conn| store::outbox::page(conn, primary_id, 0, 1)).await {
        Ok(waiting) if waiting.is_empty() => return,
        Ok(_waiting) => {}
        Err(error) => return tell(primary_id, Err(error.into())),
    }
    let now = secondary.node.clock.now();
    let delivered = timeout(PATIENCE, deliver(secondary, primary_id, client, None)).await;
    tell(primary_id, delivered.unwrap_or(Ok(())));
    let before = now.plus(chrono::Duration::days(-KEPT_DAYS));
    let expired = store.write(move |conn| store::outbox::expire(conn, primary_id, before)).await;
    if let Err(error) = expired {
        tracing::warn!(primary = %primary_id, %error, "old reports of syncs could not be cleared");
    }
}

/// Delivers what waits, of which a run that ended at `fresh` has put in the newest.
pub(super) async fn deliver_fresh(
    secondary: &Secondary,
    primary_id: Id,
    client: &Client,
    fresh: Option<Timestamp>,
) {
    tell(primary_id, deliver(secondary, primary_id, client, fresh).await);
}

fn tell(primary_id: Id, delivered: Result<(), Error>) {
    if let Err(error) = delivered {
        tracing::warn!(primary = %primary_id, %error, "the primary did not take every report of a sync: the rest waits");
    }
}

/// What became of a record.
enum Fate {
    /// The primary has it, or never will.
    Gone,
    /// It cannot take it now.
    Waits(ClientError),
    /// It fails at it.
    Fails(ClientError),
}

async fn deliver(
    secondary: &Secondary,
    primary_id: Id,
    client: &Client,
    fresh: Option<Timestamp>,
) -> Result<(), Error> {
    let store = &secondary.node.store;
    let (mut company_id, mut after) = (None, 0);
    loop {
        let rows = store.read(move |conn| store::outbox::page(conn, primary_id, after, PAGE)).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        let company = match company_id {
            Some(id) => id,
            // Our company there; the reference takes it for granted that both nodes use one id.
            None => client.me().await?.company_id,
        };
        company_id = Some(company);
        let (mut gone, mut failed, mut stuck) = (Vec::new(), None, None);
        for row in rows {
            let (id, attempts) = (row.id, row.attempts);
            match send(client, company, row, fresh).await {
                Fate::Gone => gone.push(id),
                Fate::Fails(error) if attempts + 1 >= ATTEMPTS => {
                    tracing::warn!(primary = %primary_id, %error, "a report of a sync is given up");
                    gone.push(id);
                }
                Fate::Fails(error) => {
                    (failed, stuck) = (Some(id), Some(error));
                    break;
                }
                Fate::Waits(error) => {
                    stuck = Some(error);
                    break;
                }
            }
        }
        reach(Failpoint::ReportDelivered);
        store
            .write(move |conn| {
                store::outbox::remove(conn, &gone)?;
                match failed {
                    Some(id) => store::outbox::count_attempt(conn, id),
                    None => Ok(()),
                }
            })
            .await?;
        if let Some(error) = stuck {
            return Err(error.into());
        }
    }
}

/// A record that the primary refuses says nothing about the next one; a primary that is gone or at a loss does. (A server
/// of the reference refuses every record of a failure, and must hear of the successes all the same: gap B6.)
async fn send(client: &Client, company_id: Id, row: OutboxRow, fresh: Option<Timestamp>) -> Fate {
    let Ok(record) = serde_json::from_str::<Record>(&row.record) else { return Fate::Gone };
    let late = Some(row.created_at).filter(|moment| fresh.is_none_or(|fresh| *moment < fresh));
    let (activity, version) = record.into_activity(company_id, late);
    match client.report(&activity, version.as_ref()).await {
        Ok(()) => Fate::Gone,
        Err(error @ ClientError::Refused { status, .. }) => {
            // What says itself that it will be well again, and a token that has ended.
            if [401, 408, 429, 503].contains(&status.as_u16()) {
                return Fate::Waits(error);
            }
            if status.is_server_error() {
                return Fate::Fails(error);
            }
            tracing::warn!(primary = %row.primary_id, %error, "the primary refused a report of a sync");
            Fate::Gone
        }
        Err(error) => Fate::Waits(error),
    }
}
