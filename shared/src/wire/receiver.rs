//! Receivers of a slice: who has which version.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Id, Timestamp, never};

/// A company that subscribes to a slice, and which version of it the company has, as far as it said.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Receiver {
    /// The company.
    pub company_id: Id,
    /// Its name.
    pub company_name: String,
    /// Whether the subscription is switched on.
    pub active: bool,
    /// Number of the version that it has; `null`: none known.
    pub version: Option<i64>,
    /// Whether that is the published one.
    pub current: bool,
    /// `true`: it reported success but no version, as the reference does; so this is the version that it was last told of.
    pub inferred: bool,
    /// `content_hash` of that version; empty where no version is known.
    pub content_hash: String,
    /// When it first reported that version.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub reported_at: Option<Timestamp>,
    /// When it last asked for its subscriptions, within ten minutes.
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
