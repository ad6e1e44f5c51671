//! Text that must not be printed.

use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize as _, Zeroizing};

/// A password, key or token: no `Display`, no `Serialize`, a `Debug` that says nothing, wiped when dropped.
///
/// ```compile_fail
/// fn shown(secret: shared::crypto::Secret) -> String { format!("{secret}") }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_empty() { "[empty]" } else { "[secret]" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Serde's own message for a wrong type would quote the value.
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self::from(text)),
            _ => Err(serde::de::Error::custom("a secret must be a text")),
        }
    }
}

/// Reads one line as a secret, without its line end.
///
/// # Errors
/// The reader's.
pub(crate) fn read_line(mut from: impl std::io::BufRead) -> std::io::Result<Secret> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let secret = Secret::from(line.trim_end_matches(['\r', '\n']));
    line.zeroize();
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::{Secret, read_line};

    #[test]
    fn a_secret_is_what_was_given_and_shows_nothing_of_it() {
        let secret = Secret::from("otter".to_owned());
        assert_eq!(secret.expose(), "otter");
        assert_eq!("otter".parse::<Secret>().unwrap(), secret);
        assert_eq!(serde_json::from_str::<Secret>(r#""otter""#).unwrap(), secret);
        assert_eq!((format!("{secret:?}"), secret.is_empty()), ("[secret]".to_owned(), false));
        let empty = Secret::default();
        assert_eq!((format!("{empty:?}"), empty.is_empty()), ("[empty]".to_owned(), true));
        let refused = serde_json::from_str::<Secret>("4711").unwrap_err().to_string();
        assert!(refused.contains("a secret must be a text") && !refused.contains("4711"), "{refused}");
    }

    #[test]
    fn a_line_is_read_without_its_end() {
        for (lines, secret) in [("otter\r\nmarten\n", "otter"), (" otter ", " otter "), ("", "")] {
            assert_eq!(read_line(lines.as_bytes()).unwrap().expose(), secret);
        }
    }
}
