//! `POST /login`, `POST /synclogin`, `GET /refresh/:token`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;
use crate::crypto::Secret;

/// Body of a login: a user name with its password, or an api-key. A non-empty key wins, as in the reference.
#[derive(Debug, Default, Deserialize)]
pub struct Login {
    /// User name.
    #[serde(default)]
    pub username: String,
    /// Its password.
    #[serde(default)]
    pub password: Secret,
    /// The api-key; `sync_api_key` is accepted too.
    #[serde(default, rename = "sync-api-key", alias = "sync_api_key")]
    pub sync_api_key: Secret,
}

/// A login with a password.
#[derive(Serialize, ToSchema)]
pub struct PasswordLogin<'a> {
    /// User name or e-mail address.
    #[schema(min_length = 1)]
    pub username: &'a str,
    /// The user's password.
    #[schema(min_length = 1)]
    pub password: &'a str,
}

/// A login with an api-key.
#[derive(Serialize, ToSchema)]
pub struct KeyLogin<'a> {
    /// The key; `sync_api_key` is accepted too.
    #[schema(min_length = 1)]
    #[serde(rename = "sync-api-key")]
    pub sync_api_key: &'a str,
}

/// Answer to a login.
#[derive(Default, Serialize, Deserialize, ToSchema)]
pub struct AuthToken {
    /// The access token, for the header `Authorization: Bearer`: a JWT that lives 15 minutes.
    pub token: String,
    /// When the token ends.
    pub expires: String,
    /// For `POST /refresh` and `GET /refresh/{token}`: 64 hex digits, good as long as the login.
    pub refresh_token: String,
    /// After a login with an api-key: when that was minted. Not sent by the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_created_at: Option<Timestamp>,
    /// When it ends by itself; absent: never. Not sent by the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_expires_at: Option<Timestamp>,
}

impl AuthToken {
    /// What it tells of the key that logged in.
    pub fn key_life(&self) -> KeyLife {
        KeyLife { created_at: self.key_created_at, expires_at: self.key_expires_at }
    }
}

/// How long an api-key lives, as far as its primary says: the reference does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLife {
    /// When it was minted.
    pub created_at: Option<Timestamp>,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

impl KeyLife {
    /// Whether four fifths of it are over: time to replace the key.
    pub fn is_ending(self, now: Timestamp) -> bool {
        self.created_at.zip(self.expires_at).is_some_and(|(created_at, expires_at)| {
            (now.get() - created_at.get()) * 5 >= (expires_at.get() - created_at.get()) * 4
        })
    }
}

/// Exchanges a refresh token for another one.
#[derive(Debug, Default, Deserialize)]
pub struct RefreshRequest {
    /// Of a login, or of the exchange before this one.
    #[serde(default)]
    pub refresh_token: Secret,
}

/// How it is written.
#[derive(Serialize, ToSchema)]
#[schema(as = RefreshRequest)]
pub struct Refresh<'a> {
    /// Of a login, or of the exchange before this one.
    #[schema(min_length = 1)]
    pub refresh_token: &'a str,
}

/// Answer to a refresh.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct RefreshedToken {
    /// The access token, for the header `Authorization: Bearer`: a JWT that lives 15 minutes.
    pub token: String,
    /// When the token ends.
    pub expires: String,
}
