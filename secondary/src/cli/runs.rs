//! `runs`: what syncs did, and how far they are.

use clap::{Args, Subcommand};
use shared::cli::{Failure, Global, output};
use shared::node::Error;
use shared::node::permission::By;
use shared::node::query::List;
use shared::wire::Id;
use shared::wire::run::Run;

use crate::Secondary;
use crate::service::{partner, run as service};

/// Options of `runs`.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Runs {
    #[command(subcommand)]
    pub what: Option<What>,
    /// Only with this primary, by name or id
    #[arg(short, long, value_name = "PRIMARY_ID|NAME")]
    pub primary: Option<String>,
    /// Only runs in this state: running, success, failed, cancelled, interrupted
    #[arg(long, value_name = "STATE")]
    pub state: Option<State>,
    /// How many, newest first
    #[arg(short, long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    pub number: i64,
}

/// What to do with one run.
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// Show a run with what became of each slice
    #[command(after_help = "Example: sandpiper-secondary runs show 2bea8308-1840-4802-ad38-72b53e31594c")]
    Show(One),
    /// Have a run stop, in whatever process it is; what has arrived stays for the next one
    #[command(after_help = "Example: sandpiper-secondary runs cancel 2bea8308-1840-4802-ad38-72b53e31594c")]
    Cancel(One),
}

/// A run.
#[derive(Args, Clone, Debug)]
pub struct One {
    /// Its id, as `runs` lists it
    #[arg(value_name = "RUN_ID")]
    pub id: Id,
}

/// How a run stands.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub enum State {
    /// It is under way.
    Running,
    /// All is equal.
    Success,
    /// Something failed.
    Failed,
    /// Somebody had it stop.
    Cancelled,
    /// Its process ended.
    Interrupted,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Runs `runs`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, runs: Runs) -> Result<(), Failure> {
    let (secondary, _config) = super::open(global).await?;
    match runs.what {
        None => list(global, &secondary, &runs).await,
        Some(What::Show(one)) => {
            let run = service::view(&secondary, By::Operator, one.id)
                .await
                .map_err(|error| unknown(error, one.id))?;
            output::print(global.json, &run, || in_full(&run))
        }
        Some(What::Cancel(one)) => {
            let run = service::cancel(&secondary, By::Operator, one.id)
                .await
                .map_err(|error| unknown(error, one.id))?;
            output::print(global.json, &run, || match run.state.as_str() {
                "running" => {
                    format!("run {} was asked to stop: `runs show {}` says when it has", run.id, run.id)
                }
                state => format!("run {} is over already: {state}", run.id),
            })
        }
    }
}

fn unknown(error: Error, id: Id) -> Failure {
    match error {
        Error::NotFound(_) => {
            Failure::failed(format!("there is no run {id} here: `sandpiper-secondary runs` lists them"))
        }
        other => other.into(),
    }
}

async fn list(global: &Global, secondary: &Secondary, runs: &Runs) -> Result<(), Failure> {
    let mut list = List::everything(&service::COLUMNS);
    list.selection.limit = runs.number;
    if let Some(name) = &runs.primary {
        let primary = partner::find(secondary, name).await.map_err(|error| match error {
            Error::NotFound(_) => super::rotate::partner_unknown(name),
            other => other.into(),
        })?;
        list.narrow(&service::COLUMNS, "primary_id", &primary.id.to_string())?;
    }
    if let Some(state) = runs.state {
        list.narrow(&service::COLUMNS, "state", state.as_str())?;
    }
    let runs = service::list(secondary, By::Operator, list).await?.data.unwrap_or_default();
    output::print(global.json, &runs, || {
        if runs.is_empty() {
            return "no runs yet: sandpiper-secondary sync --all".to_owned();
        }
        let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
        output::table(&["PRIMARY", "STATE", "STARTED", "BY", "DONE", "ERROR", "ID"], &rows)
    })
}

fn row(run: &Run) -> Vec<String> {
    vec![
        output::escaped(&run.primary),
        run.state.clone(),
        run.started_at.to_string(),
        output::escaped(&run.asked_by),
        if run.state == "running" { travelled(run) } else { output::size(run.payload_bytes) },
        output::escaped(&run.error),
        run.id.to_string(),
    ]
}

fn travelled(run: &Run) -> String {
    let progress = &run.progress;
    let mut words = vec![
        format!("{} of {} slice(s)", progress.slices_done, progress.slices_total),
        format!("{} of {} grain(s)", progress.grains_done, progress.grains_total),
        format!("{} of {}", output::size(progress.bytes_done), output::size(progress.bytes_total)),
    ];
    if run.state == "running" && progress.bytes_per_second > 0 {
        words.push(format!("{}/s", output::size(progress.bytes_per_second)));
    }
    words.extend(progress.eta_seconds.map(|seconds| format!("about {seconds} s left")));
    words.join(", ")
}

fn in_full(run: &Run) -> String {
    let end = run.finished_at.map_or_else(String::new, |end| format!(", ended {end}"));
    let mut lines = vec![
        format!("run {} with {} ({})", run.id, output::escaped(&run.primary), run.primary_id),
        format!("  {}; began {}{end}, by {}", run.state, run.started_at, output::escaped(&run.asked_by)),
        format!("  {}", travelled(run)),
        format!(
            "  {} slice(s) changed, {} failed; {} grain(s) in, {} out",
            run.slices_changed, run.slices_failed, run.grains_added, run.grains_removed
        ),
    ];
    if run.state == "running" && run.cancel_asked {
        lines.push("  it was asked to stop".to_owned());
    }
    for (what, text) in [("error", &run.error), ("hook", &run.hook_error)] {
        if !text.is_empty() {
            lines.push(format!("  {what}: {}", output::escaped(text)));
        }
    }
    for slice in run.slices.iter().flatten() {
        let why =
            slice.error.as_ref().map_or_else(String::new, |error| format!(": {}", output::escaped(error)));
        lines.push(format!("  {}: {}{why}", output::escaped(&slice.slice), slice.outcome));
    }
    lines.join("\n")
}
