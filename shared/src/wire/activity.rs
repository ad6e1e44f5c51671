//! The sync log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::slice::VersionId;
use super::subscription::Subscription;
use super::{Id, Timestamp, never};

/// A record.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// The subscription, with `include=subscription`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Subscription>,
}

/// Body of `POST /v1/activity`. `success: false` and `duration: 0` are taken, unlike in the reference (gap B6).
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateActivity {
    /// The caller's own company.
    #[serde(default)]
    #[schema(required = true)]
    pub company_id: Id,
    /// Which subscription; nil if none.
    #[serde(default)]
    pub sub_id: Id,
    /// Whether it went well.
    #[serde(default)]
    pub success: bool,
    /// Required.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    pub message: String,
    /// Why not, if it failed.
    #[serde(default)]
    pub error: String,
    /// Nanoseconds.
    #[serde(default)]
    pub duration: i64,
    /// Which version of the subscription's slice the caller has now. The reference does not know it.
    pub version: Option<VersionId>,
}
