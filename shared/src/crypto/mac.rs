//! HMAC-SHA-256 (RFC 2104).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::ZeroizeOnDrop;

/// A key for names that must not be read from a database: whoever has no key cannot try out which name it is, either.
#[derive(Clone, ZeroizeOnDrop)]
pub struct MacKey([u8; 32]);

impl MacKey {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Of some texts in their order; where one ends and the next begins matters.
    pub fn of(&self, texts: &[&str]) -> Vec<u8> {
        let mut message = Vec::new();
        for text in texts {
            message.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            message.extend_from_slice(text.as_bytes());
        }
        hmac(&self.0, &message).unwrap_or_default().to_vec()
    }
}

/// `None` never: a key of any length will do.
pub(super) fn hmac(key: &[u8; 32], message: &[u8]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(message);
    Some(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::{MacKey, hmac};

    /// Computed by another implementation.
    #[test]
    fn it_is_hmac_sha_256() {
        assert_eq!(
            data_encoding::HEXLOWER.encode(&hmac(&[0x0b; 32], b"Hi There").unwrap()),
            "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"
        );
    }

    /// By that other implementation too: names of accounts are found again in later versions.
    #[test]
    fn each_text_comes_after_its_length() {
        assert_eq!(
            data_encoding::HEXLOWER.encode(&MacKey::new([1; 32]).of(&["ab", "c"])),
            "00f7da38a97bdafddab2519a3ee0272e086a448b0f5357cfdae24a596c194a12"
        );
    }

    #[test]
    fn texts_do_not_run_into_each_other() {
        let key = MacKey::new([1; 32]);
        assert_ne!(key.of(&["ab", "c"]), key.of(&["a", "bc"]));
        assert_ne!(key.of(&["ab"]), MacKey::new([2; 32]).of(&["ab"]));
    }
}
