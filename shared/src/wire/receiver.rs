//! Receivers of a slice: who has which version.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Id, Timestamp, never};

/// A company with a subscription to a slice, and what it has of it, as far as it said.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Receiver {
    /// Whose subscription.
    pub company_id: Id,
    /// Its name.
    pub company_name: String,
    /// Whether the subscription is switched on.
    pub active: bool,
    /// Number of the version that it has; `null`: none known.
    pub version: Option<i64>,
    /// Whether that is the published one.
    pub current: bool,
    /// It said that all is well, not which version it has: the one it was last told of.
    pub inferred: bool,
    /// SHA-1 of that version, as in [`super::slice::Slice`]; empty where no version is known.
    pub content_hash: String,
    /// When it first reported that version.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub reported_at: Option<Timestamp>,
    /// When it last asked for its subscriptions, to ten minutes.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub asked_at: Option<Timestamp>,
    /// Why its last report was a failure; empty: it was none.
    pub error: String,
    /// Since when it reports that.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub error_at: Option<Timestamp>,
}
