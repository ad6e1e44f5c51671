//! Companies: trading partners, and the owner of the node.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::patch::Patch;
use super::user::User;
use super::{Id, Timestamp, never};
use crate::crypto::Secret;

/// A company. The api-key that a secondary keeps for it is never part of an answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Company {
    /// The same on both nodes.
    pub id: Id,
    /// Unique ignoring case.
    pub name: String,
    /// Base URL of its server; empty if it has none.
    #[serde(default)]
    pub sync_addr: String,
    /// Its machine user, once a key was minted (primary only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_user_id: Option<i64>,
    /// Whether a key is stored for it (secondary only). The reference sends the key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_api_key: Option<bool>,
    /// An inactive company cannot log in or sync.
    pub active: bool,
    /// When the row was made; the zero time where the reference does not read it.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// When it last changed; likewise.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub updated_at: Option<Timestamp>,
    /// Its logins, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<User>>,
}

/// Body of `POST /v1/companies`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateCompany {
    /// Chosen by the server if absent or nil.
    #[serde(default)]
    pub id: Id,
    /// At least 3 characters.
    #[serde(default)]
    #[schema(required = true, min_length = 3, max_length = 255, pattern = "\\S[\\s\\S]+\\S")]
    pub name: String,
    /// Base URL of its server; may be empty.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub sync_addr: String,
    /// Whether it may log in.
    #[serde(default)]
    pub active: bool,
    /// Stored by PATCH, once the company is there.
    #[serde(default)]
    #[schema(ignore)]
    pub sync_api_key: Option<serde::de::IgnoredAny>,
}

/// Body of `PATCH /v1/companies/:id`: what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct UpdateCompany {
    /// At least 3 characters.
    #[serde(default)]
    #[schema(value_type = String, required = false, min_length = 3, max_length = 255, pattern = "\\S[\\s\\S]+\\S")]
    pub name: Patch<String>,
    /// Base URL of its server; may be empty.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub sync_addr: Patch<String>,
    /// Whether it may log in.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    pub active: Patch<bool>,
    /// Write-only, on a secondary: the key for this primary.
    #[schema(value_type = String, required = false, max_length = 4000)]
    #[serde(default)]
    pub sync_api_key: Patch<Secret>,
    /// Never writable.
    #[schema(ignore)]
    #[serde(default)]
    pub sync_user_id: Patch<serde_json::Value>,
}
