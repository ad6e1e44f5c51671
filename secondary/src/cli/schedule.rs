//! `schedule`: when the server syncs by itself.

use clap::{Args, Subcommand};
use shared::cli::{Failure, Global, output};
use shared::node::Error;
use shared::node::permission::By;
use shared::node::query::List;
use shared::wire::schedule::{Schedule as Set, SetSchedule};

use crate::Secondary;
use crate::service::{partner, schedule as service};

/// Options of `schedule`.
#[derive(Subcommand, Clone, Debug)]
pub enum Schedule {
    /// List schedules, what is due first before the others
    #[command(after_help = "Example: sandpiper-secondary schedule list")]
    List,
    /// Set the schedule of a primary: a cron expression, or a period
    #[command(
        after_help = "Example: sandpiper-secondary schedule set 'Better Brakes' --every 6h --jitter 10m"
    )]
    Set(SetOptions),
    /// Let nothing run until it is resumed
    #[command(after_help = "Example: sandpiper-secondary schedule pause 'Better Brakes'")]
    Pause(One),
    /// Let it run again
    #[command(after_help = "Example: sandpiper-secondary schedule resume 'Better Brakes'")]
    Resume(One),
    /// Remove the schedule of a primary
    #[command(after_help = "Example: sandpiper-secondary schedule remove 'Better Brakes'")]
    Remove(One),
}

/// A primary.
#[derive(Args, Clone, Debug)]
pub struct One {
    /// By name or id
    #[arg(value_name = "PRIMARY_ID|NAME")]
    pub primary: String,
}

/// What to set.
#[derive(Args, Clone, Debug)]
pub struct SetOptions {
    /// By name or id
    #[arg(value_name = "PRIMARY_ID|NAME")]
    pub primary: String,
    /// Minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly
    #[arg(long, value_name = "EXPRESSION", required_unless_present = "every", conflicts_with = "every")]
    pub cron: Option<String>,
    /// What the expression's hours are meant in, as in Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", conflicts_with = "every")]
    pub zone: String,
    /// From the beginning of one run to that of the next, as in 15m, 6h or 7d
    #[arg(long, value_name = "PERIOD", value_parser = seconds)]
    pub every: Option<i64>,
    /// Let each run come so much later at most, by chance
    #[arg(long, value_name = "PERIOD", value_parser = seconds, default_value = "0s")]
    pub jitter: i64,
    /// Do not run it before it is resumed
    #[arg(long)]
    pub paused: bool,
}

/// `90s`, `15m`, `6h`, `7d`.
fn seconds(text: &str) -> Result<i64, String> {
    let remedy = || format!("\"{text}\" is no period: write it as in 90s, 15m, 6h or 7d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(remedy)?;
    let each = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(remedy()),
    };
    let number: u32 = number.parse().map_err(|_no_number| remedy())?;
    i64::from(number).checked_mul(each).ok_or_else(remedy)
}

/// Runs `schedule`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, schedule: Schedule) -> Result<(), Failure> {
    let (secondary, _config) = super::open(global).await?;
    let by = By::Operator;
    let set = match schedule {
        Schedule::List => return list(global, &secondary).await,
        Schedule::Set(options) => {
            let primary = named(&secondary, &options.primary).await?;
            let body = SetSchedule {
                zone: options.cron.is_some().then_some(options.zone),
                cron: options.cron,
                period_seconds: options.every,
                jitter_seconds: Some(options.jitter),
                paused: Some(options.paused),
            };
            service::set(&secondary, by, primary.id, body).await.map_err(|error| match error {
                // It is what was written that is wrong.
                Error::BadRequest(text) => Failure::usage(text),
                other => other.into(),
            })?
        }
        Schedule::Pause(one) => {
            let primary = named(&secondary, &one.primary).await?;
            service::pause(&secondary, by, primary.id).await.map_err(|error| none(error, &primary))?
        }
        Schedule::Resume(one) => {
            let primary = named(&secondary, &one.primary).await?;
            service::resume(&secondary, by, primary.id).await.map_err(|error| none(error, &primary))?
        }
        Schedule::Remove(one) => {
            let primary = named(&secondary, &one.primary).await?;
            service::remove(&secondary, by, primary.id).await.map_err(|error| none(error, &primary))?;
            let removed =
                serde_json::json!({ "primary_id": primary.id, "primary": primary.name, "removed": true });
            return output::print(global.json, &removed, || {
                format!("{} has no schedule any more", output::escaped(&primary.name))
            });
        }
    };
    output::print(global.json, &set, || {
        let name = output::escaped(&set.primary);
        if set.paused {
            format!("{name}: {}, paused", rhythm(&set))
        } else {
            format!("{name}: {}, next at {} (while `serve` runs)", rhythm(&set), set.next_run_at)
        }
    })
}

async fn named(secondary: &Secondary, name: &str) -> Result<partner::Primary, Failure> {
    partner::find(secondary, name).await.map_err(|error| match error {
        Error::NotFound(_) => super::rotate::partner_unknown(name),
        other => other.into(),
    })
}

fn none(error: Error, primary: &partner::Primary) -> Failure {
    match error {
        Error::NotFound(_) => Failure::failed(format!(
            "\"{0}\" has no schedule: `sandpiper-secondary schedule set \"{0}\" --every 6h` sets one",
            primary.name
        )),
        other => other.into(),
    }
}

async fn list(global: &Global, secondary: &Secondary) -> Result<(), Failure> {
    let list = List::everything(&service::COLUMNS);
    let schedules = service::list(secondary, By::Operator, list).await?.data.unwrap_or_default();
    output::print(global.json, &schedules, || {
        if schedules.is_empty() {
            return "no schedules yet: sandpiper-secondary schedule set PRIMARY --every 6h".to_owned();
        }
        let rows: Vec<Vec<String>> = schedules
            .iter()
            .map(|set| {
                vec![
                    output::escaped(&set.primary),
                    rhythm(set),
                    match () {
                        () if set.paused => "paused".to_owned(),
                        () if set.running => "running".to_owned(),
                        () => set.next_run_at.to_string(),
                    },
                    set.failures.to_string(),
                    output::escaped(&set.last_error),
                ]
            })
            .collect();
        output::table(&["PRIMARY", "WHEN", "NEXT", "FAILURES", "LAST ERROR"], &rows)
    })
}

fn rhythm(set: &Set) -> String {
    let when = match (&set.cron, set.period_seconds) {
        (Some(cron), _) => format!("{} ({})", output::escaped(cron), output::escaped(&set.zone)),
        (None, Some(seconds)) => format!("every {}", period(seconds)),
        (None, None) => String::new(),
    };
    match set.jitter_seconds {
        0 => when,
        seconds => format!("{when}, up to {} later", period(seconds)),
    }
}

fn period(seconds: i64) -> String {
    for (each, unit) in [(86_400, "d"), (3_600, "h"), (60, "m")] {
        if seconds % each == 0 {
            return format!("{}{unit}", seconds / each);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::{period, seconds};

    #[test]
    fn periods_are_read_as_they_are_written() {
        for text in ["90s", "15m", "6h", "7d"] {
            assert_eq!(period(seconds(text).unwrap()), text);
        }
        for text in ["", "6", "h", "-1h", "1.5h", "6 h", "ü"] {
            assert!(seconds(text).unwrap_err().contains("6h"), "{text}");
        }
    }
}
