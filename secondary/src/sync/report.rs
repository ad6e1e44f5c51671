//! What a run did.

use std::ops::AddAssign;

use serde::Serialize;
use shared::node::Error;
use shared::wire::Id;

/// The outcome of a run: every active subscription is listed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Of this run.
    pub run_id: Id,
    /// With whom.
    pub primary_id: Id,
    /// Its name.
    pub primary: String,
    /// `sync-2` or `go`.
    pub protocol: &'static str,
    /// Milliseconds.
    pub duration_ms: u64,
    /// One per active subscription.
    pub slices: Vec<SliceReport>,
    /// What an operator should do soon; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// What happened to one slice.
#[derive(Clone, Debug, Serialize)]
pub struct SliceReport {
    /// Which.
    pub slice_id: Id,
    /// Its name.
    pub slice: String,
    /// By which subscription.
    pub sub_id: Id,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Milliseconds.
    pub duration_ms: u64,
}

/// How a slice ended.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It was equal already: nothing was written.
    Unchanged,
    /// It has a new version.
    Changed(Change),
    /// The primary no longer offers it: the last copy stays, and nothing renews it.
    Gone,
    /// It keeps its old version: somebody asked the run to stop before it was done. What has arrived stays for the next one.
    Cancelled,
    /// It keeps its old version.
    Failed {
        /// Why.
        error: String,
        /// The same run may succeed later: locked, unreachable, busy.
        temporary: bool,
    },
}

/// What travelled for a new version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Grains fetched.
    pub grains_added: i64,
    /// Grains gone.
    pub grains_removed: i64,
    /// Bytes of payload text fetched.
    pub payload_bytes: i64,
}

impl AddAssign for Change {
    fn add_assign(&mut self, other: Self) {
        self.grains_added += other.grains_added;
        self.grains_removed += other.grains_removed;
        self.payload_bytes += other.payload_bytes;
    }
}

impl Report {
    /// Why slices failed, a sentence each.
    pub fn failures(&self) -> Vec<String> {
        self.slices
            .iter()
            .filter_map(|slice| match &slice.outcome {
                Outcome::Failed { error, .. } => Some(format!("slice \"{}\": {error}", slice.slice)),
                _ => None,
            })
            .collect()
    }

    /// How many slices have a new version.
    pub fn changed(&self) -> usize {
        self.slices.iter().filter(|slice| matches!(slice.outcome, Outcome::Changed(_))).count()
    }

    /// All that travelled.
    pub fn total(&self) -> Change {
        let mut total = Change::default();
        for slice in &self.slices {
            if let Outcome::Changed(change) = slice.outcome {
                total += change;
            }
        }
        total
    }

    /// Whether slices were left because somebody asked the run to stop.
    pub fn is_cancelled(&self) -> bool {
        self.slices.iter().any(|slice| matches!(slice.outcome, Outcome::Cancelled))
    }

    /// Itself if every active slice is now equal.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::SlicesFailed`].
    pub fn into_result(self) -> Result<Self, Error> {
        if self.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let failures = self.failures();
        if failures.is_empty() { Ok(self) } else { Err(Error::SlicesFailed(failures)) }
    }
}
