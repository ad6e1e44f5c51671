//! The AES-256-GCM envelope: `nonce[12] ‖ ciphertext ‖ tag[16]`, as the reference's api-keys and our own wrapped
//! secrets use it.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::clock::Random;

const NONCE: usize = 12;

/// 32 bytes that seal and open.
#[derive(Clone, ZeroizeOnDrop)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// From raw bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From the reference's `APIKEY_SECRET`: padded standard base64 of exactly 32 bytes.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(data_encoding::BASE64.decode(text.trim().as_bytes()).ok()?);
        <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Self)
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Encrypts under a fresh random nonce. `context` is authenticated, not stored; the api-key wire has none.
    pub fn seal(&self, plaintext: &[u8], context: &[u8], random: &Random) -> Vec<u8> {
        let nonce: [u8; NONCE] = random.bytes();
        let cipher = Aes256Gcm::new(&self.0.into());
        let mut envelope = nonce.to_vec();
        // Encryption fails only past 64 GiB, which no credential reaches.
        let sealed =
            cipher.encrypt(&Nonce::from(nonce), Payload { msg: plaintext, aad: context }).unwrap_or_default();
        envelope.extend_from_slice(&sealed);
        envelope
    }

    /// Decrypts; `None` for anything that this key did not seal in this context, whatever the bytes.
    pub fn open(&self, envelope: &[u8], context: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = envelope.split_first_chunk::<NONCE>()?;
        let cipher = Aes256Gcm::new(&self.0.into());
        cipher.decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: context }).ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Random, SealKey};

    proptest! {
        #[test]
        fn what_is_sealed_opens(text: Vec<u8>, key: [u8; 32], context: Vec<u8>, seed: u64) {
            let key = SealKey::new(key);
            let sealed = key.seal(&text, &context, &Random::seeded(seed));
            let opened = key.open(&sealed, &context);
            prop_assert_eq!(opened.as_deref(), Some(&text));
        }

        #[test]
        fn a_flipped_bit_does_not_open(text: Vec<u8>, key: [u8; 32], seed: u64, at: prop::sample::Index, bit in 0..8u8) {
            let key = SealKey::new(key);
            let mut sealed = key.seal(&text, b"", &Random::seeded(seed));
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(key.open(&sealed, b"").is_none());
        }

        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>, key: [u8; 32]) {
            prop_assert!(SealKey::new(key).open(&bytes, b"").is_none());
        }
    }

    #[test]
    fn another_key_or_context_does_not_open() {
        let sealed = SealKey::new([1; 32]).seal(b"secret", b"a", &Random::System);
        assert!(SealKey::new([1; 32]).open(&sealed, b"a").is_some());
        assert!(SealKey::new([2; 32]).open(&sealed, b"a").is_none());
        assert!(SealKey::new([1; 32]).open(&sealed, b"b").is_none());
    }
}
