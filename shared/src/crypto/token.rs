//! Access tokens: JWT with HS256 (RFC 7519, RFC 8725), the reference's claims and ours (design D6).

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use super::root_key::derive;
use crate::wire::{Id, Timestamp};

/// Tolerated difference of clocks, in seconds.
const LEEWAY: u64 = 30;
/// Longer ones were not made here.
const MAX_BYTES: usize = 4096;

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
        let key = Self {
            id,
            signing: EncodingKey::from_secret(&access),
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
}

impl TokenRing {
    /// `active` is the id of one of `keys`.
    pub fn new(keys: Vec<TokenKey>, active: &str) -> Option<Self> {
        let active = keys.iter().position(|key| key.id() == active)?;
        Some(Self { keys, active })
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
}

/// Signs with the active key; `None` without one.
pub fn sign(ring: &TokenRing, claims: &Claims) -> Option<String> {
    let key = ring.active()?;
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(key.id.clone());
    encode(&header, claims, &key.signing).ok()
}

/// Whether a token says that it was signed by a key that `ring` does not have.
pub fn is_of_unknown_key(ring: &TokenRing, token: &str) -> bool {
    let kid =
        if token.len() > MAX_BYTES { None } else { decode_header(token).ok().and_then(|header| header.kid) };
    kid.is_some_and(|kid| ring.find(&kid).is_none())
}

/// Verifies a token of server `server_id` at `now`; `None` for anything else.
pub fn verify(ring: &TokenRing, server_id: Id, token: &str, now: Timestamp) -> Option<Claims> {
    if token.len() > MAX_BYTES {
        return None;
    }
    let header = decode_header(token).ok()?;
    let key = ring.find(header.kid.as_deref()?)?;
    let mut rules = Validation::new(Algorithm::HS256);
    rules.set_audience(&[server_id.to_string()]);
    rules.set_issuer(&[issuer(server_id)]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // The clock is ours (it may be a test's), so time is checked below.
    rules.validate_exp = false;
    let claims: Claims = decode(token, &key.verifying, &rules).ok()?.claims;
    let leeway = i64::try_from(LEEWAY).ok()?;
    let alive =
        now.unix() < claims.exp.saturating_add(leeway) && claims.iat <= now.unix().saturating_add(leeway);
    alive.then_some(claims)
}

/// The `iss` of a server's tokens.
pub fn issuer(server_id: Id) -> String {
    format!("sandpiper:{server_id}")
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
            exp: 2000,
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
        assert!(verify(&ring_a, server, &token, at(2031)).is_none(), "expired");
        assert!(verify(&ring_a, server, &token, at(900)).is_none(), "issued in the future");
    }

    #[test]
    fn forged_headers_are_refused() {
        let ring_a = ring(b"one");
        let token = sign(&ring_a, &claims(Id::NIL)).unwrap();
        let body = token.split_once('.').unwrap().1.to_owned();
        let payload = body.split_once('.').unwrap().0.to_owned();
        for header in [
            r#"{"alg":"none","kid":"j0"}"#,
            r#"{"alg":"HS512","kid":"j0"}"#,
            r#"{"alg":"RS256","kid":"j0"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":"j9"}"#,
            r#"{"alg":"HS256","kid":""}"#,
            "",
            "[]",
        ] {
            let head = data_encoding::BASE64URL_NOPAD.encode(header.as_bytes());
            for forged in
                [format!("{head}.{body}"), format!("{head}.{payload}."), format!("{head}.{payload}")]
            {
                assert!(verify(&ring_a, Id::NIL, &forged, at(1500)).is_none(), "{header}");
            }
        }
    }
}
