//! Subscriptions: which company gets which slice.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::company::Company;
use super::patch::Patch;
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
    /// In a primary's answer to a receiver: the version that it has, as far as the primary heard. Not sent by the
    /// reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<i64>,
}

/// Body of `POST /v1/subs`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateSubscription {
    /// Chosen by the server if absent or nil.
    #[serde(default)]
    pub id: Id,
    /// Required.
    #[serde(default)]
    #[schema(required = true)]
    pub slice_id: Id,
    /// Required.
    #[serde(default)]
    #[schema(required = true)]
    pub company_id: Id,
    /// At least 3 characters.
    #[serde(default)]
    #[schema(required = true, min_length = 3, max_length = 255, pattern = "\\S[\\s\\S]+\\S")]
    pub name: String,
    /// May be empty.
    #[serde(default)]
    pub description: String,
    /// Whether it starts now.
    #[serde(default)]
    pub active: bool,
}

/// Body of `PUT /v1/subs/:id`: the reference wants the first three.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct PutSubscription {
    /// The id in the path.
    #[serde(default)]
    #[schema(required = true)]
    pub sub_id: Id,
    /// As it is: a subscription keeps its slice.
    #[serde(default)]
    #[schema(required = true)]
    pub slice_id: Id,
    /// As it is: a subscription keeps its company.
    #[serde(default)]
    #[schema(required = true)]
    pub company_id: Id,
    /// At least 3 characters; empty: as it is.
    #[schema(value_type = Option<String>, max_length = 255, pattern = "^$|\\S[\\s\\S]+\\S")]
    pub name: Option<String>,
    /// May be empty.
    pub description: Option<String>,
    /// The own side's switch.
    pub active: Option<bool>,
}

/// Body of `PATCH /v1/subs/:id`: what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct UpdateSubscription {
    /// The id in the path.
    #[serde(default)]
    #[schema(value_type = Id, required = false)]
    pub sub_id: Patch<Id>,
    /// As it is: a subscription keeps its slice.
    #[serde(default)]
    #[schema(value_type = Id, required = false)]
    pub slice_id: Patch<Id>,
    /// As it is: a subscription keeps its company.
    #[serde(default)]
    #[schema(value_type = Id, required = false)]
    pub company_id: Patch<Id>,
    /// At least 3 characters.
    #[serde(default)]
    #[schema(value_type = String, required = false, min_length = 3, max_length = 255, pattern = "\\S[\\s\\S]+\\S")]
    pub name: Patch<String>,
    /// May be empty.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub description: Patch<String>,
    /// The own side's switch.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    pub active: Patch<bool>,
}

impl From<PutSubscription> for UpdateSubscription {
    fn from(put: PutSubscription) -> Self {
        fn given<T>(member: Option<T>) -> Patch<T> {
            member.map_or(Patch::Absent, Patch::Value)
        }
        Self {
            sub_id: Patch::Value(put.sub_id),
            slice_id: Patch::Value(put.slice_id),
            company_id: Patch::Value(put.company_id),
            // A Go client without a name sends an empty one.
            name: given(put.name.filter(|name| !name.is_empty())),
            description: given(put.description),
            active: given(put.active),
        }
    }
}
