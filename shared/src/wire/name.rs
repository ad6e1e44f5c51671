//! What names are, for the contract; [`crate::node::body::Rules`] checks them.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// Anything but a control character, and that but for white space.
const ANY: &str = r"[^\x00-\x1F\x7F-\x9F]";
const VISIBLE: &str = r"[^\s\x00-\x1F\x7F-\x9F]";

/// Without control characters, and with at least `least` characters when white space around it is taken away.
fn pattern(least: usize) -> String {
    let inner = match least {
        1 => VISIBLE.to_owned(),
        _ => format!("{VISIBLE}{ANY}{{{},}}{VISIBLE}", least.saturating_sub(2)),
    };
    format!("^{ANY}*{inner}{ANY}*$")
}

fn text(least: usize, about: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .min_length(Some(least))
        .max_length(Some(255))
        .pattern(Some(pattern(least)))
        .description(Some(about))
        .build()
        .into()
}

/// Of a company, a slice or a subscription.
pub struct Name;

/// The same, or empty: as it is.
pub struct NameOrNothing;

/// First or last name of a new user.
pub struct PersonName;

/// First or last name that a user is given later: the reference wants more of it.
pub struct ChangedPersonName;

impl PartialSchema for Name {
    fn schema() -> RefOr<Schema> {
        text(3, "3 to 255 characters, none of them a control character; white space around it is taken away.")
    }
}

impl PartialSchema for NameOrNothing {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).max_length(Some(255));
        let text = text.description(Some("A name, or empty: it stays."));
        text.pattern(Some(format!("^$|{}", pattern(3)))).build().into()
    }
}

impl PartialSchema for PersonName {
    fn schema() -> RefOr<Schema> {
        text(1, "1 to 255 characters, none of them a control character.")
    }
}

impl PartialSchema for ChangedPersonName {
    fn schema() -> RefOr<Schema> {
        text(2, "2 to 255 characters, none of them a control character.")
    }
}

impl ToSchema for Name {}
impl ToSchema for NameOrNothing {}
impl ToSchema for PersonName {}
impl ToSchema for ChangedPersonName {}
