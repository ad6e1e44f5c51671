//! The header `Content-Digest` (RFC 9530 §2): what a receiver compares the bytes of a body with, as they travel.

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

/// Of a body.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(&Sha256::digest(body)))
}

/// Whether a header names the SHA-256 of `body`. It may name digests of other kinds too.
pub fn is_content_digest(header: &str, body: &[u8]) -> bool {
    let own = content_digest(body);
    header.split(',').any(|digest| digest.trim() == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9530, appendix D.
    #[test]
    fn the_example_of_the_rfc_is_met() {
        let body = b"{\"hello\": \"world\"}\n";
        assert_eq!(content_digest(body), "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
        let both = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:, \
                    sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        assert!(is_content_digest(both, body));
        assert!(!is_content_digest(both, b"{\"hello\": \"World\"}\n"));
        assert!(!is_content_digest("", body));
    }
}
