//! The record of a run, on both sides.

use std::collections::HashMap;
use std::time::Duration;

use shared::client::{Client, ClientError};
use shared::node::Error;
use shared::store::activity::NewActivity;
use shared::store::sync_run::SyncRunRow;
use shared::store::{self, StoreError};
use shared::wire::Id;
use shared::wire::activity::Activity;
use shared::wire::slice::VersionId;

use super::{Outcome, Report, nanos};
use crate::Secondary;

/// A run that did not get to the slices.
///
/// # Errors
/// What the store reports.
pub(super) async fn refused(
    secondary: &Secondary,
    row: &mut SyncRunRow,
    name: &str,
    error: &Error,
    duration: Duration,
) -> Result<(), StoreError> {
    row.state = "error".to_owned();
    row.error = error.to_string();
    let run = activity(secondary, row.primary_id, None, run_message(name), &row.error, duration);
    write(secondary, row, vec![run]).await
}

/// A run that tried every slice.
///
/// # Errors
/// What the store reports.
pub(super) async fn ended(
    secondary: &Secondary,
    row: &mut SyncRunRow,
    report: &Report,
    duration: Duration,
) -> Result<(), StoreError> {
    let failures = report.failures();
    let total = report.total();
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    row.state = if failures.is_empty() { "success" } else { "error" }.to_owned();
    row.slices_total = count(report.slices.len());
    row.slices_changed = count(report.changed());
    row.slices_failed = count(failures.len());
    row.grains_added = total.grains_added;
    row.grains_removed = total.grains_removed;
    row.payload_bytes = total.payload_bytes;
    row.error = failures.join("; ");
    let message = run_message(&report.primary);
    let mut records = vec![activity(secondary, row.primary_id, None, message, &row.error, duration)];
    for slice in &report.slices {
        if let Outcome::Failed { error, .. } = &slice.outcome {
            let took = Duration::from_millis(slice.duration_ms);
            let message = slice_message(&slice.slice);
            records.push(activity(secondary, row.primary_id, Some(slice.sub_id), message, error, took));
        }
    }
    write(secondary, row, records).await
}

async fn write(
    secondary: &Secondary,
    row: &mut SyncRunRow,
    records: Vec<NewActivity>,
) -> Result<(), StoreError> {
    row.finished_at = Some(secondary.node.clock.now());
    let row = row.clone();
    secondary
        .node
        .store
        .write(move |conn| {
            for record in &records {
                store::activity::insert(conn, record)?;
            }
            store::sync_run::finish(conn, &row)
        })
        .await
}

fn activity(
    secondary: &Secondary,
    primary_id: Id,
    sub_id: Option<Id>,
    message: String,
    error: &str,
    duration: Duration,
) -> NewActivity {
    NewActivity {
        uid: secondary.node.random.id(),
        company_id: primary_id,
        sub_id,
        success: error.is_empty(),
        message,
        error: error.to_owned(),
        duration: nanos(duration),
        created_at: secondary.node.clock.now(),
    }
}

/// Tells the primary: a record for the run, and one for each slice that changed or failed, or of whose version it has
/// not heard. (The reference sends one for each slice, changed or not.) Each is delivered for itself: a server of the
/// reference refuses every record of a failure (gap B6), and must hear of the successes all the same. What cannot be
/// delivered is only logged: it does not make the sync a failure, and the next run tells the versions again.
pub(super) async fn tell_primary(
    secondary: &Secondary,
    client: &Client,
    report: &Report,
    received: &HashMap<Id, i64>,
    duration: Duration,
) {
    if let Err(error) = try_tell(secondary, client, report, received, duration).await {
        tracing::warn!(primary = %report.primary, %error, "the primary did not take the report of this sync");
    }
}

async fn try_tell(
    secondary: &Secondary,
    client: &Client,
    report: &Report,
    received: &HashMap<Id, i64>,
    duration: Duration,
) -> Result<(), Error> {
    let versions = versions(secondary, report).await?;
    // Our company there; the reference takes it for granted that both nodes use one id.
    let company_id = client.me().await?.company_id;
    let failures = report.failures().join("; ");
    let message = format!("Sync: {} of {} slices changed", report.changed(), report.slices.len());
    let run = record(company_id, Id::NIL, message, failures, nanos(duration));
    deliver(report, client.report(&run, None).await)?;
    for slice in &report.slices {
        let version = versions.get(&slice.slice_id);
        let is_news = version.is_some_and(|version| received.get(&slice.sub_id) != Some(&version.number));
        let error = match &slice.outcome {
            Outcome::Gone => continue,
            Outcome::Unchanged if !is_news => continue,
            Outcome::Unchanged | Outcome::Changed(_) => String::new(),
            Outcome::Failed { error, .. } => error.clone(),
        };
        let took = nanos(Duration::from_millis(slice.duration_ms.max(1)));
        let record = record(company_id, slice.sub_id, slice_message(&slice.slice), error, took);
        deliver(report, client.report(&record, version).await)?;
    }
    Ok(())
}

/// A record that the primary refuses says nothing about the next one; a primary that is gone does.
fn deliver(report: &Report, answer: Result<(), ClientError>) -> Result<(), ClientError> {
    match answer {
        Err(error @ ClientError::Refused { .. }) => {
            tracing::warn!(primary = %report.primary, %error, "the primary refused a record of this sync");
            Ok(())
        }
        answer => answer,
    }
}

/// What we have of each slice now, in the primary's terms; nothing of slices that came over the reference's wire.
async fn versions(secondary: &Secondary, report: &Report) -> Result<HashMap<Id, VersionId>, StoreError> {
    let slices: Vec<Id> = report.slices.iter().map(|slice| slice.slice_id).collect();
    let primary_id = report.primary_id;
    secondary
        .node
        .store
        .read(move |conn| {
            let mut versions = HashMap::with_capacity(slices.len());
            for id in slices {
                let slice =
                    store::slice::find(conn, id)?.filter(|slice| slice.primary_id == Some(primary_id));
                let Some(slice) = slice else { continue };
                let Some(row) = store::version::find(conn, id, slice.current_version)? else { continue };
                if let Some((epoch, number)) = row.source_epoch.zip(row.source_version) {
                    let digest = data_encoding::HEXLOWER.encode(&row.digest);
                    versions.insert(id, VersionId { epoch, number, digest });
                }
            }
            Ok(versions)
        })
        .await
}

fn record(company_id: Id, sub_id: Id, message: String, error: String, duration: i64) -> Activity {
    Activity {
        id: 0,
        company_id,
        sub_id,
        success: error.is_empty(),
        message,
        error,
        duration,
        created_at: None,
        subscription: None,
    }
}

/// In the reference's words.
fn run_message(primary: &str) -> String {
    format!("Syncing \"{primary}\"")
}

fn slice_message(slice: &str) -> String {
    format!("Slice \"{slice}\"")
}
