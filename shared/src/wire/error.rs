//! The body of every error answer (design D1).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `{"message": …, "code": "…", "request_id": "…"}`; the reference sends `message` only.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// A sentence, or for a body that breaks several rules a sentence each.
    pub message: Message,
    /// For programs: stable.
    #[serde(default)]
    pub code: String,
    /// Names the line in the server's log.
    #[serde(default)]
    pub request_id: String,
}

/// One sentence or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Message {
    /// One.
    One(String),
    /// One per broken rule, naming the field as the reference does.
    Many(Vec<String>),
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(text) => f.write_str(text),
            Self::Many(texts) => f.write_str(&texts.join("; ")),
        }
    }
}
