//! What a hook's receiver proves with that a message came from this node: `t=<unix>,v1=<hex HMAC-SHA-256 of "t.body">`.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Secret;

/// The signature of `body` at `unix` seconds.
pub fn signature(secret: &Secret, unix: i64, body: &[u8]) -> String {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{unix}.").as_bytes());
    mac.update(body);
    format!("t={unix},v1={}", data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::signature;

    /// Computed by another implementation.
    #[test]
    fn it_is_the_hmac_of_time_and_body() {
        assert_eq!(
            signature(&"whsec_otter".into(), 1_764_000_000, b"{\"a\":1}"),
            "t=1764000000,v1=628ce6d1e2719eb93f76e7b0110b01a268873a47b4d6cc08035b022a1ef3a244"
        );
    }
}
