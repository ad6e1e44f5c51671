//! The reference's content hash: SHA-1 over binary grain ids, then metadata (spec "Content hash, exact bytes").

use sha1::{Digest as _, Sha1};

use crate::wire::Id;

/// Ids ascending, then key and value of each pair in byte order of the keys; no delimiters; nothing at all hashes to
/// the empty text. Weak by today's standards and blind to payloads: ours is [`super::set_hash`].
#[derive(Clone, Default)]
pub struct ContentHash {
    hash: Sha1,
    is_empty: bool,
}

impl ContentHash {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self { hash: Sha1::new(), is_empty: true }
    }

    /// Adds an id; the caller keeps them ascending.
    pub fn id(&mut self, id: Id) {
        self.is_empty = false;
        self.hash.update(id.as_bytes());
    }

    /// The hash over what was added, and the hash over that and `metadata` (in byte order of its keys).
    pub fn finish<'a>(self, metadata: impl IntoIterator<Item = (&'a str, &'a str)>) -> (String, String) {
        let ids = hex(self.hash.clone(), self.is_empty);
        let (mut hash, mut is_empty) = (self.hash, self.is_empty);
        for (key, value) in metadata {
            is_empty = false;
            hash.update(key.as_bytes());
            hash.update(value.as_bytes());
        }
        (ids, hex(hash, is_empty))
    }
}

fn hex(hash: Sha1, is_empty: bool) -> String {
    if is_empty { String::new() } else { data_encoding::HEXLOWER.encode(&hash.finalize()) }
}

#[cfg(test)]
mod tests {
    use super::{ContentHash, Id};

    #[test]
    fn the_vectors_of_the_reference_hold() {
        let none = ContentHash::new().finish([]);
        assert_eq!(none, (String::new(), String::new()));
        let metadata = [("pcdb-version", "2019-09-27"), ("vcdb-version", "2019-09-27")];
        assert_eq!(ContentHash::new().finish(metadata).1, "8bc0833dce660c70b1afd836dd44eec1a68a9156");
        let mut hash = ContentHash::new();
        for id in [
            "00000000-0000-4000-8000-000000000002",
            "7f000000-0000-4000-8000-000000000003",
            "ffffffff-0000-4000-8000-000000000001",
        ] {
            hash.id(id.parse::<Id>().unwrap());
        }
        let (ids, all) = hash.finish([("a", "1"), ("b", "2")]);
        assert_eq!(ids, "9ac29c2fab0088afe198ba495591885317bcf7a3");
        assert_eq!(all, "c943b552f63f04fbcc2fe6f942c8ebe31995570c");
    }
}
