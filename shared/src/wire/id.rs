//! The UUID of a company, slice, grain or subscription.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

/// A UUID: lower-case and hyphenated going out; coming in also upper-case, in braces or as 32 hex digits
/// (reference, HTTP conventions). The nil UUID means "not given" where the reference's clients send it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Id(pub Uuid);

impl Id {
    /// The all-zero UUID.
    pub const NIL: Id = Id(Uuid::nil());

    /// Whether this is the all-zero UUID.
    pub fn is_nil(&self) -> bool {
        self.0.is_nil()
    }

    /// `None` for the nil UUID, which the reference's clients send for "choose one".
    pub fn given(self) -> Option<Id> {
        if self.is_nil() { None } else { Some(self) }
    }

    /// The 16 bytes, in the order in which ids sort.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::Custom("uuid".to_owned())))
            .description(Some("A UUID. Where an id may be absent, the all-zero one stands for none."))
            .examples(["2bea8308-1840-4802-ad38-72b53e31594c"])
            .build()
            .into()
    }
}

impl ToSchema for Id {}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // The crate also takes `urn:uuid:`; the reference does too.
        Uuid::parse_str(text).map(Id).map_err(|_invalid| InvalidId)
    }
}

/// The text is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a uuid: expected 32 hex digits, as in 10000000-0000-0000-0000-000000000000")]
pub struct InvalidId;

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
