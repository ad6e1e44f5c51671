//! Refresh tokens: 64 hex digits. A person's is random and stored as a hash; a machine's is stateless, so that a
//! machine login writes nothing (design D6).

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Secret;
use super::mac::hmac;
use super::token::TokenRing;
use crate::clock::Random;
use crate::wire::{Id, Timestamp};

const MAC: usize = 12;

/// A person's: 256 random bits.
pub fn fresh(random: &Random) -> Secret {
    data_encoding::HEXLOWER.encode(&random.bytes::<32>()).into()
}

/// What the database keeps of a person's.
pub fn sha256(token: &str) -> [u8; 32] {
    Sha256::digest(token.to_ascii_lowercase().as_bytes()).into()
}

/// A machine's: `key id[16] ‖ end of life in minutes[4] ‖ HMAC-SHA-256[..12]`. The key's state, and so its
/// revocation, is checked at use.
pub fn for_machine(ring: &TokenRing, key_id: Id, expires: Timestamp) -> Option<Secret> {
    let key = ring.active()?;
    let minutes = u32::try_from(expires.unix() / 60).ok()?.to_be_bytes();
    let mut token = Vec::with_capacity(32);
    token.extend_from_slice(key_id.as_bytes());
    token.extend_from_slice(&minutes);
    let mac = mac(key.refresh(), &token)?;
    token.extend_from_slice(&mac);
    Some(data_encoding::HEXLOWER.encode(&token).into())
}

/// The key that a machine's token renews; `None` for any other text and after its end of life.
pub fn open_machine(ring: &TokenRing, token: &str, now: Timestamp) -> Option<Id> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(token.as_bytes()).ok()?;
    let bytes: [u8; 32] = bytes.try_into().ok()?;
    let (body, tag) = bytes.split_at_checked(32 - MAC)?;
    let genuine =
        ring.keys().iter().any(|key| mac(key.refresh(), body).is_some_and(|mac| mac.ct_eq(tag).into()));
    if !genuine {
        return None;
    }
    let (key_id, minutes) = body.split_first_chunk::<16>()?;
    let minutes = u32::from_be_bytes(minutes.try_into().ok()?);
    (now.unix() / 60 < i64::from(minutes)).then(|| Id(uuid::Uuid::from_bytes(*key_id)))
}

fn mac(key: &[u8; 32], body: &[u8]) -> Option<[u8; MAC]> {
    hmac(key, body)?.first_chunk::<MAC>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::token::TokenKey;

    #[test]
    fn a_machine_token_names_its_key_until_it_ends() {
        let ring = TokenRing::new(vec![TokenKey::new("j0".into(), b"secret")], "j0").unwrap();
        let key_id = Random::seeded(1).id();
        let at = |seconds| Timestamp::new(chrono::DateTime::from_timestamp(seconds, 0).unwrap());
        let token = for_machine(&ring, key_id, at(6000)).unwrap();
        assert_eq!(token.expose().len(), 64);
        assert_eq!(open_machine(&ring, token.expose(), at(5000)), Some(key_id));
        assert_eq!(open_machine(&ring, token.expose(), at(5999)), Some(key_id));
        assert_eq!(open_machine(&ring, token.expose(), at(6000)), None);
        assert_eq!(open_machine(&ring, token.expose(), at(6001)), None);
        for at_byte in 0..64 {
            let mut forged = token.expose().to_owned().into_bytes();
            forged[at_byte] = if forged[at_byte] == b'0' { b'1' } else { b'0' };
            assert_eq!(open_machine(&ring, std::str::from_utf8(&forged).unwrap(), at(5000)), None);
        }
        assert_eq!(open_machine(&ring, "", at(0)), None);
        assert_eq!(open_machine(&ring, &"0".repeat(64), at(0)), None);
    }

    /// All were computed by another implementation.
    #[test]
    fn tokens_that_were_handed_out_stay_good_in_later_versions() {
        let ring = TokenRing::new(vec![TokenKey::new("j0".into(), b"secret")], "j0").unwrap();
        let key_id = "00112233-4455-6677-8899-aabbccddeeff".parse::<Id>().unwrap();
        let at = |seconds| Timestamp::new(chrono::DateTime::from_timestamp(seconds, 0).unwrap());
        let token = for_machine(&ring, key_id, at(6000)).unwrap();
        assert_eq!(token.expose(), "00112233445566778899aabbccddeeff0000006419b966e60923fce9daa6ee83");
        for spelled in ["ab".repeat(32), "aB".repeat(32)] {
            assert_eq!(
                data_encoding::HEXLOWER.encode(&sha256(&spelled)),
                "271a413bd339c5709fdceaec41f14f11e9fbfb5042d72d331c65f32b284cd09a"
            );
        }
    }

    #[test]
    fn a_persons_token_is_another_each_time() {
        let random = Random::seeded(1);
        let (one, two) = (fresh(&random), fresh(&random));
        assert_eq!(one.expose().len(), 64);
        assert_ne!(one, two);
    }
}
