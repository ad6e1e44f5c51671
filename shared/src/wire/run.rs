//! `/v1/sync/runs`: what runs of a sync do and did.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Id, Timestamp};

/// A run that has begun and that nobody waits for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunBegun {
    /// Of the run: `GET /v1/sync/runs/{run_id}` tells how far it is.
    pub run_id: Id,
}

/// A run of a sync with one primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Of this run.
    pub id: Id,
    /// With whom.
    pub primary_id: Id,
    /// Its name here; empty if the company is gone.
    pub primary: String,
    /// `running`; `success`: every active slice is equal to the primary's; `failed`; `cancelled`: somebody asked it to stop;
    /// `interrupted`: its process ended.
    pub state: String,
    /// Who asked for it: a user name, `command line` or `schedule`; empty if it is not known.
    pub asked_by: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Whether somebody has asked it to stop.
    pub cancel_asked: bool,
    /// How far it is.
    pub progress: RunProgress,
    /// Slices that got a new version.
    pub slices_changed: i64,
    /// Slices that failed.
    pub slices_failed: i64,
    /// Grains that came in for good.
    pub grains_added: i64,
    /// Grains that went.
    pub grains_removed: i64,
    /// Bytes of payload text that came in for good.
    pub payload_bytes: i64,
    /// Why it failed; empty if it did not.
    pub error: String,
    /// Why the hook after it failed; empty if it did not, or there is none.
    pub hook_error: String,
    /// What became of each slice, once it is over: of many the first 1,000, those that changed or failed before the others.
    /// Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slices: Option<Vec<RunSlice>>,
}

/// How far a run is. Totals are what is known so far: they may grow while it runs, and what an update will bring is known
/// only when it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunProgress {
    /// The slice that travels, of several the one that began last; empty if none does.
    pub slice: String,
    /// Slices that are done, however.
    pub slices_done: i64,
    /// Active subscriptions; 0 until they are known.
    pub slices_total: i64,
    /// Grains that have arrived.
    pub grains_done: i64,
    /// Grains that are to arrive.
    pub grains_total: i64,
    /// Bytes of payload text that have arrived.
    pub bytes_done: i64,
    /// Bytes of payload text that are to arrive.
    pub bytes_total: i64,
    /// How fast they arrive.
    pub bytes_per_second: i64,
    /// Seconds until what is known has arrived, at that rate; absent if that cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<i64>,
}

/// An event of `GET /v1/sync/runs/{run_id}/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunEvent {
    /// Of the run.
    pub run_id: Id,
    /// As in the run.
    pub state: String,
    /// How far it is.
    #[serde(flatten)]
    pub progress: RunProgress,
    /// Why it failed; empty if it did not.
    pub error: String,
}

/// What a run did to one slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunSlice {
    /// Which.
    pub slice_id: Id,
    /// Its name.
    pub slice: String,
    /// By which subscription.
    pub sub_id: Id,
    /// `unchanged`; `changed`; `gone`: the primary no longer offers it; `cancelled`; `failed`.
    pub outcome: String,
    /// Grains that came in, if it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grains_added: Option<i64>,
    /// Grains that went, if it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grains_removed: Option<i64>,
    /// Bytes of payload text that came in, if it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_bytes: Option<i64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the next run may succeed with nothing done about it, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporary: Option<bool>,
    /// Milliseconds.
    pub duration_ms: u64,
}
