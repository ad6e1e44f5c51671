//! Companies: trading partners, and the owner of the node.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::name::Name;
use super::patch::Patch;
use super::user::User;
use super::{Id, Timestamp, never};
use crate::crypto::Secret;

/// A company: a trading partner, or the owner of the server. The api-key that a secondary keeps for it is never shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Company {
    /// The same on both servers.
    pub id: Id,
    /// Unique on the server, ignoring case.
    pub name: String,
    /// Base URL of its server; empty if it has none. Unique on the server.
    #[serde(default)]
    pub sync_addr: String,
    /// The id of its machine user, once a key was minted; on a primary only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_user_id: Option<i64>,
    /// Whether an api-key is stored for it; on a secondary only. (The reference sends the key itself.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_api_key: Option<bool>,
    /// `false`: its users and its api-key cannot log in.
    pub active: bool,
    /// When it was added; "never" in `GET /v1/servers`, as with the reference.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// When it last changed; likewise.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub updated_at: Option<Timestamp>,
    /// Its users: in `GET /v1/companies/{company_id}`, and in lists with `include=users`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<User>>,
}

/// A new company.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateCompany {
    /// Chosen by the server if it is absent or all-zero.
    #[serde(default)]
    pub id: Id,
    /// 3 to 255 characters; unique on the server, ignoring case.
    #[serde(default)]
    #[schema(value_type = Name, required = true)]
    pub name: String,
    /// Base URL of its server; may be empty, unique on the server if it is not.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub sync_addr: String,
    /// Whether its users and its api-key may log in; `false` if it is not said.
    #[serde(default)]
    pub active: bool,
    /// Stored by PATCH, once the company is there.
    #[serde(default)]
    #[schema(ignore)]
    pub sync_api_key: Option<serde::de::IgnoredAny>,
}

/// Changes of a company: what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct UpdateCompany {
    /// 3 to 255 characters; unique on the server, ignoring case.
    #[serde(default)]
    #[schema(value_type = Name, required = false)]
    pub name: Patch<String>,
    /// Base URL of its server, unique if it is not empty; `null` or empty: none. On a secondary, where it says to whom a
    /// key is sent, by staff only.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub sync_addr: Patch<String>,
    /// Whether its users and its api-key may log in; by staff only.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    pub active: Patch<bool>,
    /// The api-key that this primary has minted for us: on a secondary only, by staff only, and never shown again.
    #[schema(value_type = String, required = false, max_length = 4000)]
    #[serde(default)]
    pub sync_api_key: Patch<Secret>,
    /// Never writable.
    #[schema(ignore)]
    #[serde(default)]
    pub sync_user_id: Patch<serde_json::Value>,
}
