//! `/v1/sync/schedules`: when a secondary syncs by itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Id, Timestamp};

/// When to sync with a primary: either `cron` or `period_seconds`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SetSchedule {
    /// Five fields (minute, hour, day of month, month, day of week), or `@hourly`, `@daily`, `@weekly`, `@monthly`.
    #[schema(max_length = 100)]
    pub cron: Option<String>,
    /// What its hours are meant in: a name of the IANA database. `UTC` if it is not said.
    #[schema(max_length = 64)]
    pub zone: Option<String>,
    /// From the beginning of one run to that of the next, 60 to 31622400.
    #[schema(minimum = 60, maximum = 31_622_400)]
    pub period_seconds: Option<i64>,
    /// Each run comes so much later at most, by chance: 0 to 86400, and not more than the period. 0 if it is not said.
    #[schema(minimum = 0, maximum = 86_400)]
    pub jitter_seconds: Option<i64>,
    /// Nothing runs until it is resumed; `false` if it is not said.
    pub paused: Option<bool>,
}

/// When a primary is synced by the server itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// With whom.
    pub primary_id: Id,
    /// Its name here.
    pub primary: String,
    /// The cron expression, if it is none of a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// What its hours are meant in.
    pub zone: String,
    /// Seconds from the beginning of one run to that of the next, if it is no cron expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<i64>,
    /// Each run comes so much later at most, by chance.
    pub jitter_seconds: i64,
    /// Nothing runs until it is resumed.
    pub paused: bool,
    /// A server runs it now.
    pub running: bool,
    /// When it is due; while it is paused: when it would have been.
    pub next_run_at: Timestamp,
    /// Failures one after the other; each makes the next attempt come later.
    pub failures: i64,
    /// The run that it began last; absent if it began none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_id: Option<Id>,
    /// Why the last attempt failed; empty if it did not.
    pub last_error: String,
    /// When the schedule was set.
    pub created_at: Timestamp,
    /// When somebody last changed it.
    pub updated_at: Timestamp,
}
