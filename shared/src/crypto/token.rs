//! Access tokens: JWT with HS256 (RFC 7519, RFC 8725), the reference's claims and ours (design D6).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, crypto, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use super::root_key::derive;
use crate::wire::{Id, Timestamp};

/// Tolerated difference of clocks, in seconds.
const LEEWAY: i64 = 30;
/// Longer ones were not made here.
const MAX_BYTES: usize = 4096;
/// Life of an access token, in seconds: none that lives longer was made here, either.
pub const LIFE: i64 = 15 * 60;

/// The claims of an access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// User id (the reference's).
    pub id: i64,
    /// User name (the reference's).
    pub u: String,
    /// E-mail (the reference's).
    pub e: String,
    /// Role at the time of issue (the reference's). Rights come from the database, not from here.
    pub r: i64,
    /// Company (the reference's).
    pub c: Id,
    /// End of life, seconds since 1970.
    pub exp: i64,
    /// Time of issue, seconds since 1970.
    pub iat: i64,
    /// Who issued it: `sandpiper:<server id>`.
    pub iss: String,
    /// Whom it is for: the server id.
    pub aud: String,
    /// The login behind it: the user id, or the user name of a machine.
    pub sub: String,
    /// One of a kind.
    pub jti: Id,
    /// Generation of the credential: of the user, or of the api-key.
    #[serde(rename = "gen")]
    pub generation: i64,
    /// Session of a person; machines have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Id>,
}

/// One key of the ring with what is derived from it: a separate subkey per kind of token (RFC 8725 §3.11).
pub struct TokenKey {
    id: String,
    /// The first part of each token that it signs.
    head: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    refresh: [u8; 32],
}

impl Drop for TokenKey {
    fn drop(&mut self) {
        self.refresh.zeroize();
    }
}

impl TokenKey {
    /// `secret` is the ring's.
    pub fn new(id: String, secret: &[u8]) -> Self {
        let mut access = derive(secret, "sandpiper access token v1");
        let refresh = derive(secret, "sandpiper machine refresh token v1");
        let signing = EncodingKey::from_secret(&access);
        let key = Self {
            head: head_of(&id, &signing),
            id,
            signing,
            verifying: DecodingKey::from_secret(&access),
            refresh,
        };
        access.zeroize();
        key
    }

    /// Its id in the ring; the `kid` of its tokens.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The subkey of machine refresh tokens.
    pub(super) fn refresh(&self) -> &[u8; 32] {
        &self.refresh
    }
}

/// The JWT keys of a node: the active one signs, all verify.
pub struct TokenRing {
    keys: Vec<TokenKey>,
    active: usize,
    /// What tokens hold whose signatures were found to be good, by their SHA-256. A client shows the same token for a quarter of
    /// an hour; a ring with other keys is another ring, and begins with nothing.
    known: Mutex<HashMap<[u8; 32], Received>>,
}

/// None holds more than [`MAX_BYTES`], so all of them no more than 16 MiB. Only what was signed here gets in, so nobody fills it
/// but by logging in.
const MOST_KNOWN: usize = 4096;

impl TokenRing {
    /// `active` is the id of one of `keys`.
    pub fn new(keys: Vec<TokenKey>, active: &str) -> Option<Self> {
        let active = keys.iter().position(|key| key.id() == active)?;
        Some(Self { keys, active, known: Mutex::default() })
    }

    /// The key that signs.
    pub fn active(&self) -> Option<&TokenKey> {
        self.keys.get(self.active)
    }

    /// The key with this id.
    pub fn find(&self, id: &str) -> Option<&TokenKey> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// All keys.
    pub fn keys(&self) -> &[TokenKey] {
        &self.keys
    }

    /// What a token holds that one of the keys signed.
    fn signed(&self, token: &str) -> Option<Received> {
        let parts = Parts::of(token)?;
        let digest = Sha256::digest(token.as_bytes()).into();
        if let Some(received) = self.lock().get(&digest) {
            return Some(received.clone());
        }
        let key = parts.key(self)?;
        let is_signed =
            crypto::verify(parts.signature, parts.signed.as_bytes(), &key.verifying, Algorithm::HS256);
        if !is_signed.is_ok_and(|is_signed| is_signed) {
            return None;
        }
        let received = parts.payload()?;
        let mut known = self.lock();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(digest, received.clone());
        Some(received)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Received>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Signs with the active key; `None` without one.
pub fn sign(ring: &TokenRing, claims: &Claims) -> Option<String> {
    let key = ring.active()?;
    // The head is the same each time: only the rest is written.
    let mut token = Vec::with_capacity(768);
    token.extend_from_slice(key.head.as_bytes());
    token.push(b'.');
    token.extend_from_slice(BASE64URL_NOPAD.encode(&serde_json::to_vec(claims).ok()?).as_bytes());
    let signature = crypto::sign(&token, &key.signing, Algorithm::HS256).ok()?;
    token.push(b'.');
    token.extend_from_slice(signature.as_bytes());
    String::from_utf8(token).ok()
}

fn header(id: &str) -> Header {
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(id.to_owned());
    header
}

fn head_of(id: &str, signing: &EncodingKey) -> String {
    let token = encode(&header(id), &(), signing).unwrap_or_default();
    token.split('.').next().unwrap_or_default().to_owned()
}

/// Whether a token says that it was signed by a key that `ring` does not have.
pub fn is_of_unknown_key(ring: &TokenRing, token: &str) -> bool {
    Parts::of(token).is_some_and(|parts| parts.key(ring).is_none() && parts.key_id().is_some())
}

/// Verifies a token of server `server_id` at `now`; `None` for anything else.
pub fn verify(ring: &TokenRing, server_id: Id, token: &str, now: Timestamp) -> Option<Claims> {
    let Received { claims, nbf } = ring.signed(token)?;
    let latest_start = now.unix().saturating_add(LEEWAY);
    let life = claims.exp.checked_sub(claims.iat)?;
    let is_alive = now.unix() < claims.exp.saturating_add(LEEWAY)
        && claims.iat <= latest_start
        && nbf <= latest_start
        && (0..=LIFE).contains(&life);
    let server_id = server_id.to_string();
    let is_ours = claims.iss.strip_prefix(ISSUER) == Some(&server_id) && claims.aud == server_id;
    (is_alive && is_ours).then_some(claims)
}

/// A token in its compact form (RFC 7515 §3.1), taken apart and not believed yet.
struct Parts<'a> {
    head: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// Head and payload: what the signature is of.
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Option<Self> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, payload) = signed.split_once('.')?;
        Some(Self { head, payload, signature, signed })
    }

    /// The key that it names. Nearly every head is one of ours to the letter and need not be read.
    fn key<'r>(&self, ring: &'r TokenRing) -> Option<&'r TokenKey> {
        let is_own = |key: &&TokenKey| key.head == self.head;
        ring.keys.iter().find(is_own).or_else(|| ring.find(&self.key_id()?))
    }

    /// What it names, if its header is as ours are.
    fn key_id(&self) -> Option<String> {
        let json = BASE64URL_NOPAD.decode(self.head.as_bytes()).ok()?;
        // Not an array of the right values.
        let header: OwnHeader = json.starts_with(b"{").then(|| serde_json::from_slice(&json).ok())??;
        (header.typ == "JWT" && header.alg == "HS256").then_some(header.kid)
    }

    fn payload(&self) -> Option<Received> {
        serde_json::from_slice(&BASE64URL_NOPAD.decode(self.payload.as_bytes()).ok()?).ok()
    }
}

/// All that the header of our tokens holds. More (`crit`, `jku`, `jwk`, `x5u` and so on) would be a wish of who made it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnHeader {
    typ: String,
    alg: String,
    kid: String,
}

/// A payload as it comes. Taken apart by names and to its end: an array of the right values is none, and what is not ours
/// must be JSON too.
#[derive(Clone, Deserialize)]
struct Received {
    #[serde(flatten)]
    claims: Claims,
    /// We never write it; it binds all the same (RFC 7519 §4.1.5).
    #[serde(default)]
    nbf: i64,
}

const ISSUER: &str = "sandpiper:";

/// The `iss` of a server's tokens.
pub fn issuer(server_id: Id) -> String {
    format!("{ISSUER}{server_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(secret: &[u8]) -> TokenRing {
        TokenRing::new(vec![TokenKey::new("j0".into(), secret)], "j0").unwrap()
    }

    fn claims(server: Id) -> Claims {
        Claims {
            id: 1,
            u: "admin".into(),
            e: "a@b".into(),
            r: 100,
            c: server,
            exp: 1900,
            iat: 1000,
            iss: issuer(server),
            aud: server.to_string(),
            sub: "1".into(),
            jti: Id::NIL,
            generation: 0,
            sid: Some(Id::NIL),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::new(chrono::DateTime::from_timestamp(seconds, 0).unwrap())
    }

    #[test]
    fn a_token_is_good_for_its_server_and_its_time_only() {
        let (server, other) = (Id::NIL, Id(uuid::Uuid::max()));
        let ring_a = ring(b"one");
        let token = sign(&ring_a, &claims(server)).unwrap();
        assert!(verify(&ring_a, server, &token, at(1500)).is_some());
        assert!(verify(&ring_a, other, &token, at(1500)).is_none(), "another server with the same key");
        assert!(verify(&ring(b"two"), server, &token, at(1500)).is_none(), "another key of the same id");
        // Clocks may differ by half a minute, not more.
        for (moment, is_good) in [(969, false), (970, true), (1929, true), (1930, false)] {
            assert_eq!(verify(&ring_a, server, &token, at(moment)).is_some(), is_good, "{moment}");
        }
    }

    #[test]
    fn a_token_that_was_good_is_known_and_one_that_was_not_is_not() {
        let ring_a = ring(b"one");
        for (secret, expected) in [(b"one".as_slice(), 1), (b"two", 1)] {
            let token = sign(&ring(secret), &claims(Id::NIL)).unwrap();
            for _again in 0..2 {
                assert_eq!(verify(&ring_a, Id::NIL, &token, at(1500)).is_some(), secret == b"one");
                assert_eq!(ring_a.lock().len(), expected);
            }
        }
        let second = sign(&ring_a, &Claims { id: 2, ..claims(Id::NIL) }).unwrap();
        assert!(verify(&ring_a, Id::NIL, &second, at(1500)).is_some());
        assert_eq!(ring_a.lock().len(), 2);
    }

    #[test]
    fn of_tokens_that_were_good_before_no_more_than_a_number_are_known_and_all_are_good_again() {
        let ring = ring(b"one");
        let tokens: Vec<String> = (0..MOST_KNOWN + 10)
            .map(|id| sign(&ring, &Claims { id: i64::try_from(id).unwrap(), ..claims(Id::NIL) }).unwrap())
            .collect();
        for token in tokens.iter().chain(&tokens) {
            assert!(verify(&ring, Id::NIL, token, at(1500)).is_some());
            assert!(verify(&ring, Id::NIL, token, at(1930)).is_none(), "known, and over");
            assert!(ring.lock().len() <= MOST_KNOWN);
        }
    }

    #[test]
    fn a_token_that_lives_longer_than_any_of_ours_or_ends_before_it_begins_is_refused() {
        let ring = ring(b"one");
        for (iat, exp, is_good) in [
            (1000, 1900, true),
            (1000, 1901, false),
            (1500, 1500, true),
            (1520, 1500, false),
            (0, 1900, false),
            (i64::MIN, i64::MAX, false),
            (i64::MIN, 1900, false),
            (1000, i64::MAX, false),
        ] {
            let token = sign(&ring, &Claims { exp, iat, ..claims(Id::NIL) }).unwrap();
            assert_eq!(verify(&ring, Id::NIL, &token, at(1500)).is_some(), is_good, "{iat} to {exp}");
        }
    }

    #[test]
    fn a_token_that_is_not_to_be_used_yet_is_refused() {
        #[derive(Serialize)]
        struct Early {
            #[serde(flatten)]
            claims: Claims,
            nbf: serde_json::Value,
        }
        let ring = ring(b"one");
        let key = ring.active().unwrap();
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key.id.clone());
        for (nbf, is_good) in [
            (serde_json::json!(1530), true),
            (serde_json::json!(1531), false),
            (serde_json::json!(null), false),
            (serde_json::json!("0"), false),
            (serde_json::json!(1.5), false),
        ] {
            let early = Early { claims: claims(Id::NIL), nbf: nbf.clone() };
            let token = encode(&header, &early, &key.signing).unwrap();
            assert_eq!(verify(&ring, Id::NIL, &token, at(1500)).is_some(), is_good, "{nbf}");
        }
    }

    /// What `payload` is under another header, signed with the key of the ring.
    fn resigned(ring: &TokenRing, header: &str, payload: &str) -> String {
        let signed = format!("{}.{payload}", BASE64URL_NOPAD.encode(header.as_bytes()));
        let signing = &ring.active().unwrap().signing;
        let signature = crypto::sign(signed.as_bytes(), signing, Algorithm::HS256).unwrap();
        format!("{signed}.{signature}")
    }

    #[test]
    fn forged_headers_are_refused() {
        let ring_a = ring(b"one");
        let token = sign(&ring_a, &claims(Id::NIL)).unwrap();
        let body = token.split_once('.').unwrap().1.to_owned();
        let payload = body.split_once('.').unwrap().0.to_owned();
        for header in [
            r#"{"typ":"JWT","alg":"none","kid":"j0"}"#,
            r#"{"typ":"JWT","alg":"HS512","kid":"j0"}"#,
            r#"{"typ":"JWT","alg":"RS256","kid":"j0"}"#,
            r#"{"typ":"at+jwt","alg":"HS256","kid":"j0"}"#,
            r#"{"alg":"HS256","kid":"j0"}"#,
            r#"{"typ":"JWT","alg":"HS256"}"#,
            r#"{"typ":"JWT","alg":"HS256","kid":"j9"}"#,
            r#"{"typ":"JWT","alg":"HS256","kid":""}"#,
            r#"{"typ":"JWT","alg":"HS256","kid":"j0","crit":[]}"#,
            r#"["JWT","HS256","j0"]"#,
            "",
            "[]",
        ] {
            let head = BASE64URL_NOPAD.encode(header.as_bytes());
            for forged in [
                format!("{head}.{body}"),
                format!("{head}.{payload}."),
                format!("{head}.{payload}"),
                resigned(&ring_a, header, &payload),
            ] {
                assert!(verify(&ring_a, Id::NIL, &forged, at(1500)).is_none(), "{header}");
            }
        }
        let same = resigned(&ring_a, r#"{"kid":"j0", "alg":"HS256", "typ":"JWT"}"#, &payload);
        assert!(verify(&ring_a, Id::NIL, &same, at(1500)).is_some(), "our header, written in another way");
    }

    /// The token was computed by another implementation.
    #[test]
    fn a_token_is_hs256_with_the_subkey_for_access() {
        let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImtpZCI6ImowIn0.eyJpZCI6MSwidSI6ImFkbWluIiwiZSI6ImFAYiIsInIiOjEwMCwiYyI6Ij\
            AwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMCIsImV4cCI6MTkwMCwiaWF0IjoxMDAwLCJpc3MiOiJzYW5kcGlwZXI6MDAwMDAwMDAtMDAwMC0w\
            MDAwLTAwMDAtMDAwMDAwMDAwMDAwIiwiYXVkIjoiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwIiwic3ViIjoiMSIsImp0aSI6IjAwMDAwM\
            DAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMCIsImdlbiI6MCwic2lkIjoiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwIn0.JC49xI\
            YAqJ_LwWGtXU0MHwSpy_GhWsv3_x-axu0im5A";
        assert_eq!(sign(&ring(b"one"), &claims(Id::NIL)).unwrap(), token);
    }

    #[test]
    fn issuer_and_audience_must_both_be_this_server() {
        let (ring, other) = (ring(b"one"), Id(uuid::Uuid::max()));
        let of_other = claims(other);
        for mixed in [
            Claims { iss: of_other.iss.clone(), ..claims(Id::NIL) },
            Claims { aud: of_other.aud.clone(), ..claims(Id::NIL) },
            Claims { iss: Id::NIL.to_string(), ..claims(Id::NIL) },
        ] {
            let token = sign(&ring, &mixed).unwrap();
            for server in [Id::NIL, other] {
                assert!(verify(&ring, server, &token, at(1500)).is_none(), "{mixed:?} at {server}");
            }
        }
    }

    #[test]
    fn each_key_of_a_ring_opens_its_own_tokens_and_a_key_that_it_lacks_is_known_as_such() {
        let keys = |ids: [(&str, &[u8]); 2]| ids.map(|(id, secret)| TokenKey::new(id.into(), secret)).into();
        let ring_a = TokenRing::new(keys([("j1", b"two"), ("j0", b"one")]), "j1").unwrap();
        assert_eq!(ring_a.keys().iter().map(TokenKey::id).collect::<Vec<_>>(), ["j1", "j0"]);
        assert!(TokenRing::new(keys([("j1", b"two"), ("j0", b"one")]), "j2").is_none());
        for (secret, id, is_ours) in [
            (b"one".as_slice(), "j0", true),
            (b"two", "j1", true),
            (b"two", "j0", false),
            (b"one", "j1", false),
            (b"one", "j2", false),
        ] {
            let ring_b = TokenRing::new(vec![TokenKey::new(id.into(), secret)], id).unwrap();
            let token = sign(&ring_b, &claims(Id::NIL)).unwrap();
            let payload = token.split('.').nth(1).unwrap();
            // Once by a head that is ours to the letter, once by what the head says.
            let spaced =
                resigned(&ring_b, &format!(r#"{{"typ":"JWT","kid":"{id}","alg":"HS256"}}"#), payload);
            for token in [token.as_str(), &spaced] {
                assert_eq!(verify(&ring_a, Id::NIL, token, at(1500)).is_some(), is_ours, "{id}: {token}");
                assert_eq!(is_of_unknown_key(&ring_a, token), id == "j2", "{id}: {token}");
            }
        }
        for junk in ["", "a.b.c", "..", "e30.e30.e30"] {
            assert!(!is_of_unknown_key(&ring_a, junk), "{junk}");
        }
    }

    #[test]
    fn no_token_is_longer_than_the_longest_and_the_longest_is_good() {
        // With this id a token can have just that length.
        let ring = TokenRing::new(vec![TokenKey::new("j10".into(), b"one")], "j10").unwrap();
        let mut lengths = Vec::new();
        for pad in 2600..2800 {
            let token = sign(&ring, &Claims { u: "u".repeat(pad), ..claims(Id::NIL) }).unwrap();
            lengths.push(token.len());
            let is_good = verify(&ring, Id::NIL, &token, at(1500)).is_some();
            assert_eq!(is_good, token.len() <= MAX_BYTES, "{} bytes", token.len());
        }
        assert!(lengths.contains(&MAX_BYTES), "{lengths:?}");
    }
}
