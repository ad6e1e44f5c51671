//! Members of a PATCH (RFC 7396): absent is not `null`, and neither is an empty value.

use serde::{Deserialize, Deserializer};

/// A member of a body that changes what it names. Needs `#[serde(default)]`: an absent member is never deserialised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Not named: stays as it is.
    #[default]
    Absent,
    /// `null`: is to be empty.
    Null,
    /// Is to be this.
    Value(T),
}

impl<T> Patch<T> {
    /// Whether the body names it, with whatever value.
    pub fn is_some(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// What the member is afterwards, if it may be empty: `null` makes it `T`'s empty value.
    pub fn or(self, old: T) -> T
    where
        T: Default,
    {
        match self {
            Self::Absent => old,
            Self::Null => T::default(),
            Self::Value(value) => value,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `Option<T>`: a type that reads `null` itself must not get to see it.
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Null => Ok(Self::Null),
            value => T::deserialize(value).map(Self::Value).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Patch;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Body {
        name: Patch<String>,
    }

    #[test]
    fn absent_null_and_empty_are_three_things() {
        let name = |text: &str| serde_json::from_str::<Body>(text).unwrap().name;
        assert_eq!(name("{}"), Patch::Absent);
        assert_eq!(name(r#"{"name":null}"#), Patch::Null);
        assert_eq!(name(r#"{"name":""}"#), Patch::Value(String::new()));
        assert!(serde_json::from_str::<Body>(r#"{"name":1}"#).is_err());
        assert_eq!(name("{}").or("old".to_owned()), "old");
        assert_eq!(name(r#"{"name":null}"#).or("old".to_owned()), "");
    }
}
