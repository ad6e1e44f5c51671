//! The sync log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::slice::VersionId;
use super::subscription::Subscription;
use super::{Id, Timestamp, never};

/// A record of the sync log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Activity {
    /// A number that counts on this server only.
    pub id: i64,
    /// The company that it is about.
    pub company_id: Id,
    /// The subscription that it is about; the all-zero id: none.
    #[serde(default)]
    pub sub_id: Id,
    /// Whether it went well.
    pub success: bool,
    /// What happened.
    pub message: String,
    /// Why not, if it failed.
    #[serde(default)]
    pub error: String,
    /// How long it took, in nanoseconds.
    pub duration: i64,
    /// When it was recorded.
    #[serde(with = "never", default)]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// The subscription, with `include=subscription`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Subscription>,
}

/// A new record of the sync log. `success: false` and `duration: 0` are taken, unlike in the reference.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateActivity {
    /// The company that it is about: the caller's own, unless he is staff.
    #[serde(default)]
    #[schema(required = true)]
    pub company_id: Id,
    /// The subscription that it is about; absent or the all-zero id: none.
    #[serde(default)]
    pub sub_id: Id,
    /// Whether it went well; `false` if it is not said.
    #[serde(default)]
    pub success: bool,
    /// What happened.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    pub message: String,
    /// Why not, if it failed.
    #[serde(default)]
    pub error: String,
    /// How long it took, in nanoseconds.
    #[serde(default)]
    pub duration: i64,
    /// Which version of the subscription's slice the caller has now. Clients of the reference do not send it.
    pub version: Option<VersionId>,
}
