//! Who has which version of a slice. Receivers say so after a sync: ours by name and digest, those of the reference only
//! that all is well, which then means the version that they were last told of.

use std::collections::HashMap;

use chrono::Duration;

use crate::node::permission::Action;
use crate::node::query::List;
use crate::node::{Error, Node, Principal};
use crate::store::receipt::ReceiptRow;
use crate::store::receipt::Subscriber;
use crate::store::slice::SliceRow;
use crate::store::{self, Connection, StoreError};
use crate::wire::activity::CreateActivity;
use crate::wire::page::Page;
use crate::wire::receiver::Receiver;
use crate::wire::server::ServerRole;
use crate::wire::slice::VersionId;
use crate::wire::{Id, Timestamp};

pub use crate::store::receipt::COLUMNS;

/// How often it is noted that a receiver asks: most ask again and again, and nothing changed.
const ASKED_STEP: Duration = Duration::minutes(10);
/// Characters kept of a receiver's error; the activity log has all of it.
const MAX_ERROR_CHARS: usize = 1_000;
/// Rows written in one transaction.
const BATCH_ROWS: usize = 500;

/// What a receiver says of one slice (`POST /v1/activity`).
pub(super) struct Report {
    company_id: Id,
    sub_id: Id,
    success: bool,
    error: String,
    version: Option<VersionId>,
}

impl Report {
    /// `None` for what is no report: a record of a whole run, or what a person writes into the log.
    pub fn of(node: &Node, who: &Principal, body: &CreateActivity) -> Option<Self> {
        let is_receiver = node.server.server_role == ServerRole::Primary && who.key_id.is_some();
        let sub_id = body.sub_id.given().filter(|_id| is_receiver)?;
        let mut error: String = body.error.chars().take(MAX_ERROR_CHARS).collect();
        if error.is_empty() && !body.success {
            "no reason was given".clone_into(&mut error);
        }
        Some(Self {
            company_id: who.company_id,
            sub_id,
            success: body.success,
            error,
            version: body.version.clone(),
        })
    }

    /// Notes it, in the transaction that records the activity. Nothing is written when it says nothing new.
    pub fn take(self, conn: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
        let sub = store::subscription::find(conn, self.sub_id)?;
        // Of its own subscriptions only, whoever is let through to write activity.
        let Some(sub) = sub.filter(|sub| sub.company_id == self.company_id) else { return Ok(()) };
        let Some(slice) = store::slice::find(conn, sub.slice_id)? else { return Ok(()) };
        let before = store::receipt::find(conn, slice.id, self.company_id)?
            .unwrap_or_else(|| ReceiptRow::none(slice.id, self.company_id));
        let mut row = before.clone();
        let has = match &self.version {
            Some(said) => is_ours(conn, &slice, said)?.then_some((said.number, false)),
            None if self.success => row.offered.map(|offered| (offered, true)),
            None => None,
        };
        if let Some((version, inferred)) = has {
            if row.version == Some(version) {
                row.inferred &= inferred;
            } else {
                row.version = Some(version);
                row.inferred = inferred;
                row.reported_at = Some(now);
            }
        }
        if self.success {
            row.error = String::new();
            row.error_at = None;
        } else if row.error != self.error {
            row.error = self.error;
            row.error_at = Some(now);
        }
        if row == before { Ok(()) } else { store::receipt::put(conn, &row) }
    }
}

/// Whether a version is one of ours: a number alone could be of a database that was restored since.
fn is_ours(conn: &mut Connection, slice: &SliceRow, said: &VersionId) -> Result<bool, StoreError> {
    if said.epoch != slice.epoch {
        return Ok(false);
    }
    let row = store::version::find(conn, slice.id, said.number)?;
    Ok(row.is_some_and(|row| data_encoding::HEXLOWER.encode(&row.digest) == said.digest))
}

/// What a receiver has of the slices it subscribes to, by slice, as far as it named versions.
///
/// # Errors
/// What the store reports.
pub fn named(conn: &mut Connection, company_id: Id) -> Result<HashMap<Id, i64>, StoreError> {
    let rows = store::receipt::of_company(conn, company_id)?;
    Ok(rows
        .into_iter()
        .filter(|row| !row.inferred)
        .filter_map(|row| Some((row.slice_id, row.version?)))
        .collect())
}

/// Notes that a receiver asked for its subscriptions, and which versions it was told of by an answer that it can only
/// confirm as a whole (the reference's; `None` for others). What cannot be noted is only logged: it is no reason to
/// refuse the answer.
pub async fn note_asked(node: &Node, who: &Principal, told: Vec<(Id, Option<i64>)>) {
    if who.key_id.is_none() {
        return;
    }
    if let Err(error) = try_note(node, who.company_id, told).await {
        tracing::warn!(company = %who.company_id, %error, "what a receiver was told is not noted");
    }
}

async fn try_note(node: &Node, company_id: Id, told: Vec<(Id, Option<i64>)>) -> Result<(), StoreError> {
    let now = node.clock.now();
    let (asked, news) = node
        .store
        .read(move |conn| -> Result<_, StoreError> {
            let asked = store::receipt::asked_at(conn, company_id)?;
            let known: HashMap<Id, Option<i64>> = store::receipt::of_company(conn, company_id)?
                .into_iter()
                .map(|row| (row.slice_id, row.offered))
                .collect();
            let mut news = told;
            news.retain(|(slice, offered)| known.get(slice).copied().flatten() != *offered);
            Ok((asked, news))
        })
        .await?;
    // The usual case writes nothing.
    if asked.is_none_or(|asked| now >= asked.plus(ASKED_STEP)) {
        node.store.write(move |conn| store::receipt::set_asked_at(conn, company_id, now)).await?;
    }
    for batch in news.chunks(BATCH_ROWS) {
        let batch = batch.to_vec();
        node.store
            .write(move |conn| -> Result<(), StoreError> {
                for (slice_id, offered) in batch {
                    let row = store::receipt::find(conn, slice_id, company_id)?
                        .unwrap_or_else(|| ReceiptRow::none(slice_id, company_id));
                    store::receipt::put(conn, &ReceiptRow { offered, ..row })?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// Companies that subscribe to a slice, by name, and what each has.
///
/// # Errors
/// [`Error::Forbidden`] but for staff, [`Error::WrongServerRole`], [`Error::NotFound`].
pub async fn list(node: &Node, who: &Principal, slice_id: Id, list: List) -> Result<Page<Receiver>, Error> {
    node.permit(who, Action::ViewReceivers)?;
    list_for(node, slice_id, list).await
}

/// The same for whoever is at this machine.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn list_for(node: &Node, slice_id: Id, list: List) -> Result<Page<Receiver>, Error> {
    node.store
        .read(move |conn| {
            let slice = store::slice::find(conn, slice_id)?.ok_or(super::slice::MISSING)?;
            let (subscribers, total) = store::receipt::subscribers(conn, slice_id, &list.selection)?;
            list.page(subscribers, total, store::receipt::position, |rows| in_full(conn, &slice, rows))
        })
        .await
}

/// What each of them has.
fn in_full(
    conn: &mut Connection,
    slice: &SliceRow,
    subscribers: Vec<Subscriber>,
) -> Result<Vec<Receiver>, Error> {
    let slice_id = slice.id;
    let ids = || subscribers.iter().map(|(id, ..)| *id).collect::<Vec<Id>>();
    let mut receipts: HashMap<Id, ReceiptRow> = store::receipt::of_slice(conn, slice_id, ids())?
        .into_iter()
        .map(|row| (row.company_id, row))
        .collect();
    let asked: HashMap<Id, Timestamp> = store::receipt::asked_at_of(conn, ids())?.into_iter().collect();
    let mut hashes: HashMap<i64, String> = HashMap::new();
    let mut receivers = Vec::with_capacity(subscribers.len());
    for (company_id, company_name, active) in subscribers {
        let row = receipts.remove(&company_id).unwrap_or_else(|| ReceiptRow::none(slice_id, company_id));
        let content_hash = match row.version {
            Some(version) => content_hash(conn, &mut hashes, slice_id, version)?,
            None => String::new(),
        };
        receivers.push(Receiver {
            company_id,
            company_name,
            active,
            version: row.version,
            current: row.version == Some(slice.current_version),
            inferred: row.inferred,
            content_hash,
            reported_at: row.reported_at,
            asked_at: asked.get(&company_id).copied(),
            error: row.error,
            error_at: row.error_at,
        });
    }
    Ok(receivers)
}

/// Most receivers have one of a few versions.
fn content_hash(
    conn: &mut Connection,
    known: &mut HashMap<i64, String>,
    slice_id: Id,
    version: i64,
) -> Result<String, StoreError> {
    if let Some(hash) = known.get(&version) {
        return Ok(hash.clone());
    }
    let hash = store::version::find(conn, slice_id, version)?.map(|row| row.content_hash).unwrap_or_default();
    known.insert(version, hash.clone());
    Ok(hash)
}
