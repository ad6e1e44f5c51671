//! What lets a caller fetch an answer once more, and nobody else: the database keeps a hash of what he asked with, and the
//! answer encrypted under a key that takes that to derive. For a mint it is his Idempotency-Key (design D3), for a refresh
//! the token that he exchanged (security R3).

use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Secret;
use super::sealed::SealKey;
use crate::clock::Random;

/// What one caller asked with.
pub struct Retry {
    sha256: [u8; 32],
    key: SealKey,
}

impl Retry {
    /// `node_key` is derived from the root key; `caller` tells apart two who chose the same Idempotency-Key.
    pub fn new(node_key: &SealKey, caller: &str, idempotency_key: &Secret) -> Self {
        let mut hash = Sha256::new();
        hash.update(caller.as_bytes());
        hash.update([0]);
        hash.update(idempotency_key.expose().as_bytes());
        let mut secret = Zeroizing::new(node_key.as_bytes().to_vec());
        secret.extend_from_slice(idempotency_key.expose().as_bytes());
        let mut key = [0; 32];
        // Expanding fails only past 255 blocks; this is one.
        if Hkdf::<Sha256>::new(None, &secret).expand(caller.as_bytes(), &mut key).is_err() {
            debug_assert!(false, "one block always expands");
        }
        Self { sha256: hash.finalize().into(), key: SealKey::new(key) }
    }

    /// What the database finds the answer by.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Encrypts an answer.
    pub fn seal(&self, answer: &[u8], random: &Random) -> Vec<u8> {
        self.key.seal(answer, &self.sha256, random)
    }

    /// Decrypts it; `None` for what another caller, Idempotency-Key or root key sealed.
    pub fn open(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.key.open(sealed, &self.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::{Random, Retry, SealKey};

    #[test]
    fn only_the_same_caller_with_the_same_key_on_the_same_node_opens_it() {
        let retry =
            |node: u8, caller: &str, key: &str| Retry::new(&SealKey::new([node; 32]), caller, &key.into());
        let sealed = retry(1, "7", "k").seal(b"answer", &Random::System);
        assert_eq!(retry(1, "7", "k").open(&sealed).unwrap().as_slice(), b"answer");
        for other in [retry(2, "7", "k"), retry(1, "8", "k"), retry(1, "7", "l")] {
            assert!(other.open(&sealed).is_none());
        }
        assert_ne!(retry(1, "7", "k").sha256(), retry(1, "8", "k").sha256());
    }

    /// Hash and key were computed by another implementation.
    #[test]
    fn what_was_kept_for_a_retry_opens_in_later_versions() {
        let retry = Retry::new(&SealKey::new([1; 32]), "7", &"k".into());
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        let sha256 = hex("9a8a0da318c249d369fbc15a55335388b303dc054b018760adb38dca9f6979e0");
        assert_eq!(retry.sha256().as_slice(), sha256);
        let key = hex("0d176671ffcace67d6bcf01047c45638972a4afa5a74904136ce5bfa1b53ffe0");
        let sealed = SealKey::new(key.try_into().unwrap()).seal(b"answer", &sha256, &Random::System);
        assert_eq!(retry.open(&sealed).unwrap().as_slice(), b"answer");
    }
}
