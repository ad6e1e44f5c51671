//! The rings: keys that seal api-keys and sign tokens, wrapped by the root key in the database (design D5).

use zeroize::Zeroizing;

use super::root_key::RootKey;
use super::sealed::SealKey;
use crate::clock::Random;

/// What a ring key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Sealing api-keys: 32 raw bytes.
    Seal,
    /// Signing tokens: the bytes of the secret's text, as the reference uses them.
    Jwt,
}

impl Purpose {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Jwt => "jwt",
        }
    }

    /// From what is stored.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Seal, Self::Jwt].into_iter().find(|purpose| purpose.as_str() == text)
    }

    /// The first letter of its keys' ids: `r0`, `r1` … and `j0`, `j1` …
    pub fn letter(self) -> char {
        match self {
            Self::Seal => 'r',
            Self::Jwt => 'j',
        }
    }
}

/// Why a secret given by the operator is refused; never shows the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// Not 32 bytes of base64.
    #[error("APIKEY_SECRET must be the base64 of exactly 32 bytes (44 characters): `secrets` prints one")]
    Seal,
    /// Too short.
    #[error("JWT_SECRET must have at least 64 characters: `secrets` prints one")]
    Jwt,
    /// Repeats itself or is published.
    #[error("the secret is a published sample or repeats itself: `secrets` prints a new one")]
    Known,
}

/// Secrets printed in the reference's documentation and samples: anybody can read them.
const PUBLISHED: [&str; 2] = [
    "u7WJ3kpqyvAkKb7HIfYJoSok2DoqTa9YhaCUhUujqb8=",
    "WuBF5X3FS8IYGb5BblKPJxfrDHAHJYWqG649C+qAafmXy0fow0IX8NpDPQXuHRuUbLSlX/L0IjdD5Lu2dWQOMw",
];

/// 32 fresh bytes in the reference's `APIKEY_SECRET` form: 44 characters of base64.
pub fn fresh_seal_secret(random: &Random) -> Zeroizing<String> {
    Zeroizing::new(data_encoding::BASE64.encode(&random.bytes::<32>()))
}

/// 64 fresh bytes in the reference's `JWT_SECRET` form: 88 characters of base64.
pub fn fresh_jwt_secret(random: &Random) -> Zeroizing<String> {
    Zeroizing::new(data_encoding::BASE64.encode(&random.bytes::<64>()))
}

/// Whether anybody can know a ring's secret: it is printed somewhere, or repeats itself.
pub fn is_published(purpose: Purpose, secret: &[u8]) -> bool {
    let same = |sample: &&str| match purpose {
        Purpose::Jwt => sample.as_bytes() == secret,
        Purpose::Seal => SealKey::from_base64(sample).is_some_and(|key| key.as_bytes().as_slice() == secret),
    };
    let mut distinct = secret.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct.len() < 8 || PUBLISHED.iter().any(same)
}

/// Checks a secret in the reference's form and gives the bytes that a ring keeps of it.
///
/// # Errors
/// [`WeakSecret`].
pub fn import(purpose: Purpose, text: &str) -> Result<Zeroizing<Vec<u8>>, WeakSecret> {
    let text = text.trim();
    let mut distinct = text.trim_end_matches('=').bytes().collect::<Vec<_>>();
    distinct.sort_unstable();
    distinct.dedup();
    if PUBLISHED.contains(&text) || (!text.is_empty() && distinct.len() < 8) {
        return Err(WeakSecret::Known);
    }
    let secret = match purpose {
        Purpose::Seal => {
            let key = SealKey::from_base64(text).ok_or(WeakSecret::Seal)?;
            Zeroizing::new(key.as_bytes().to_vec())
        }
        Purpose::Jwt if text.len() < 64 => return Err(WeakSecret::Jwt),
        Purpose::Jwt => Zeroizing::new(text.as_bytes().to_vec()),
    };
    // What a server refuses when it starts must not be taken here: base64 can hide that bytes repeat.
    if is_published(purpose, &secret) { Err(WeakSecret::Known) } else { Ok(secret) }
}

/// Wraps a ring key for the database. Id and purpose are bound in, so rows cannot be swapped.
pub fn wrap(root: &RootKey, id: &str, purpose: Purpose, secret: &[u8], random: &Random) -> Vec<u8> {
    root.derive(WRAP).seal(secret, &context(id, purpose), random)
}

/// Unwraps a ring key; `None` when root key, id or purpose do not fit.
pub fn unwrap(root: &RootKey, id: &str, purpose: Purpose, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    root.derive(WRAP).open(wrapped, &context(id, purpose))
}

const WRAP: &str = "sandpiper keyring wrap v1";

fn context(id: &str, purpose: Purpose) -> Vec<u8> {
    format!("{}\0{id}", purpose.as_str()).into_bytes()
}

/// How many living keys a ring may have: GCM is not key-committing, so an envelope is tried with a bounded number.
pub const MAX_RING: usize = 8;

/// How many api-keys one key may seal: under 2³² the chance of a repeated nonce stays below 2⁻³² (SP 800-38D §8.3).
pub const MAX_SEALS: i64 = 3_865_470_566;

/// The seal keys of a primary: the active one seals, all open.
pub struct SealRing {
    /// (id, key), newest first.
    keys: Vec<(String, SealKey)>,
    active: (String, SealKey),
}

impl SealRing {
    /// `keys` newest first; `active` is one of them.
    pub fn new(keys: Vec<(String, SealKey)>, active: &str) -> Option<Self> {
        let active = keys.iter().find(|(id, _key)| id == active)?.clone();
        Some(Self { keys, active })
    }

    /// The key that seals, and its id.
    pub fn active(&self) -> (&str, &SealKey) {
        (&self.active.0, &self.active.1)
    }

    /// All keys, newest first.
    pub fn keys(&self) -> impl Iterator<Item = &SealKey> {
        self.keys.iter().map(|(_id, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_starts_and_what_would_not_start_is_not_taken() {
        // Four values, which 21 characters of base64 hide.
        let few: Vec<u8> = (0..32).map(|n: usize| [3, 250, 77, 18, 130, 201, 96][n * n % 7]).collect();
        let hidden = data_encoding::BASE64.encode(&few);
        let same = data_encoding::BASE64.encode(&[7; 32]);
        for text in [hidden.as_str(), &same, PUBLISHED[0]] {
            assert_eq!(import(Purpose::Seal, text).err(), Some(WeakSecret::Known), "{text}");
        }
        assert_eq!(import(Purpose::Jwt, PUBLISHED[1]).err(), Some(WeakSecret::Known));
        for (purpose, text) in [
            (Purpose::Seal, fresh_seal_secret(&Random::System)),
            (Purpose::Jwt, fresh_jwt_secret(&Random::System)),
        ] {
            assert!(!is_published(purpose, &import(purpose, &text).unwrap()));
        }
    }

    #[test]
    fn secrets_are_taken_from_the_length_and_the_variety_on_that_they_must_have() {
        let of = |values: u8, length: usize| (0..values).cycle().take(length).collect::<Vec<u8>>();
        for purpose in [Purpose::Seal, Purpose::Jwt] {
            assert!(is_published(purpose, &of(7, 64)));
            assert!(!is_published(purpose, &of(8, 64)));
        }
        assert!(is_published(Purpose::Jwt, PUBLISHED[1].as_bytes()));
        assert!(is_published(Purpose::Seal, &data_encoding::BASE64.decode(PUBLISHED[0].as_bytes()).unwrap()));
        let text = |letters: &str, length: usize| letters.chars().cycle().take(length).collect::<String>();
        for (secret, expected) in [
            (text("abcdefgh", 64), Ok(())),
            (text("abcdefgh", 63), Err(WeakSecret::Jwt)),
            (text("abcdefg", 64), Err(WeakSecret::Known)),
            (String::new(), Err(WeakSecret::Jwt)),
        ] {
            let imported = import(Purpose::Jwt, &format!(" {secret}\n"));
            assert_eq!(imported.as_ref().map(|_secret| ()), expected.as_ref().map(|_secret| ()), "{secret}");
            assert!(imported.is_err() || imported.unwrap().as_slice() == secret.as_bytes());
        }
        // Seven letters, of which base64 makes more than seven bytes.
        let few = format!("{}=", text("ABCDEFG", 43).replace('G', "I"));
        let varied = data_encoding::BASE64.encode(&of(8, 32));
        for (secret, expected) in [
            (varied.clone(), Ok(())),
            (data_encoding::BASE64.encode(&of(8, 31)), Err(WeakSecret::Seal)),
            (data_encoding::BASE64.encode(&of(8, 33)), Err(WeakSecret::Seal)),
            (few, Err(WeakSecret::Known)),
            (String::new(), Err(WeakSecret::Seal)),
        ] {
            assert_eq!(import(Purpose::Seal, &secret).map(|_secret| ()), expected, "{secret}");
        }
        assert_eq!(import(Purpose::Seal, &varied).unwrap().as_slice(), of(8, 32));
    }

    #[test]
    fn a_wrapped_key_opens_in_its_place_only() {
        let random = Random::seeded(1);
        let (root, other) = (RootKey::fresh(&random), RootKey::fresh(&random));
        let wrapped = wrap(&root, "r1", Purpose::Seal, b"secret", &random);
        assert_eq!(unwrap(&root, "r1", Purpose::Seal, &wrapped).unwrap().as_slice(), b"secret");
        assert!(unwrap(&root, "r2", Purpose::Seal, &wrapped).is_none());
        assert!(unwrap(&root, "r1", Purpose::Jwt, &wrapped).is_none());
        assert!(unwrap(&other, "r1", Purpose::Seal, &wrapped).is_none());
        assert!(!wrapped.windows(6).any(|bytes| bytes == b"secret"));
    }

    #[test]
    fn a_ring_seals_with_its_active_key_and_opens_with_all() {
        let keys =
            || vec![("r1".to_owned(), SealKey::new([1; 32])), ("r0".to_owned(), SealKey::new([0; 32]))];
        let ring = SealRing::new(keys(), "r0").unwrap();
        let (id, key) = ring.active();
        assert_eq!((id, key.as_bytes()), ("r0", &[0; 32]));
        assert_eq!(ring.keys().map(SealKey::as_bytes).collect::<Vec<_>>(), [&[1; 32], &[0; 32]]);
        assert!(SealRing::new(keys(), "r2").is_none());
    }

    #[test]
    fn purposes_are_stored_by_name() {
        for (purpose, name, letter) in [(Purpose::Seal, "seal", 'r'), (Purpose::Jwt, "jwt", 'j')] {
            assert_eq!((purpose.as_str(), purpose.letter()), (name, letter));
            assert_eq!(Purpose::parse(name), Some(purpose));
        }
        assert_eq!(Purpose::parse("other"), None);
    }
}
