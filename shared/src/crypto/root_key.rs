//! The one secret that a node keeps outside its database (design D5).

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::mac::MacKey;
use super::sealed::SealKey;
use crate::clock::Random;

/// Purpose of the key that encrypts the api-keys which a secondary keeps for its primaries.
pub const PARTNER_KEYS: &str = "sandpiper partner key v1";

/// 32 random bytes; every other key is wrapped by or derived from it.
#[derive(Clone, ZeroizeOnDrop)]
pub struct RootKey([u8; 32]);

impl RootKey {
    /// A new one.
    pub fn fresh(random: &Random) -> Self {
        Self(random.bytes())
    }

    /// From 64 hex digits; `None` for anything else and for keys that are no secret (all bytes equal).
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?);
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).ok()?;
        let first = bytes.first()?;
        (!bytes.iter().all(|byte| byte == first)).then_some(Self(bytes))
    }

    /// As it is written to the key file.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(data_encoding::HEXLOWER.encode(&self.0))
    }

    /// A key for one purpose (HKDF-SHA-256, RFC 5869): what one purpose leaks tells nothing of another.
    pub fn derive(&self, purpose: &str) -> SealKey {
        SealKey::new(derive(&self.0, purpose))
    }

    /// The same, for hashing.
    pub fn derive_mac(&self, purpose: &str) -> MacKey {
        MacKey::new(derive(&self.0, purpose))
    }

    /// A value that only this root key gives: tells a wrong key from a damaged database.
    pub fn check(&self) -> Vec<u8> {
        derive(&self.0, "sandpiper root key check v1").to_vec()
    }
}

/// HKDF-SHA-256 to 32 bytes.
pub(super) fn derive(secret: &[u8], purpose: &str) -> [u8; 32] {
    let mut out = [0; 32];
    // Expanding fails only past 255 blocks; this is one.
    if Hkdf::<Sha256>::new(None, secret).expand(purpose.as_bytes(), &mut out).is_err() {
        debug_assert!(false, "one block always expands");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that databases are encrypted with; computed by another implementation of HKDF.
    #[test]
    fn what_is_derived_is_the_same_in_later_versions() {
        let root = RootKey(std::array::from_fn(|at| u8::try_from(at).unwrap()));
        assert_eq!(
            data_encoding::HEXLOWER.encode(root.derive(PARTNER_KEYS).as_bytes()),
            "f5ce86a15083effb4d3c59bf91759fa46ac86bce6386911420b347e55cb1b359"
        );
        assert_eq!(
            data_encoding::HEXLOWER.encode(&root.check()),
            "919fbcc886a39ac3784a3e82a1b4f72e4212f724803ace51ca9907d4088bd5d9"
        );
        assert_ne!(root.derive_mac("a").of(&[""]), root.derive_mac("b").of(&[""]));
    }

    #[test]
    fn a_root_key_is_read_as_it_was_written_and_one_that_is_no_secret_is_not_taken() {
        let root = RootKey::fresh(&Random::System);
        let text = root.to_hex();
        assert_eq!(text.len(), 64);
        let read = RootKey::parse(&format!("{}\n", text.to_uppercase())).unwrap();
        assert_eq!(read.check(), root.check());
        for text in [
            "",
            "00",
            &"00".repeat(32),
            &"a7".repeat(32),
            &text[2..],
            &format!("{}00", *text),
            &"zz".repeat(32),
        ] {
            assert!(RootKey::parse(text).is_none(), "{text}");
        }
    }
}
