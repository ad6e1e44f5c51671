//! Passwords of people: changing one's own, and setting somebody's.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::crypto::Secret;

/// A change of password, with the old one.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct ChangePassword {
    /// The one that is good now.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 8)]
    pub old_password: Secret,
    /// At least 8 characters, at most 72 bytes, and not easy to guess for who knows the user's names and address.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 8)]
    pub new_password: Secret,
    /// The same again.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 8)]
    pub new_password_confirm: Secret,
}

/// A new password for somebody.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct ResetPassword {
    /// At least 8 characters, at most 72 bytes, and not easy to guess; absent: the server makes one.
    #[schema(value_type = String)]
    #[serde(default)]
    pub new_password: Secret,
}

/// Whose password was set.
#[derive(Serialize, ToSchema)]
pub struct PasswordReset {
    /// The user.
    pub id: i64,
    /// His user name.
    pub username: String,
    /// Shown this once, if the server made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}
