//! Subscriptions: which company gets which slice.

use serde::{Deserialize, Serialize};

use super::company::Company;
use super::slice::Slice;
use super::{Id, Timestamp, never};

/// A subscription.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(with = "never", default)]
    pub updated_at: Option<Timestamp>,
    /// The company, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<Company>,
    /// The slice, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
    /// In a primary's answer to a receiver: the version that it has, as far as the primary heard. Not sent by the
    /// reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<i64>,
}

/// Body of `POST /v1/subs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CreateSubscription {
    /// Chosen by the server if absent or nil.
    pub id: Id,
    /// Required.
    pub slice_id: Id,
    /// Required.
    pub company_id: Id,
    /// At least 3 characters.
    pub name: String,
    /// May be empty.
    pub description: String,
    /// Whether it starts now.
    pub active: bool,
}
