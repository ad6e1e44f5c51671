//! Users: logins on one node.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::name::{ChangedPersonName, PersonName};
use super::patch::Patch;
use super::{Id, Timestamp, never};
use crate::crypto::Secret;

/// What a login may do. A lower number has more power (spec §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// 100: staff of the node; everything.
    SuperAdmin,
    /// 110: staff of the node.
    Admin,
    /// 120: admin of a partner company; its own rows.
    CompanyAdmin,
    /// 200: the machine user of a company.
    Sync,
    /// 300: an ordinary user; its own row and nothing else.
    User,
}

impl Role {
    /// As stored and sent.
    pub fn number(self) -> i64 {
        match self {
            Self::SuperAdmin => 100,
            Self::Admin => 110,
            Self::CompanyAdmin => 120,
            Self::Sync => 200,
            Self::User => 300,
        }
    }

    /// For people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::SuperAdmin => "super admins",
            Self::Admin => "admins",
            Self::CompanyAdmin => "company admins",
            Self::Sync => "machine users",
            Self::User => "ordinary users",
        }
    }

    /// `None` for a number that is no role.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::SuperAdmin, Self::Admin, Self::CompanyAdmin, Self::Sync, Self::User]
            .into_iter()
            .find(|role| role.number() == number)
    }

    /// 100 or 110: the node's own staff.
    pub fn is_staff(self) -> bool {
        matches!(self, Self::SuperAdmin | Self::Admin)
    }
}

/// A user of the server: a person or a machine. Passwords and tokens are never part of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// A number that counts on this server only.
    pub id: i64,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// What the user wants to be called; absent if nothing. Not sent by the reference.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// Unique on the server, ignoring case.
    pub username: String,
    /// Unique on the server, ignoring case.
    pub email: String,
    /// Absent if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phone: String,
    /// Whether the user may log in.
    pub active: bool,
    /// Last login with a password.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub last_login: Option<Timestamp>,
    /// Last change of the password.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub password_changed: Option<Timestamp>,
    /// 100 super admin, 110 admin, 120 company admin, 200 machine, 300 ordinary user.
    pub role: i64,
    /// The company that the user belongs to.
    pub company_id: Id,
    /// When the user was added.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    #[serde(with = "never")]
    #[schema(value_type = Timestamp)]
    pub updated_at: Option<Timestamp>,
}

/// A new user.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct CreateUser {
    /// Given name: 1 to 255 characters.
    #[serde(default)]
    #[schema(value_type = PersonName, required = true)]
    pub first_name: String,
    /// Family name: 1 to 255 characters.
    #[serde(default)]
    #[schema(value_type = PersonName, required = true)]
    pub last_name: String,
    /// 1 to 30 characters of `A-Z a-z 0-9 _ ~ . -`; unique on the server, ignoring case.
    #[serde(default)]
    #[schema(required = true, pattern = "^[A-Za-z0-9_~.-]{1,30}$")]
    pub username: String,
    /// At least 8 characters, at most 72 bytes, and not easy to guess for who knows the user's names and address.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 8)]
    pub password: Secret,
    /// The same again.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 8)]
    pub password_confirm: Secret,
    /// E-mail address; unique on the server, ignoring case.
    #[serde(default)]
    #[schema(required = true, pattern = "^[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}[.][A-Za-z]{2,20}$")]
    pub email: String,
    /// May be empty.
    #[serde(default)]
    pub phone: String,
    /// May be empty.
    #[serde(default)]
    pub display_name: String,
    /// The company that the user belongs to: the caller's own, unless he is staff.
    #[serde(default)]
    #[schema(required = true)]
    pub company_id: Id,
    /// 100 super admin, 110 admin, 120 company admin, 200 machine, 300 ordinary user. It must be weaker than the caller's,
    /// that is a higher number.
    #[serde(default)]
    #[schema(required = true, minimum = 100, maximum = 300)]
    pub role: i64,
    /// Whether the user may log in; `true` if it is not said.
    pub active: Option<bool>,
}

/// Changes of a user: what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct UpdateUser {
    /// Given name: 2 to 255 characters.
    #[serde(default)]
    #[schema(value_type = ChangedPersonName, required = false)]
    pub first_name: Patch<String>,
    /// Family name: 2 to 255 characters.
    #[serde(default)]
    #[schema(value_type = ChangedPersonName, required = false)]
    pub last_name: Patch<String>,
    /// E-mail address; unique on the server, ignoring case.
    #[serde(default)]
    #[schema(value_type = String, required = false, pattern = "^[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}[.][A-Za-z]{2,20}$")]
    pub email: Patch<String>,
    /// May be empty.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub phone: Patch<String>,
    /// May be empty.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    pub display_name: Patch<String>,
    /// Whether the user may log in; by staff only.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    pub active: Patch<bool>,
    /// Not writable here.
    #[schema(ignore)]
    #[serde(default)]
    pub role: Patch<serde_json::Value>,
    /// Not writable here.
    #[schema(ignore)]
    #[serde(default)]
    pub company_id: Patch<serde_json::Value>,
}
