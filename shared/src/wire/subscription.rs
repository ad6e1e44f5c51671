//! Subscriptions: which company gets which slice.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::company::Company;
use super::slice::Slice;
use super::{Id, Timestamp, never};

/// A subscription.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Subscription {
    /// The same on both nodes.
    pub id: Id,
    /// What is subscribed to.
    pub slice_id: Id,
    /// The other party.
    pub company_id: Id,
    /// Unique ignoring case.
    #[serde(default)]
    pub name: String,
    /// May be empty.
    #[serde(default)]
    pub description: String,
    /// Inactive ones do not sync.
    #[serde(default)]
    pub active: bool,
    /// When the row was made.
    #[serde(with = "never", default)]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(with = "never", default)]
    #[schema(value_type = Timestamp)]
    pub updated_at: Option<Timestamp>,
    /// The company, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<Company>,
    /// The slice, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
}

/// Body of `POST /v1/subs`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateSubscription {
    /// Chosen by the server if absent or nil.
    #[serde(default)]
    pub id: Id,
    /// Required.
    #[serde(default)]
    pub slice_id: Id,
    /// Required.
    #[serde(default)]
    pub company_id: Id,
    /// At least 3 characters.
    #[serde(default)]
    pub name: String,
    /// May be empty.
    #[serde(default)]
    pub description: String,
    /// Whether it starts now.
    #[serde(default)]
    pub active: bool,
}
