//! What a slice version contains, as one value that grows and shrinks with it: `LtHash16` over the digests of grains and
//! metadata (design §5). Unlike the reference's hash it covers the payloads, and a change costs O(change).

use sha2::{Digest as _, Sha256};

use crate::wire::Id;

const LANES: usize = 1024;
const STATE: usize = LANES * 2;

/// SHA-256 over id, key, encoding, source and payload text, each length-prefixed: equal only for equal grains.
pub fn grain_digest(id: Id, grain_key: &str, encoding: &str, source: &str, payload: &str) -> [u8; 32] {
    let mut digest = GrainDigest::new(id, grain_key, encoding, source, payload.len());
    digest.update(payload.as_bytes());
    digest.finish()
}

/// [`grain_digest`] of a payload text that comes piece by piece.
pub struct GrainDigest(Sha256);

impl GrainDigest {
    /// All but the payload text, which will have so many bytes.
    pub fn new(id: Id, grain_key: &str, encoding: &str, source: &str, payload_bytes: usize) -> Self {
        let mut digest = Self(Sha256::new());
        digest.update(b"sandpiper grain v1\0");
        digest.update(id.as_bytes());
        for field in [grain_key, encoding, source] {
            digest.length(field.len());
            digest.update(field.as_bytes());
        }
        digest.length(payload_bytes);
        digest
    }

    fn length(&mut self, bytes: usize) {
        self.update(&u64::try_from(bytes).unwrap_or(u64::MAX).to_be_bytes());
    }

    /// The next bytes of the text.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The `LtHash16` state (Bellare-Micciancio; Lewi et al., "Securing update propagation with homomorphic hashing"):
/// the lane-wise sum modulo 2^16 of a 2048-byte BLAKE3 output per element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetHash(Vec<u16>);

impl Default for SetHash {
    fn default() -> Self {
        Self(vec![0; LANES])
    }
}

impl SetHash {
    /// From the stored state; `None` when it has another size.
    pub fn from_bytes(state: &[u8]) -> Option<Self> {
        if state.len() != STATE {
            return None;
        }
        Some(Self(
            state.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(u16::from_le_bytes)).collect(),
        ))
    }

    /// For the database.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|lane| lane.to_le_bytes()).collect()
    }

    /// What crosses the wire: SHA-256 of the state.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    /// Adds a grain by its digest.
    pub fn add_grain(&mut self, digest: &[u8]) {
        self.apply(&element(b"grain\0", &[digest]), u16::wrapping_add);
    }

    /// Takes a grain out.
    pub fn remove_grain(&mut self, digest: &[u8]) {
        self.apply(&element(b"grain\0", &[digest]), u16::wrapping_sub);
    }

    /// Adds a metadata pair.
    pub fn add_pair(&mut self, key: &str, value: &str) {
        self.apply(&pair(key, value), u16::wrapping_add);
    }

    /// Takes a metadata pair out.
    pub fn remove_pair(&mut self, key: &str, value: &str) {
        self.apply(&pair(key, value), u16::wrapping_sub);
    }

    fn apply(&mut self, element: &[u8; STATE], combine: fn(u16, u16) -> u16) {
        for (lane, bytes) in self.0.iter_mut().zip(element.chunks_exact(2)) {
            if let Ok(bytes) = bytes.try_into() {
                *lane = combine(*lane, u16::from_le_bytes(bytes));
            }
        }
    }
}

fn pair(key: &str, value: &str) -> [u8; STATE] {
    let length = u64::try_from(key.len()).unwrap_or(u64::MAX).to_be_bytes();
    element(b"metadata\0", &[&length, key.as_bytes(), value.as_bytes()])
}

fn element(kind: &[u8], parts: &[&[u8]]) -> [u8; STATE] {
    let mut hasher = blake3::Hasher::new_derive_key("sandpiper slice set hash v1");
    hasher.update(kind);
    for part in parts {
        hasher.update(part);
    }
    let mut out = [0; STATE];
    hasher.finalize_xof().fill(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_does_not_matter_and_removal_undoes(digests: Vec<[u8; 32]>, extra: [u8; 32]) {
            let mut forward = SetHash::default();
            for digest in &digests {
                forward.add_grain(digest);
            }
            let mut backward = SetHash::default();
            backward.add_grain(&extra);
            for digest in digests.iter().rev() {
                backward.add_grain(digest);
            }
            prop_assert_ne!(forward.digest(), backward.digest());
            backward.remove_grain(&extra);
            prop_assert_eq!(forward.digest(), backward.digest());
            prop_assert_eq!(SetHash::from_bytes(&forward.to_bytes()), Some(forward));
        }
    }

    /// Both were computed by another implementation: two servers of different versions must agree on them.
    #[test]
    fn digests_are_the_same_in_every_version() {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let id = "00112233-4455-6677-8899-aabbccddeeff".parse::<Id>().unwrap();
        let grain = grain_digest(id, "k", "raw", "s", "p");
        assert_eq!(hex(&grain), "f97484a420b512a898bfdb00f625e505c14ba9182f53818612778e42bfd6f03c");
        let mut set = SetHash::default();
        set.add_grain(&grain);
        set.add_pair("a", "bc");
        assert_eq!(hex(&set.digest()), "f0faa08d877e799da4066337f9bd520b346e4a59ec5f9923eb2acde8ae442341");
        set.remove_pair("a", "bc");
        set.remove_grain(&grain);
        assert_eq!(set, SetHash::default());
        assert_eq!(SetHash::from_bytes(&set.to_bytes()[1..]), None);
        assert_eq!(SetHash::from_bytes(&[]), None);
    }

    #[test]
    fn every_field_counts_and_none_runs_into_the_next() {
        let id = Id::NIL;
        let base = grain_digest(id, "k", "raw", "s", "p");
        assert_ne!(base, grain_digest(Id(uuid::Uuid::max()), "k", "raw", "s", "p"));
        assert_ne!(base, grain_digest(id, "kr", "aw", "s", "p"));
        assert_ne!(base, grain_digest(id, "k", "raw", "", "sp"));
        assert_ne!(base, grain_digest(id, "k", "raw", "s", "q"));
        let (mut one, mut two) = (SetHash::default(), SetHash::default());
        one.add_pair("a", "bc");
        two.add_pair("ab", "c");
        assert_ne!(one.digest(), two.digest(), "the reference's hash cannot tell these apart");
    }
}
