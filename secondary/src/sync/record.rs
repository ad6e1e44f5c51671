//! The record of a run, on both sides.

use std::collections::HashMap;
use std::time::Duration;

use shared::node::Error;
use shared::store::activity::NewActivity;
use shared::store::sync_run::{RunProgress, SyncRunRow};
use shared::store::{self, StoreError};
use shared::wire::Id;
use shared::wire::slice::VersionId;

use super::outbox::Record;
use super::{Outcome, Report, SliceReport, nanos};
use crate::Secondary;

/// Slices whose results a row keeps.
const MAX_RESULTS: usize = 1_000;

/// A run that did not get to the slices.
///
/// # Errors
/// What the store reports.
pub(super) async fn refused(
    secondary: &Secondary,
    row: &mut SyncRunRow,
    (name, error): (&str, &Error),
    progress: RunProgress,
    duration: Duration,
) -> Result<(), StoreError> {
    row.state = if matches!(error, Error::Cancelled) { "cancelled" } else { "failed" }.to_owned();
    row.error = error.to_string();
    let run = activity(secondary, row.primary_id, None, run_message(name), &row.error, duration);
    // What is to be set up here, or fails here, is no business of the primary's.
    let is_of_primary = matches!(error, Error::Unreachable(_) | Error::Upstream(_));
    let news = is_of_primary.then(|| Record {
        sub_id: Id::NIL,
        message: "Sync".to_owned(),
        error: row.error.clone(),
        duration: nanos(duration),
        version: None,
    });
    let news = news.and_then(|record| record.to_json().ok()).into_iter().collect();
    write(secondary, row, progress, vec![run], news).await
}

/// A run that tried every slice.
///
/// # Errors
/// What the store reports.
pub(super) async fn ended(
    secondary: &Secondary,
    row: &mut SyncRunRow,
    (report, received): (&Report, &HashMap<Id, i64>),
    progress: RunProgress,
    duration: Duration,
) -> Result<(), Error> {
    let failures = report.failures();
    let total = report.total();
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    row.state = match () {
        () if report.is_cancelled() => "cancelled",
        () if failures.is_empty() => "success",
        () => "failed",
    }
    .to_owned();
    // With those that the primary no longer offers.
    let slices = count(report.slices.len());
    let progress = RunProgress { slices_total: slices, slices_done: slices, ..progress };
    row.slices_changed = count(report.changed());
    row.slices_failed = count(failures.len());
    row.grains_added = total.grains_added;
    row.grains_removed = total.grains_removed;
    row.payload_bytes = total.payload_bytes;
    row.error = error_of(report);
    row.results = results(report);
    let message = run_message(&report.primary);
    let mut records = vec![activity(secondary, row.primary_id, None, message, &row.error, duration)];
    for slice in &report.slices {
        if let Outcome::Failed { error, .. } = &slice.outcome {
            let took = Duration::from_millis(slice.duration_ms);
            let message = slice_message(&slice.slice);
            records.push(activity(secondary, row.primary_id, Some(slice.sub_id), message, error, took));
        }
    }
    let news = news(secondary, report, received, duration).await?;
    Ok(write(secondary, row, progress, records, news).await?)
}

async fn write(
    secondary: &Secondary,
    row: &mut SyncRunRow,
    progress: RunProgress,
    records: Vec<NewActivity>,
    news: Vec<String>,
) -> Result<(), StoreError> {
    let now = secondary.node.clock.now();
    row.finished_at = Some(now);
    let row = row.clone();
    secondary
        .node
        .store
        .write(move |conn| {
            for record in &records {
                store::activity::insert(conn, record)?;
            }
            store::outbox::add(conn, row.primary_id, news, now)?;
            store::sync_run::finish(conn, &row, &progress)
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

/// What the primary is to hear: a record for the run, and one for each slice that changed or failed, or of whose version it
/// has not heard. (The reference sends one for each slice, changed or not.)
async fn news(
    secondary: &Secondary,
    report: &Report,
    received: &HashMap<Id, i64>,
    duration: Duration,
) -> Result<Vec<String>, Error> {
    let versions = versions(secondary, report).await?;
    let message = format!("Sync: {} of {} slices changed", report.changed(), report.slices.len());
    let run = Record {
        sub_id: Id::NIL,
        message,
        error: error_of(report),
        duration: nanos(duration),
        version: None,
    };
    let mut records = vec![run.to_json()?];
    for slice in &report.slices {
        let version = versions.get(&slice.slice_id);
        let is_news = version.is_some_and(|version| received.get(&slice.sub_id) != Some(&version.number));
        let error = match &slice.outcome {
            Outcome::Gone | Outcome::Cancelled => continue,
            Outcome::Unchanged if !is_news => continue,
            Outcome::Unchanged | Outcome::Changed(_) => String::new(),
            Outcome::Failed { error, .. } => error.clone(),
        };
        let record = Record {
            sub_id: slice.sub_id,
            message: slice_message(&slice.slice),
            error,
            duration: nanos(Duration::from_millis(slice.duration_ms.max(1))),
            version: version.cloned(),
        };
        records.push(record.to_json()?);
    }
    Ok(records)
}

fn error_of(report: &Report) -> String {
    let mut reasons = report.failures();
    if report.is_cancelled() {
        reasons.push(Error::Cancelled.to_string());
    }
    reasons.join("; ")
}

/// What became of each slice, as the row keeps it: those that say something before those that do not.
fn results(report: &Report) -> Option<String> {
    let is_unchanged = |slice: &&SliceReport| matches!(slice.outcome, Outcome::Unchanged);
    let slices: Vec<&SliceReport> = report
        .slices
        .iter()
        .filter(|slice| !is_unchanged(slice))
        .chain(report.slices.iter().filter(is_unchanged))
        .take(MAX_RESULTS)
        .collect();
    serde_json::to_string(&slices).ok()
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

/// In the reference's words.
fn run_message(primary: &str) -> String {
    format!("Syncing \"{primary}\"")
}

fn slice_message(slice: &str) -> String {
    format!("Slice \"{slice}\"")
}
