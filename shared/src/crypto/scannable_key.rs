//! An api-key that scanners find when it lies where it should not: `spsk1_<id>_<secret><checksum>`, the shape that code
//! hosts look for (prefix, then base62, checked without asking anybody), as `\bspsk1_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}\b`. The
//! checksum says that a text is such a key, not that it is good.

use super::Secret;
use crate::clock::Random;

/// What every one of them begins with.
const PREFIX: &str = "spsk1_";

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID: usize = 8;
/// Enough for 32 bytes.
const SECRET: usize = 43;
/// Enough for 32 bits.
const CHECKSUM: usize = 6;

/// Its parts.
#[derive(Clone)]
pub struct ScannableKey {
    /// Names the key; no secret.
    pub id: String,
    /// 256 random bits.
    pub secret: Secret,
}

impl ScannableKey {
    /// A new one.
    pub fn fresh(random: &Random) -> Self {
        let id = base62(&random.bytes::<6>(), ID);
        Self { id, secret: base62(&random.bytes::<32>(), SECRET).into() }
    }

    /// As it is handed out.
    pub fn text(&self) -> Secret {
        let body = format!("{PREFIX}{}_{}", self.id, self.secret.expose());
        let checksum = checksum(&body);
        (body + &checksum).into()
    }

    /// Reads one; `None` for any other text, and for one with a mistyped character.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.is_ascii() {
            return None;
        }
        let (body, found) = text.split_at_checked(PREFIX.len() + ID + 1 + SECRET)?;
        let (id, secret) = body.strip_prefix(PREFIX)?.split_once('_')?;
        let is_base62 = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|digit| digit.is_ascii_alphanumeric())
        };
        if !is_base62(id, ID) || !is_base62(secret, SECRET) || found != checksum(body) {
            return None;
        }
        Some(Self { id: id.to_owned(), secret: secret.into() })
    }
}

/// CRC-32 (IEEE 802.3).
fn checksum(body: &str) -> String {
    base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM)
}

/// A number of big-endian bytes in `digits` digits.
fn base62(bytes: &[u8], digits: usize) -> String {
    let mut number = bytes.to_vec();
    let mut text = Vec::with_capacity(digits);
    for _ in 0..digits {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or_default();
            rest = value % 62;
        }
        let digit = usize::try_from(rest).ok().and_then(|at| DIGITS.get(at));
        text.push(char::from(*digit.unwrap_or(&b'0')));
    }
    text.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Random, ScannableKey, base62, checksum};

    #[test]
    fn numbers_are_written_whole() {
        assert_eq!(base62(&[0; 32], 43), "0".repeat(43));
        assert_eq!(base62(&[61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        // 2^256 - 1.
        assert_eq!(base62(&[255; 32], 43), "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
        assert_eq!(base62(&u32::MAX.to_be_bytes(), 6), "4gfFC3");
    }

    #[test]
    fn one_has_the_shape_that_scanners_look_for() {
        let key = ScannableKey::fresh(&Random::System).text();
        let text = key.expose();
        assert_eq!(text.len(), 64);
        assert!(text.starts_with("spsk1_") && text.as_bytes()[14] == b'_');
        assert!(text[6..14].bytes().all(|c| c.is_ascii_alphanumeric()));
        assert!(text[15..].bytes().all(|c| c.is_ascii_alphanumeric()));
    }

    #[test]
    fn a_right_checksum_does_not_make_a_key_of_another_shape() {
        let with_checksum = |body: String| format!("{body}{}", checksum(&body));
        let secret = "s".repeat(43);
        assert!(ScannableKey::parse(&with_checksum(format!("spsk1_abcdefgh_{secret}"))).is_some());
        for body in [
            format!("spsk1_abc-efgh_{secret}"),
            format!("spsk1_abc_efgh_{secret}"),
            format!("spsk1_abcdefgh_{}-", &secret[1..]),
            format!("spsk1_abcdefghi_{}", &secret[1..]),
            format!("spsk1_abcdefg_{secret}s"),
            format!("spsk2_abcdefgh_{secret}"),
        ] {
            assert_eq!(body.len(), 58);
            assert!(ScannableKey::parse(&with_checksum(body.clone())).is_none(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn what_is_minted_is_read_and_any_change_of_a_character_is_noticed(seed: u64, at in 0_usize..64, to in "[0-9A-Za-z_ -]") {
            let key = ScannableKey::fresh(&Random::seeded(seed));
            let text = key.text();
            let read = ScannableKey::parse(text.expose()).unwrap();
            prop_assert_eq!((read.id, read.secret.expose()), (key.id.clone(), key.secret.expose()));
            let mut changed = text.expose().to_owned();
            changed.replace_range(at..=at, &to);
            let is_same = changed.trim() == text.expose();
            prop_assert_eq!(ScannableKey::parse(&changed).is_some(), is_same);
        }

        #[test]
        fn any_text_gets_an_answer(text: String) {
            prop_assert!(ScannableKey::parse(&text).is_none());
            let prefixed = format!("spsk1_{text}");
            prop_assert!(ScannableKey::parse(&prefixed).is_none());
        }
    }
}
