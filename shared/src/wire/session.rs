//! `/v1/sessions`: logins of people.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Id, Timestamp};

/// A login of a person that is alive.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Tells logins apart.
    pub id: Id,
    /// Whose it is.
    pub user_id: i64,
    /// His name.
    pub username: String,
    /// When he logged in.
    pub created_at: Timestamp,
    /// Its last request, to the minute.
    pub last_seen_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// The IP address that he logged in from; empty if it is not known.
    pub address: String,
    /// What the client called itself (`User-Agent`); may be empty.
    pub agent: String,
    /// Whether it is the one that asks.
    pub current: bool,
}
