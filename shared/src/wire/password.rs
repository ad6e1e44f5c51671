//! Passwords of people: changing one's own, and setting somebody's.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::crypto::Secret;

/// Body of `PATCH /v1/password/:id`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct ChangePassword {
    /// The one that is good now.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 8)]
    pub old_password: Secret,
    /// See the password policy.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 8)]
    pub new_password: Secret,
    /// The same again.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 8)]
    pub new_password_confirm: Secret,
}

/// Body of `POST /v1/users/:id/password`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct ResetPassword {
    /// See the password policy; absent: the server makes one.
    #[schema(value_type = String)]
    #[serde(default)]
    pub new_password: Secret,
}

/// Whose password was set.
#[derive(Serialize, ToSchema)]
pub struct PasswordReset {
    /// The user.
    pub id: i64,
    /// As he logs in.
    pub username: String,
    /// Shown this once, if the server made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}
