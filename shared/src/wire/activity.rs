//! The sync log.

use serde::{Deserialize, Serialize};

use super::slice::VersionId;
use super::{Id, Timestamp, never};

/// A record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Activity {
    /// Local to the node.
    pub id: i64,
    /// Whom it concerns.
    pub company_id: Id,
    /// Which subscription; nil if none.
    #[serde(default)]
    pub sub_id: Id,
    /// Whether it went well.
    pub success: bool,
    /// What happened.
    pub message: String,
    /// Why not, if it failed.
    #[serde(default)]
    pub error: String,
    /// Nanoseconds.
    pub duration: i64,
    /// When it was recorded.
    #[serde(with = "never", default)]
    pub created_at: Option<Timestamp>,
}

/// Body of `POST /v1/activity`. `success: false` and `duration: 0` are taken, unlike in the reference (gap B6).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CreateActivity {
    /// The caller's own company.
    pub company_id: Id,
    /// Which subscription; nil if none.
    pub sub_id: Id,
    /// Whether it went well.
    pub success: bool,
    /// Required.
    pub message: String,
    /// Why not, if it failed.
    pub error: String,
    /// Nanoseconds.
    pub duration: i64,
    /// Which version of the subscription's slice the caller has now. The reference does not know it.
    pub version: Option<VersionId>,
}
