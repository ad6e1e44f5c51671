//! `sync`: what cron runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use shared::cli::{Failure, Global, output};
use shared::node::Error;

use crate::Secondary;
use crate::service::partner;
use crate::sync::{self as engine, Change, Event, Outcome, Preview, Progress, Report, Would};

/// Options of `sync`.
#[derive(Args, Clone, Debug)]
pub struct Sync {
    /// Primaries to sync with, by name or id [default: every active primary]
    #[arg(value_name = "PRIMARY_ID|NAME", conflicts_with = "all")]
    pub primaries: Vec<String>,
    /// The same, as the reference's command takes it
    #[arg(short, long, value_name = "PRIMARY_ID|NAME", conflicts_with = "all")]
    pub partner: Vec<String>,
    /// Every active primary
    #[arg(long)]
    pub all: bool,
    /// List primaries instead
    #[arg(short, long)]
    pub list: bool,
    /// How many primaries at the same time
    #[arg(long, value_name = "COUNT", default_value = "4", value_parser = jobs)]
    pub jobs: usize,
    /// Only say what would change: nothing is fetched or written here, nothing reported there
    #[arg(long, visible_alias = "dry-run")]
    pub noupdate: bool,
}

fn jobs(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|jobs| (1..=64).contains(jobs))
        .ok_or_else(|| "write a number from 1 to 64".to_owned())
}

#[derive(Serialize)]
#[serde(untagged)]
enum Ended {
    Ran(Report),
    Refused { primary: String, error: String },
}

/// Runs `sync`: every named primary is tried, whatever happens to the others.
///
/// # Errors
/// The failure's own code when it is the only one: 75 to try again later, 78 for what an operator must set, else 1.
pub async fn run(global: &Global, sync: Sync) -> Result<(), Failure> {
    if sync.list {
        return super::primaries::run(global).await;
    }
    let (secondary, _config) = super::open(global).await?;
    let targets = targets(&secondary, &sync).await?;
    if targets.is_empty() {
        return Err(Failure::config("no primaries yet: run `sandpiper-secondary connect PRIMARY_URL` first"));
    }
    if sync.noupdate {
        return preview(global, &secondary, targets).await;
    }
    let is_summed_up = sync.all || targets.len() > 1;
    let (start, bar) = (Instant::now(), Bar::default());
    let mut runs = stream::iter(targets)
        .map(|primary| {
            let run = engine::run(Arc::clone(&secondary), primary.id, bar.progress());
            // A task of its own: each may have a core.
            tokio::spawn(async move { (primary.name, run.await) })
        })
        .buffered(sync.jobs);
    let (mut ended, mut failures) = (Vec::new(), Vec::new());
    while let Some(run) = runs.next().await {
        let (name, result) = run.map_err(|error| Failure::failed(error.to_string()))?;
        match result {
            Ok(report) => {
                if !global.json {
                    bar.beside(|| output::write_line(&text(&report)))?;
                }
                let is_temporary = only_temporary(&report);
                if let Err(error) = report.clone().into_result() {
                    let message = format!("{}: {error}", report.primary);
                    failures.push(if is_temporary {
                        Failure::try_again(message)
                    } else {
                        Failure::failed(message)
                    });
                }
                ended.push(Ended::Ran(report));
            }
            Err(error) => {
                let failure = Failure::from(error);
                let error = failure.to_string();
                failures.push(naming(&name, failure));
                ended.push(Ended::Refused { primary: name, error });
            }
        }
    }
    bar.finish();
    if global.json {
        output::print(true, &ended, String::new)?;
    } else if is_summed_up {
        output::write_line(&summed_up(&ended, failures.len(), start.elapsed()))?;
    }
    summary(ended.len(), failures)
}

/// One line over all of them.
fn summed_up(ended: &[Ended], failed: usize, took: Duration) -> String {
    let reports = || {
        ended.iter().filter_map(|ended| match ended {
            Ended::Ran(report) => Some(report),
            Ended::Refused { .. } => None,
        })
    };
    let mut total = Change::default();
    for report in reports() {
        total += report.total();
    }
    let changed = reports().filter(|report| report.changed() > 0).count();
    format!(
        "{} primaries: {changed} with changes, {failed} failed; {} grain(s) in, {} out, {} in {:.1} s",
        ended.len(),
        total.grains_added,
        total.grains_removed,
        output::size(total.payload_bytes),
        took.as_secs_f64(),
    )
}

/// A failure that names the primary.
fn naming(primary: &str, failure: Failure) -> Failure {
    let text = failure.to_string();
    if text.contains(primary) { failure } else { failure.with_message(format!("{primary}: {text}")) }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Looked {
    At(Preview),
    Refused { primary: String, error: String },
}

/// Says what a sync would change. That some of it would fail is told, and is no failure of this.
async fn preview(
    global: &Global,
    secondary: &Arc<Secondary>,
    targets: Vec<partner::Primary>,
) -> Result<(), Failure> {
    let (mut looked, mut failures) = (Vec::new(), Vec::new());
    for primary in targets {
        match engine::preview(secondary, primary.id).await {
            Ok(preview) => {
                if !global.json {
                    output::write_line(&text_of_preview(&preview))?;
                }
                looked.push(Looked::At(preview));
            }
            Err(error) => {
                let failure = Failure::from(error);
                let error = failure.to_string();
                failures.push(naming(&primary.name, failure));
                looked.push(Looked::Refused { primary: primary.name, error });
            }
        }
    }
    if global.json {
        output::print(true, &looked, String::new)?;
    }
    summary(looked.len(), failures)
}

fn text_of_preview(preview: &Preview) -> String {
    let changing = preview.slices.iter().filter(|slice| matches!(slice.would, Would::Change { .. })).count();
    let mut lines = vec![format!(
        "{}: {} slice(s), {changing} would change ({}); nothing was changed",
        output::escaped(&preview.primary),
        preview.slices.len(),
        preview.protocol
    )];
    for slice in &preview.slices {
        let detail = match &slice.would {
            Would::Nothing => "unchanged".to_owned(),
            Would::Change { grains_added, grains_removed } => {
                format!("would change: {grains_added} grain(s) in, {grains_removed} out")
            }
            Would::Gone => "no longer offered by the primary; the last copy would stay".to_owned(),
            Would::Fail { error } => format!("would fail: {}", output::escaped(error)),
        };
        lines.push(format!("  {}: {detail}", output::escaped(&slice.slice)));
    }
    lines.join("\n")
}

async fn targets(secondary: &Secondary, sync: &Sync) -> Result<Vec<partner::Primary>, Failure> {
    let names = || sync.primaries.iter().chain(&sync.partner);
    if names().next().is_none() {
        let all = partner::list(secondary).await?;
        // A company without an address was never meant to be synced with.
        return Ok(all
            .into_iter()
            .filter(|primary| primary.active && !primary.sync_addr.is_empty())
            .collect());
    }
    let mut targets = Vec::new();
    for name in names() {
        let found = partner::find(secondary, name).await.map_err(|error| match error {
            Error::NotFound(_) => super::rotate::partner_unknown(name),
            other => other.into(),
        })?;
        targets.push(found);
    }
    Ok(targets)
}

/// Whether everything that failed is worth another try.
fn only_temporary(report: &Report) -> bool {
    report.slices.iter().all(|slice| !matches!(slice.outcome, Outcome::Failed { temporary: false, .. }))
}

/// One failure keeps its code; several are 75 only if every one of them is worth another try.
fn summary(total: usize, failures: Vec<Failure>) -> Result<(), Failure> {
    let count = failures.len();
    let all_temporary = failures.iter().all(|failure| failure.code() == 75);
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    let mut failures = failures.into_iter();
    match (failures.next(), failures.next()) {
        (None, _) => Ok(()),
        (Some(only), None) => Err(only),
        (Some(_), Some(_)) => {
            let message = format!("{count} of {total} syncs failed: {}", texts.join(" | "));
            Err(if all_temporary { Failure::try_again(message) } else { Failure::failed(message) })
        }
    }
}

fn text(report: &Report) -> String {
    let total = report.total();
    let mut lines = vec![format!(
        "{}: {} slice(s), {} changed, {} failed; {} grain(s) in, {} out, {} in {} ms ({})",
        report.primary,
        report.slices.len(),
        report.changed(),
        report.failures().len(),
        total.grains_added,
        total.grains_removed,
        output::size(total.payload_bytes),
        report.duration_ms,
        report.protocol
    )];
    for slice in &report.slices {
        let detail = match &slice.outcome {
            Outcome::Unchanged | Outcome::Failed { .. } => continue,
            Outcome::Cancelled => "cancelled; what has arrived stays for the next sync".to_owned(),
            Outcome::Gone => "no longer offered by the primary; the last copy stays".to_owned(),
            Outcome::Changed(change) => format!(
                "{} in, {} out, {}",
                change.grains_added,
                change.grains_removed,
                output::size(change.payload_bytes)
            ),
        };
        lines.push(format!("  {}: {detail}", slice.slice));
    }
    lines.extend(report.warning.as_ref().map(|warning| format!("  warning: {warning}")));
    lines.join("\n")
}

/// Drawn on a terminal only.
#[derive(Clone, Default)]
struct Bar(Arc<Mutex<Option<ProgressBar>>>);

impl Bar {
    fn progress(&self) -> Progress {
        let own = self.clone();
        Progress::to(move |event| own.show(&event))
    }

    fn show(&self, event: &Event<'_>) {
        let mut bar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::SliceStarted { name, grains, .. } => {
                let bar = bar.get_or_insert_with(new_bar);
                bar.inc_length(u64::try_from(*grains).unwrap_or_default());
                bar.set_message((*name).to_owned());
            }
            Event::Staged { grains, .. } => {
                if let Some(bar) = bar.as_ref() {
                    bar.inc(u64::try_from(*grains).unwrap_or_default());
                }
            }
            Event::SlicesFound(_) | Event::SliceSized { .. } | Event::SliceEnded(_) => {}
        }
    }

    /// Prints something that the bar must not be drawn over.
    fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        let bar = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn finish(&self) {
        let mut bar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Over all slices of all runs: several travel at a time, and the one that began last is named.
fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "{msg} {wide_bar} {human_pos}/{human_len} grains, {per_sec}, {eta} left";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_bad_template) => bar,
    }
}
