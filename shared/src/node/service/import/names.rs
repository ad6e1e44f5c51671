//! Names and addresses of the source, made to fit: ours are unique ignoring case in every script, theirs only as far as
//! their database's collation goes.

use std::collections::HashSet;

use crate::store::company::name_key;

/// Longest name that every list, file and receiver takes, with room for an id behind it.
const MAX_NAME_CHARS: usize = 200;
/// Longest address; see `MAX_KEY_BYTES` of `node::body`.
const MAX_ADDRESS_BYTES: usize = crate::node::body::MAX_KEY_BYTES;
/// What the reference's `init` writes for a receiver, which has no address.
const NO_ADDRESS: [&str; 2] = ["", "(none)"];

/// Names of one table that are taken.
#[derive(Default)]
pub struct Names(HashSet<String>);

impl Names {
    /// `name` or, if it cannot stay, another one, made unique as the reference does: by the id behind it.
    pub fn fit(&mut self, name: &str, id: &str) -> String {
        let clean: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
        let base = if clean.trim().is_empty() { id.to_owned() } else { clean };
        let mut fit = base.clone();
        let mut round = 1;
        while !self.0.insert(name_key(&fit)) {
            fit = if round == 1 { format!("{base} ({id})") } else { format!("{base} ({id}) {round}") };
            round += 1;
        }
        fit
    }
}

/// Addresses that are taken.
#[derive(Default)]
pub struct Addresses(HashSet<String>);

impl Addresses {
    /// Scheme, host and port, which is all that the reference ever used, and whether anything else was lost with the
    /// rest.
    pub fn fit(&mut self, text: &str) -> (Option<String>, bool) {
        let text = text.trim();
        if NO_ADDRESS.contains(&text) {
            return (None, false);
        }
        let Some(origin) = origin(text) else { return (None, true) };
        let changed = origin != text.trim_end_matches('/');
        if self.0.insert(origin.clone()) { (Some(origin), changed) } else { (None, true) }
    }
}

fn origin(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let is_server = matches!(url.scheme(), "http" | "https") && url.has_host();
    let origin = url.origin().ascii_serialization();
    (is_server && origin.len() <= MAX_ADDRESS_BYTES).then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::{Addresses, Names};

    #[test]
    fn a_name_stays_unless_it_cannot() {
        let mut names = Names::default();
        assert_eq!(names.fit("Äpfel", "1"), "Äpfel");
        assert_eq!(names.fit("äPFEL", "2"), "äPFEL (2)");
        assert_eq!(names.fit("äPFEL", "2"), "äPFEL (2) 2");
        assert_eq!(names.fit("a\u{7}b\n", "3"), "ab");
        assert_eq!(names.fit(" \t", "4"), "4");
        assert_eq!(names.fit(&"x".repeat(500), "5").chars().count(), 200);
        assert_eq!(names.fit(&"X".repeat(500), "6"), format!("{} (6)", "X".repeat(200)));
    }

    #[test]
    fn an_address_is_scheme_host_and_port() {
        let mut addresses = Addresses::default();
        for (text, fit) in [
            ("", (None, false)),
            ("(none)", (None, false)),
            ("https://a.example", (Some("https://a.example"), false)),
            ("http://b.example:8080/", (Some("http://b.example:8080"), false)),
            ("http://c.example/sub?x=1", (Some("http://c.example"), true)),
            ("http://me:secret@d.example", (Some("http://d.example"), true)),
            ("https://A.example", (None, true)),
            ("none2", (None, true)),
            ("ftp://e.example", (None, true)),
            ("http://", (None, true)),
        ] {
            let (origin, changed) = addresses.fit(text);
            assert_eq!((origin.as_deref(), changed), fit, "{text}");
        }
    }
}
