//! The sync credential inside an api-key: `hex(nonce ‖ AES-256-GCM(JSON))`, compatible both ways with the reference
//! (spec "API key"; design D3, D4).

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Secret;
use super::keyring::MAX_RING;
use super::sealed::SealKey;
use crate::clock::Random;
use crate::wire::Id;

/// A key of the reference has 284 to some 540 digits, ours about 440.
const MAX_HEX: usize = 4096;
const PREFIX: &str = "sync_";

/// Who an api-key says it is.
#[derive(Clone)]
pub struct Credential {
    /// `sync_<key id>`.
    pub username: String,
    /// The machine secret.
    pub password: Secret,
    /// Which primary minted it; the reference does not say.
    pub primary_id: Option<Id>,
}

/// The plaintext, member for member. The reference's has only the first three, ours is read by it all the same.
#[derive(Serialize, Deserialize)]
struct Plaintext {
    username: String,
    password: Zeroizing<String>,
    #[serde(rename = "sync-api-key", default)]
    sync_api_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    v: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(rename = "gen", default, skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pid: Option<Id>,
}

impl Credential {
    /// A fresh key id and 256 random bits.
    pub fn fresh(primary_id: Id, random: &Random) -> Self {
        let password = data_encoding::BASE64URL_NOPAD.encode(&random.bytes::<32>());
        Self { username: username(random.id()), password: password.into(), primary_id: Some(primary_id) }
    }

    /// The uuid in the user name; `None` for a user name that no mint makes.
    pub fn key_id(&self) -> Option<Id> {
        key_id(&self.username)
    }

    /// Encrypts under ring entry `kid`; lower-case hex.
    pub fn seal(&self, kid: &str, key: &SealKey, generation: i64, random: &Random) -> String {
        let plaintext = Plaintext {
            username: self.username.clone(),
            password: Zeroizing::new(self.password.expose().to_owned()),
            sync_api_key: String::new(),
            v: Some(2),
            kid: Some(kid.to_owned()),
            generation: Some(generation),
            pid: self.primary_id,
        };
        // A struct of strings and numbers always serialises.
        let json = Zeroizing::new(serde_json::to_vec(&plaintext).unwrap_or_default());
        data_encoding::HEXLOWER.encode(&key.seal(&json, b"", random))
    }

    /// Decrypts with the first of `ring` (newest first) that fits. Total: any text gets an answer.
    pub fn open<'a>(api_key: &str, ring: impl IntoIterator<Item = &'a SealKey>) -> Option<Self> {
        let hex = api_key.trim();
        if hex.len() > MAX_HEX {
            return None;
        }
        let envelope = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
        let json = ring.into_iter().take(MAX_RING).find_map(|key| key.open(&envelope, b""))?;
        // Every mint writes an object; serde would take an array of the right values for one.
        if json.first() != Some(&b'{') {
            return None;
        }
        let plaintext: Plaintext = serde_json::from_slice(&json).ok()?;
        Some(Self {
            username: plaintext.username,
            password: Secret::from(plaintext.password.to_string()),
            primary_id: plaintext.pid,
        })
    }
}

/// Whether a text could be a sealed key: hex, and long enough for nonce and tag.
pub fn is_envelope(text: &str) -> bool {
    let hex = text.trim();
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes());
    hex.len() <= MAX_HEX && bytes.is_ok_and(|bytes| bytes.len() > 28)
}

/// The user name of a key.
pub fn username(key_id: Id) -> String {
    format!("{PREFIX}{key_id}")
}

/// The key of a user name.
pub fn key_id(username: &str) -> Option<Id> {
    username.strip_prefix(PREFIX)?.parse().ok()
}

/// What the database keeps of a machine secret: 256 random bits need no slow hash (ASVS 6.5.2).
pub fn secret_sha256(key_id: Id, secret: &Secret) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"sp-sync-v1\0");
    hash.update(key_id.as_bytes());
    hash.update([0]);
    hash.update(secret.expose().as_bytes());
    hash.finalize().into()
}

/// Compares in constant time.
pub fn secret_matches(stored: &[u8], key_id: Id, secret: &Secret) -> bool {
    secret_sha256(key_id, secret).ct_eq(stored).into()
}

/// Whether a password has the shape of the reference's generator: 26 characters of its alphabet, 164 random bits.
/// Only such a secret may be stored as a fast hash.
pub fn is_reference_secret(secret: &Secret) -> bool {
    const SYMBOLS: &str = "!$%^&*()_+{}:@[];'#<>?,./|-=?";
    let text = secret.expose();
    text.len() == 26 && text.chars().all(|c| c.is_ascii_alphabetic() || SYMBOLS.contains(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        Credential, Id, MAX_HEX, Random, SealKey, is_envelope, is_reference_secret, key_id, secret_matches,
        secret_sha256, username,
    };

    #[derive(serde::Deserialize)]
    struct Vector {
        api_key_secret: String,
        sync_api_key: String,
        plaintext: String,
    }

    fn vectors() -> Vec<Vector> {
        serde_json::from_str(include_str!("../../../tests/fixtures/sandpiper/api-key-vectors.json")).unwrap()
    }

    #[test]
    fn a_key_minted_by_the_reference_opens() {
        for vector in vectors() {
            let key = SealKey::from_base64(&vector.api_key_secret).unwrap();
            let plaintext: serde_json::Value = serde_json::from_str(&vector.plaintext).unwrap();
            for hex in [vector.sync_api_key.clone(), vector.sync_api_key.to_uppercase()] {
                let opened = Credential::open(&hex, [&SealKey::new([7; 32]), &key]).unwrap();
                assert_eq!(opened.username, plaintext["username"]);
                assert_eq!(opened.password.expose(), plaintext["password"]);
                assert!(is_reference_secret(&opened.password));
                assert!(opened.key_id().is_some());
            }
        }
    }

    #[test]
    fn our_key_has_the_shape_that_the_reference_reads() {
        let key = SealKey::new([9; 32]);
        let minted = Credential::fresh(Id::NIL, &Random::System);
        let hex = minted.seal("r0", &key, 3, &Random::System);
        assert!(hex.bytes().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase()));
        let envelope = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let json = key.open(&envelope, b"").unwrap();
        let text = std::str::from_utf8(&json).unwrap();
        assert!(text.starts_with(&format!(r#"{{"username":"{}","password":""#, minted.username)), "{text}");
        assert!(text.contains(r#","sync-api-key":"","v":2,"kid":"r0","gen":3,"pid":"00000000-"#), "{text}");
        // The reference verifies with bcrypt, which ignores bytes past 72.
        assert_eq!(minted.password.expose().len(), 43);
        assert_eq!(key_id(&minted.username), minted.key_id());
    }

    #[test]
    fn no_key_is_longer_than_the_longest_and_the_longest_opens() {
        let key = SealKey::new([9; 32]);
        let sealed = |password: usize| {
            let json = format!(r#"{{"username":"u","password":"{}"}}"#, "p".repeat(password));
            data_encoding::HEXLOWER.encode(&key.seal(json.as_bytes(), b"", &Random::System))
        };
        let longest = MAX_HEX / 2 - (sealed(0).len() / 2);
        assert_eq!(sealed(longest).len(), MAX_HEX);
        for (password, is_taken) in [(0, true), (longest, true), (longest + 1, false)] {
            let text = format!(" {}\n", sealed(password));
            assert_eq!(Credential::open(&text, [&key]).is_some(), is_taken, "{password}");
            assert_eq!(is_envelope(&text), is_taken, "{password}");
        }
    }

    #[test]
    fn what_is_too_short_or_no_hex_is_no_envelope() {
        let digits = |bytes: usize| "5c".repeat(bytes);
        for (text, is_one) in [
            (digits(29), true),
            (digits(29).to_uppercase(), true),
            (digits(28), false),
            (String::new(), false),
            (digits(200), true),
            (format!("{}5", digits(200)), false),
            (format!("{}g0", digits(200)), false),
        ] {
            assert_eq!(is_envelope(&text), is_one, "{text}");
        }
    }

    #[test]
    fn an_array_of_the_right_values_is_no_key() {
        let key = SealKey::new([9; 32]);
        let opened = |json: &str| {
            let sealed = key.seal(json.as_bytes(), b"", &Random::System);
            Credential::open(&data_encoding::HEXLOWER.encode(&sealed), [&key])
        };
        assert!(opened(r#"{"username":"u","password":"p","sync-api-key":"","more":1}"#).is_some());
        assert!(opened(r#"["u","p","",null,null,null,null]"#).is_none());
    }

    /// The hash was computed by another implementation: what is stored is found again in later versions.
    #[test]
    fn a_secret_matches_its_own_hash_for_its_own_key_only() {
        let id = "00112233-4455-6677-8899-aabbccddeeff".parse::<Id>().unwrap();
        let stored = secret_sha256(id, &"secret".into());
        assert_eq!(
            data_encoding::HEXLOWER.encode(&stored),
            "5fc3440029f96e71b5953fa74426494d639afeac40712f8c79c487de24f51f5d"
        );
        assert!(secret_matches(&stored, id, &"secret".into()));
        assert!(!secret_matches(&stored, id, &"Secret".into()));
        assert!(!secret_matches(&stored, Id::NIL, &"secret".into()));
        assert!(!secret_matches(&stored[..31], id, &"secret".into()));
        assert!(!secret_matches(b"", id, &"".into()));
    }

    #[test]
    fn only_a_secret_of_the_references_generator_has_its_shape() {
        let good = "aB!$%^&*()_+{}:@[];'#<>?,.";
        assert!(is_reference_secret(&good.into()));
        for other in [&good[1..], &format!("{good}a"), &good.replace('a', "7"), &good.replace('a', " "), ""] {
            assert!(!is_reference_secret(&other.into()), "{other}");
        }
    }

    #[test]
    fn a_user_name_tells_its_key_and_any_other_name_none() {
        let id = Random::seeded(1).id();
        assert_eq!(key_id(&username(id)), Some(id));
        for name in [id.to_string(), format!("sync{id}"), "sync_".to_owned(), "admin".to_owned()] {
            assert_eq!(key_id(&name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text: String) {
            prop_assert!(Credential::open(&text, [&SealKey::new([1; 32])]).is_none());
        }

        #[test]
        fn any_sealed_bytes_get_an_answer(bytes: Vec<u8>, seed: u64) {
            let key = SealKey::new([1; 32]);
            let hex = data_encoding::HEXLOWER.encode(&key.seal(&bytes, b"", &Random::seeded(seed)));
            prop_assert!(Credential::open(&hex, [&key]).is_none());
        }

        #[test]
        fn what_is_minted_opens(seed: u64, generation: i64) {
            let (key, random) = (SealKey::new([1; 32]), Random::seeded(seed));
            let minted = Credential::fresh(random.id(), &random);
            let opened = Credential::open(&minted.seal("r0", &key, generation, &random), [&key]).unwrap();
            prop_assert_eq!(opened.username, minted.username);
            prop_assert_eq!(opened.password, minted.password);
            prop_assert_eq!(opened.primary_id, minted.primary_id);
        }
    }
}
