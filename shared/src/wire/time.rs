//! Times as the reference writes them: RFC 3339 in UTC, fractional zeros dropped, "never" as year 1.

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// What the reference sends for "never".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A moment in UTC, whole microseconds (what both databases keep).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// Cuts `moment` to microseconds.
    pub fn new(moment: DateTime<Utc>) -> Self {
        Self(moment.trunc_subsecs(6))
    }

    /// The moment.
    pub fn get(self) -> DateTime<Utc> {
        self.0
    }

    /// Reads RFC 3339 with any offset.
    pub fn parse(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|moment| Self::new(moment.to_utc()))
    }

    /// This moment moved by `by`; saturates at the calendar's end.
    #[must_use]
    pub fn plus(self, by: chrono::Duration) -> Self {
        Self(self.0.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    /// Whole seconds since 1970.
    pub fn unix(self) -> i64 {
        self.0.timestamp()
    }
}

impl Default for Timestamp {
    /// What the reference sends for "never".
    fn default() -> Self {
        Self(
            chrono::NaiveDate::from_ymd_opt(1, 1, 1)
                .unwrap_or_default()
                .and_time(chrono::NaiveTime::MIN)
                .and_utc(),
        )
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_rfc3339_opts(SecondsFormat::Micros, true);
        let text = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
        write!(f, "{text}Z")
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339, in UTC. `0001-01-01T00:00:00Z` stands for never."))
            .examples(["2026-11-21T19:02:33.334925Z"])
            .build()
            .into()
    }
}

impl ToSchema for Timestamp {}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

/// `Option<Timestamp>` with the reference's zero time for `None` (`#[serde(with = "never")]`).
pub mod never {
    use super::{Deserialize, Deserializer, NEVER, Serializer, Timestamp};

    /// Writes the zero time for `None`.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_str(NEVER),
        }
    }

    /// Reads the zero time, `null` and an empty text as `None`.
    ///
    /// # Errors
    /// Text that is no RFC 3339 time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        match Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)? {
            None => Ok(None),
            Some(text) if text.is_empty() || text.starts_with("0001-01-01T00:00:00") => Ok(None),
            Some(text) => Timestamp::parse(&text)
                .map(Some)
                .ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn fractional_zeros_are_dropped_as_the_reference_does() {
        for text in ["2026-11-21T19:02:33.334925Z", "2026-11-21T19:02:33.34641Z", "2026-11-21T19:02:33Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Timestamp::parse("2026-11-21T20:02:33.1234567+01:00").unwrap().to_string(),
            "2026-11-21T19:02:33.123456Z"
        );
    }
}
