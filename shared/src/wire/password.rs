//! Passwords of people: changing one's own, and setting somebody's.

use serde::{Deserialize, Serialize};

use crate::crypto::Secret;

/// Body of `PATCH /v1/password/:id`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ChangePassword {
    /// The one that is good now.
    pub old_password: Secret,
    /// See the password policy.
    pub new_password: Secret,
    /// The same again.
    pub new_password_confirm: Secret,
}

/// Body of `POST /v1/users/:id/password`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResetPassword {
    /// See the password policy; absent: the server makes one.
    pub new_password: Secret,
}

/// Whose password was set.
#[derive(Serialize)]
pub struct PasswordReset {
    /// The user.
    pub id: i64,
    /// As he logs in.
    pub username: String,
    /// Shown this once, if the server made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}
