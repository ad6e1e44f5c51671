//! Random inputs to whatever opens keys and tokens: no panic, and nothing accepted that no mint made.
//!
//! Not noise alone, which ends at the first check: most inputs are good ones with something changed, and what lies behind
//! a seal or a signature is changed before it is sealed or signed by the right key.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SANDPIPER_TEST_RANDOM_INPUTS` | how many, instead of 20,000, or of 400,000 with `SANDPIPER_TEST_THOROUGH=1` |
//! | `SANDPIPER_TEST_SEED` | a number: draws the same inputs again; a failure prints its own |
//!
//! Ten million, in some minutes, since what is tried is compiled for speed, and checks of overflow stay on:
//! `SANDPIPER_TEST_RANDOM_INPUTS=10000000 cargo test --package tests --test credential --config
//! profile.dev.package.shared.opt-level=2 --config profile.dev.package.tests.opt-level=2 -- --nocapture random_input::of`

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use shared::clock::{Clock, Random};
use shared::crypto::api_key::{Credential, secret_matches, secret_sha256};
use shared::crypto::sealed::SealKey;
use shared::crypto::token::{Claims, TokenKey, TokenRing, is_of_unknown_key, issuer, sign, verify};
use shared::crypto::{Secret, refresh};
use shared::wire::{Id, Timestamp};
use tests::times;

use super::draw::{Draw, Members, joined, members};
use super::forge::{HEADER, Secrets, signed};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

struct World {
    server: Id,
    now: Timestamp,
    seals: Vec<SealKey>,
    secrets: Secrets,
    tokens: TokenRing,
    /// Api-keys as minted, and what is in each.
    keys: Vec<(String, Members)>,
    /// What the database keeps of them, and what they hold.
    rows: HashMap<Id, ([u8; 32], Secret)>,
    access: Vec<(String, Members)>,
    refresh: Vec<String>,
    header: Members,
    accepted: [AtomicU64; 4],
}

impl World {
    fn new() -> Self {
        let random = Random::System;
        let (server, now) = (random.id(), Clock::System.now());
        let secrets = Secrets::new(41);
        let ring = vec![
            TokenKey::new("j1".to_owned(), b"another secret"),
            TokenKey::new("j0".to_owned(), secrets.jwt.as_bytes()),
        ];
        let tokens = TokenRing::new(ring, "j0").unwrap();
        let seals: Vec<SealKey> = (0..3).map(|_| SealKey::new(random.bytes())).collect();
        let (mut keys, mut rows) = (Vec::new(), HashMap::new());
        for generation in 1..=6 {
            let minted = Credential::fresh(server, &random);
            let seal = &seals[usize::try_from(generation).unwrap() % 3];
            let key = minted.seal("r0", seal, generation, &random);
            let envelope = data_encoding::HEXLOWER.decode(key.as_bytes()).unwrap();
            let plaintext = members(std::str::from_utf8(&seal.open(&envelope, b"").unwrap()).unwrap());
            keys.push((key, plaintext));
            let id = minted.key_id().unwrap();
            rows.insert(id, (secret_sha256(id, &minted.password), minted.password));
        }
        let (mut access, mut refreshes) = (Vec::new(), Vec::new());
        for (&key_id, id) in rows.keys().zip(1..) {
            let sid = (id % 2 == 0).then(|| random.id());
            let claims = Claims {
                id,
                u: format!("somebody{id}"),
                e: String::new(),
                r: 120,
                c: server,
                exp: now.unix() + 600,
                iat: now.unix(),
                iss: issuer(server),
                aud: server.to_string(),
                sub: format!("sync_{key_id}"),
                jti: random.id(),
                generation: id,
                sid,
            };
            access.push((sign(&tokens, &claims).unwrap(), members(&serde_json::to_string(&claims).unwrap())));
            let until = now.plus(chrono::Duration::hours(1));
            refreshes.push(refresh::for_machine(&tokens, key_id, until).unwrap().expose().to_owned());
        }
        let header = members(HEADER);
        let (refresh, accepted) = (refreshes, Default::default());
        Self { server, now, seals, secrets, tokens, keys, rows, access, refresh, header, accepted }
    }

    fn accept(&self, kind: usize) {
        self.accepted[kind].fetch_add(1, Ordering::Relaxed);
    }

    /// The text of a key: only a minted one opens.
    fn key(&self, draw: &mut Draw) {
        let text = match draw.below(8) {
            0 => {
                let count = draw.below(600);
                String::from_utf8_lossy(&draw.bytes(count)).into_owned()
            }
            1 => {
                let digits = draw.below(600);
                draw.hex(digits)
            }
            2 => {
                let key = data_encoding::HEXLOWER.decode(draw.pick(&self.keys).0.as_bytes()).unwrap();
                let other = data_encoding::HEXLOWER.decode(draw.pick(&self.keys).0.as_bytes()).unwrap();
                data_encoding::HEXLOWER.encode(&draw.mutate(&key, &other))
            }
            _ => {
                let other = draw.pick(&self.keys);
                let good = draw.pick(&self.keys);
                draw.mutate_text(&good.0, &other.0)
            }
        };
        if Credential::open(&text, &self.seals).is_some() {
            let minted = text.trim().to_ascii_lowercase();
            assert!(self.keys.iter().any(|(key, _plaintext)| *key == minted), "{text:?} opened");
            self.accept(0);
        }
    }

    /// What is inside a key, sealed by the right one: whoever logs in with it has the secret of the mint.
    fn plaintext(&self, draw: &mut Draw) {
        let (good, other) = (draw.pick(&self.keys), draw.pick(&self.keys));
        let json = draw.mutate_json(&good.1, &other.1);
        let sealed = draw.pick(&self.seals).seal(&json, b"", &Random::System);
        let Some(opened) = Credential::open(&data_encoding::HEXLOWER.encode(&sealed), &self.seals) else {
            return;
        };
        // A member that is nobody's may hold what a stricter parser would not take.
        let Ok(object) = serde_json::from_slice::<serde_json::Map<String, Value>>(&json) else {
            assert_eq!(json.first(), Some(&b'{'), "{}", String::from_utf8_lossy(&json));
            return;
        };
        assert_eq!(object["username"], *opened.username);
        assert_eq!(object["password"], opened.password.expose());
        let Some(key_id) = opened.key_id() else { return };
        let ours = opened.primary_id.is_none_or(|id| id == self.server);
        if let Some((stored, secret)) = self.rows.get(&key_id)
            && ours
            && secret_matches(stored, key_id, &opened.password)
        {
            assert_eq!(opened.password, *secret, "{}", String::from_utf8_lossy(&json));
            self.accept(1);
        }
    }

    /// A token: one that was changed is none, and one that the right key signed says all that it must.
    fn token(&self, draw: &mut Draw) {
        let (good, claims) = draw.pick(&self.access);
        let (other, other_claims) = draw.pick(&self.access);
        let (token, is_signed) = match draw.below(8) {
            0 => {
                let count = draw.below(600);
                (String::from_utf8_lossy(&draw.bytes(count)).into_owned(), false)
            }
            1 => {
                let mut parts: Vec<&str> = good.split('.').collect();
                let theirs: Vec<&str> = other.split('.').collect();
                let at = draw.below(3);
                parts[at] = theirs[draw.below(3)];
                (parts.join("."), false)
            }
            2..5 => (draw.mutate_text(good, other), false),
            5 => {
                let header = draw.mutate_json(&self.header, &[("crit".to_owned(), "[\"exp\"]".to_owned())]);
                let payload = joined(claims);
                let header = String::from_utf8_lossy(&header).into_owned();
                (signed(&header, payload, &self.secrets.access), true)
            }
            _ => (signed(HEADER, draw.mutate_json(claims, other_claims), &self.secrets.access), true),
        };
        let unknown = is_of_unknown_key(&self.tokens, &token);
        let Some(accepted) = verify(&self.tokens, self.server, &token, self.now) else { return };
        assert!(!unknown, "{token}");
        assert!(
            is_signed || self.access.iter().any(|(good, _claims)| *good == token),
            "{token} was accepted"
        );
        let header = part(&token, 0);
        let own: Value = serde_json::from_str(HEADER).unwrap();
        assert_eq!(header, own, "{token}");
        let payload = part(&token, 1);
        let now = self.now.unix();
        let number = |name: &str| payload[name].as_i64().expect(name);
        let text = |name: &str| payload[name].as_str().expect(name).to_owned();
        assert_eq!((text("iss"), text("aud")), (issuer(self.server), self.server.to_string()), "{payload}");
        assert!(number("exp") + 30 > now && number("iat") <= now + 30, "{payload}");
        assert!((0..=900).contains(&(number("exp") - number("iat"))), "{payload}");
        assert_eq!(
            (number("id"), number("gen"), number("r")),
            (accepted.id, accepted.generation, accepted.r)
        );
        assert_eq!((text("sub"), text("u"), text("e")), (accepted.sub, accepted.u, accepted.e));
        assert_eq!(text("jti").parse().ok(), Some(accepted.jti));
        assert!(
            payload.get("nbf").is_none_or(|nbf| nbf.as_i64().is_some_and(|nbf| nbf <= now + 30)),
            "{payload}"
        );
        self.accept(2);
    }

    /// A refresh token of a machine: only one that was made opens.
    fn refresh(&self, draw: &mut Draw) {
        let text = match draw.below(4) {
            0 => draw.hex(64),
            1 => {
                let good = data_encoding::HEXLOWER.decode(draw.pick(&self.refresh).as_bytes()).unwrap();
                data_encoding::HEXLOWER.encode(&draw.mutate(&good, &[0; 32]))
            }
            _ => {
                let good = draw.pick(&self.refresh);
                draw.mutate_text(good, &"0".repeat(64))
            }
        };
        let _hash = refresh::sha256(&text);
        if refresh::open_machine(&self.tokens, &text, self.now).is_some() {
            assert!(self.refresh.contains(&text.to_ascii_lowercase()), "{text:?} opened");
            self.accept(3);
        }
    }
}

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).unwrap();
    let json = data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Says which input it was if there is a panic.
struct Blame {
    seed: u64,
    input: u64,
}

impl Drop for Blame {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("input {} of SANDPIPER_TEST_SEED={}", self.input, self.seed);
        }
    }
}

#[test]
fn of_random_inputs_none_panics_and_none_is_accepted_that_no_mint_made() {
    let inputs = number("SANDPIPER_TEST_RANDOM_INPUTS").unwrap_or_else(|| times(400_000).into());
    let seed = number("SANDPIPER_TEST_SEED").unwrap_or_else(|| u64::from_le_bytes(Random::System.bytes()));
    let started = Clock::System.now();
    let world = World::new();
    let run = |first: u64| {
        let mut blame = Blame { seed, input: 0 };
        for input in (first..inputs).step_by(2) {
            blame.input = input;
            let mut draw = Draw::new(seed, input);
            match draw.below(20) {
                0..8 => world.key(&mut draw),
                8..12 => world.plaintext(&mut draw),
                12..18 => world.token(&mut draw),
                _ => world.refresh(&mut draw),
            }
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run(1));
        run(0);
        other.join().expect("no panic");
    });
    let accepted = world.accepted.map(AtomicU64::into_inner);
    let took = Clock::System.now().unix() - started.unix();
    println!(
        "{inputs} inputs in {took} s; left as they were: {accepted:?} keys, plaintexts, tokens, refresh tokens"
    );
    assert!(accepted.iter().all(|&count| count > 0), "the good ones are among them: {accepted:?}");
}

/// 400,000, or a twentieth.
#[test]
fn seals_with_one_key_use_a_nonce_each() {
    let key = SealKey::new(Random::System.bytes());
    let credential = Credential::fresh(Id::NIL, &Random::System);
    let count = usize::try_from(times(400_000)).unwrap();
    let seals = || {
        let nonce = |_| -> [u8; 12] {
            let sealed = key.seal(b"", b"", &Random::System);
            *sealed.first_chunk().unwrap()
        };
        (0..count / 2).map(nonce).collect::<Vec<_>>()
    };
    // Two at once, as two mints may be.
    let mut nonces = std::thread::scope(|scope| {
        let other = scope.spawn(seals);
        let mut nonces = seals();
        nonces.extend(other.join().unwrap());
        nonces
    });
    // And of whole api-keys.
    nonces.extend((0..1_000).map(|_| -> [u8; 12] {
        let hex = credential.seal("r0", &key, 1, &Random::System);
        data_encoding::HEXLOWER.decode(&hex.as_bytes()[..24]).unwrap().try_into().unwrap()
    }));
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), count + 1_000);
}
