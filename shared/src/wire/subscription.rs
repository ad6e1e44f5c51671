//! Subscriptions: which company gets which slice.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::company::Company;
use super::name::{Name, NameOrNothing};
use super::patch::Patch;
use super::slice::Slice;
use super::{Id, Timestamp, never};

/// A subscription: that a company gets a slice.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Subscription {
    /// The same on both servers.
    pub id: Id,
    /// The slice.
    pub slice_id: Id,
    /// The other party: on a primary the receiver, on a secondary the company that stands for the primary.
    pub company_id: Id,
    /// Unique on the server, ignoring case.
    #[serde(default)]
    pub name: String,
    /// May be empty.
    #[serde(default)]
    pub description: String,
    /// `false`: it is not synced. On a secondary it is `true` only if both sides have switched it on.
    #[serde(default)]
    pub active: bool,
    /// When it was added.
    #[serde(with = "never", default)]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(with = "never", default)]
    #[schema(value_type = Timestamp)]
    pub updated_at: Option<Timestamp>,
    /// The company itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<Company>,
    /// The slice itself; for a company admin only while the subscription is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
    /// In `GET /v1/sync/subs`: the number of the version that the caller's company reported last. Not sent by the
    /// reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<i64>,
}

/// A new subscription.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateSubscription {
    /// Chosen by the server if it is absent or all-zero: then it follows from slice and company.
    #[serde(default)]
    pub id: Id,
    /// The slice.
    #[serde(default)]
    #[schema(required = true)]
    pub slice_id: Id,
    /// The company that gets it.
    #[serde(default)]
    #[schema(required = true)]
    pub company_id: Id,
    /// 3 to 255 characters; unique on the server, ignoring case.
    #[serde(default)]
    #[schema(value_type = Name, required = true)]
    pub name: String,
    /// May be empty.
    #[serde(default)]
    pub description: String,
    /// Whether the slice may be synced; `false` if it is not said.
    #[serde(default)]
    pub active: bool,
}

/// Changes of a subscription, as the reference sends them: with three ids that must be what they are.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct PutSubscription {
    /// The id in the path.
    #[serde(default)]
    #[schema(required = true)]
    pub sub_id: Id,
    /// Its slice, which it keeps: another one is 409.
    #[serde(default)]
    #[schema(required = true)]
    pub slice_id: Id,
    /// Its company, which it keeps: another one is 409.
    #[serde(default)]
    #[schema(required = true)]
    pub company_id: Id,
    /// 3 to 255 characters; absent or empty: it stays.
    #[schema(value_type = Option<NameOrNothing>, required = false)]
    pub name: Option<String>,
    /// May be empty.
    pub description: Option<String>,
    /// This side's switch.
    pub active: Option<bool>,
}

/// Changes of a subscription: what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct UpdateSubscription {
    /// The id in the path.
    #[serde(default)]
    #[schema(value_type = Id, required = false)]
    pub sub_id: Patch<Id>,
    /// Its slice, which it keeps: another one is 409.
    #[serde(default)]
    #[schema(value_type = Id, required = false)]
    pub slice_id: Patch<Id>,
    /// Its company, which it keeps: another one is 409.
    #[serde(default)]
    #[schema(value_type = Id, required = false)]
    pub company_id: Patch<Id>,
    /// 3 to 255 characters; unique on the server, ignoring case.
    #[serde(default)]
    #[schema(value_type = Name, required = false)]
    pub name: Patch<String>,
    /// May be empty.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub description: Patch<String>,
    /// This side's switch.
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
