//! The body of every error answer (design D1).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was refused. (The reference sends `message` only.)
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// For people: a sentence, or a list of sentences where several things are wrong.
    pub message: Message,
    /// For programs: one of the codes that docs/api.md lists. They are stable.
    #[serde(default)]
    pub code: String,
    /// The same as in the header `x-request-id`; names the line in the server's log.
    #[serde(default)]
    pub request_id: String,
}

/// One sentence or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Message {
    /// One sentence.
    One(String),
    /// A sentence for each broken rule, naming the member as the reference does: `Name`, `SliceType`.
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
