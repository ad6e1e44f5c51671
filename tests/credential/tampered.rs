//! An api-key that was changed in any way is none (C8, K9): every bit, every length, every mixture of two keys.

use serde_json::{Value, json};
use shared::clock::Random;
use shared::crypto::api_key::Credential;
use shared::crypto::sealed::SealKey;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, TestDatabase, TestPrimary};

use super::key::adopt;
use super::{Answer, id_of, mint, post, token_of};

/// `nonce[12] ‖ ciphertext ‖ tag[16]`.
const NONCE: usize = 12;
const TAG: usize = 16;

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("../fixtures/sandpiper/api-key-vectors.json")).unwrap()
}

/// All keys that the reference minted, and two of ours, each with what opens it.
fn keys() -> Vec<(String, SealKey)> {
    let of_reference = vectors().into_iter().map(|vector| {
        let text = |name: &str| vector[name].as_str().unwrap().to_owned();
        (text("sync_api_key"), SealKey::from_base64(&text("api_key_secret")).unwrap())
    });
    let ours = (1..=2).map(|generation| {
        let random = Random::seeded(7);
        let key = SealKey::new(random.bytes());
        (Credential::fresh(random.id(), &random).seal("r0", &key, generation, &Random::System), key)
    });
    of_reference.chain(ours).collect()
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn bytes(hex: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
}

/// Nothing that is not the key, whatever its length.
fn other_lengths(key: &str) -> Vec<String> {
    let mut others = Vec::new();
    for length in 0..key.len() {
        others.push(key[..length].to_owned());
        others.push(key[key.len() - length..].to_owned());
        // A digit or a byte less, and one more, at every place.
        others.push(format!("{}{}", &key[..length], &key[length + 1..]));
        others.push(format!("{}{}", &key[..length], key.get(length + 2..).unwrap_or_default()));
        others.push(format!("{}0{}", &key[..length], &key[length..]));
        others.push(format!("{}00{}", &key[..length], &key[length..]));
        others.push(format!("{} {}", &key[..=length], &key[length + 1..]) + "0");
    }
    for length in 1..=64 {
        for digit in "0123456789abcdefF".chars() {
            let more = digit.to_string().repeat(length);
            others.extend([format!("{key}{more}"), format!("{more}{key}")]);
        }
        others.push(format!("{key}{}", &key[..length]));
        others.push(format!("{}{key}", &key[..length]));
    }
    others.push(key.repeat(2));
    others.push(format!("{key} {key}"));
    others.push(format!("0x{key}"));
    others.push(format!("\"{key}\""));
    others
}

/// Parts of one put into the other.
fn mixtures(one: &str, two: &str) -> Vec<String> {
    let (one, two) = (bytes(one), bytes(two));
    let parts = |key: &[u8]| {
        let tag = key.len() - TAG;
        (key[..NONCE].to_vec(), key[NONCE..tag].to_vec(), key[tag..].to_vec())
    };
    let mut mixed = Vec::new();
    for (a, b) in [(&one, &two), (&two, &one)] {
        let ((nonce, text, tag), (other_nonce, other_text, other_tag)) = (parts(a), parts(b));
        for parts in [
            [&other_nonce, &text, &tag],
            [&nonce, &other_text, &tag],
            [&nonce, &text, &other_tag],
            [&tag, &text, &nonce],
            [&text, &nonce, &tag],
        ] {
            mixed.push(hex(&parts.into_iter().flatten().copied().collect::<Vec<_>>()));
        }
        // Blocks of the cipher, and every point at which one could go over into the other.
        for at in (NONCE..a.len().min(b.len()) - TAG).step_by(16) {
            let mut key = a.clone();
            key[at..at + 16].copy_from_slice(&b[at..at + 16]);
            mixed.push(hex(&key));
        }
        mixed.extend((1..a.len().min(b.len())).map(|at| hex(&[&a[..at], &b[at..]].concat())));
    }
    mixed
}

#[test]
fn a_key_with_one_bit_flipped_does_not_open_whichever_bit_it_is() {
    for (key, seal) in keys() {
        let opened = Credential::open(&key, [&seal]).unwrap();
        let envelope = bytes(&key);
        for at in 0..envelope.len() {
            for bit in 0..8 {
                let mut flipped = envelope.clone();
                flipped[at] ^= 1 << bit;
                assert!(Credential::open(&hex(&flipped), [&seal]).is_none(), "bit {bit} of byte {at}: {key}");
            }
        }
        // In the text: a letter may become a capital, which is the same digit.
        for at in 0..key.len() {
            for bit in 0..7 {
                let mut flipped = key.clone().into_bytes();
                flipped[at] ^= 1 << bit;
                let flipped = String::from_utf8(flipped).unwrap();
                let again = Credential::open(&flipped, [&seal]);
                assert_eq!(again.is_some(), flipped.eq_ignore_ascii_case(&key), "{flipped}");
                assert!(again.is_none_or(|again| again.password == opened.password));
            }
        }
    }
}

#[test]
fn a_key_that_is_shorter_or_longer_does_not_open_and_capitals_are_digits_too() {
    for (key, seal) in keys() {
        for other in other_lengths(&key) {
            assert!(Credential::open(&other, [&seal]).is_none(), "{other}");
        }
        let mixed_case: String = key
            .chars()
            .enumerate()
            .map(|(at, c)| if at % 3 == 0 { c.to_ascii_uppercase() } else { c })
            .collect();
        for same in [key.to_uppercase(), mixed_case, format!(" {key}\n")] {
            assert!(Credential::open(&same, [&seal]).is_some(), "{same}");
        }
    }
}

#[test]
fn parts_of_two_keys_are_no_key() {
    let keys = keys();
    for ((one, seal), (two, other_seal)) in
        keys.iter().zip(&keys[1..]).chain([(&keys[0], &keys[keys.len() - 1])])
    {
        assert!(
            one != two
                && Credential::open(one, [seal]).is_some()
                && Credential::open(two, [other_seal]).is_some()
        );
        for mixed in mixtures(one, two).into_iter().filter(|mixed| mixed != one && mixed != two) {
            assert!(Credential::open(&mixed, [seal, other_seal]).is_none(), "{mixed}");
        }
    }
}

async fn login(url: &str, path: &str, key: &str) -> Answer {
    post(url, path, &json!({ "username": "", "password": "", "sync-api-key": key })).await
}

/// Each of `bad` is refused as junk is, and `good` is not the worse for it.
async fn only_logs_in_with(url: &str, good: &[String], bad: &[(&str, String)]) {
    let refusal = login(url, "/login", "junk").await;
    assert_eq!(refusal.status, 401);
    assert!(refusal.headers.contains(&("www-authenticate".to_owned(), "Bearer".to_owned())), "{refusal:?}");
    for (name, key) in bad {
        for path in ["/login", "/synclogin"] {
            assert_eq!(login(url, path, key).await, refusal, "{name} at {path}: {key}");
        }
    }
    for key in good {
        assert_eq!(login(url, "/login", key).await.status, 200);
        assert_eq!(login(url, "/synclogin", &key.to_uppercase()).await.status, 200);
    }
}

/// Some of what the tests above try, at a server.
fn sample(key: &str, other: &str) -> Vec<(&'static str, String)> {
    let envelope = bytes(key);
    let flipped = (0..envelope.len() * 8).step_by(67).map(|bit| {
        let mut flipped = envelope.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        ("a bit flipped", hex(&flipped))
    });
    // None at all is a login without credentials.
    let lengths = other_lengths(key)
        .into_iter()
        .filter(|key| !key.is_empty())
        .step_by(97)
        .map(|key| ("another length", key));
    let mixed = mixtures(key, other).into_iter().filter(|mixed| mixed != key && mixed != other).step_by(29);
    flipped.chain(lengths).chain(mixed.map(|key| ("two keys mixed", key))).collect()
}

#[tokio::test]
async fn a_server_takes_no_key_that_was_changed_or_that_names_what_its_maker_does_not_have() {
    for database in TestDatabase::each("a_server_takes_no_key") {
        let primary = TestPrimary::start_on(database, None).await;
        let mut minted = Vec::new();
        for (company, username) in [("Retail Parts", "anna"), ("Other Parts", "otto")] {
            primary.add_company(company, username).await;
            let token = token_of(&primary.url, username, COMPANY_ADMIN_PASSWORD).await;
            minted.push(mint(&primary.url, &token).await);
        }
        let key = |n: usize| minted[n]["sync_api_key"].as_str().unwrap().to_owned();
        let (annas, ottos) = (key(0), key(1));
        let rings = primary.node.rings.current();
        let (id, ring_key) = rings.seals.as_ref().unwrap().active();
        let anna = Credential::open(&annas, [ring_key]).unwrap();
        let otto = Credential::open(&ottos, [ring_key]).unwrap();
        assert_eq!(anna.key_id(), Some(id_of(&minted[0]["key_id"])));
        let random = Random::System;
        let seal = |credential: &Credential| credential.seal(id, ring_key, 1, &random);
        let fresh = Credential::fresh(primary.server_id, &random);
        let named = |username: &str, password: &str| {
            seal(&Credential { username: username.to_owned(), password: password.into(), primary_id: None })
        };

        let mut bad = sample(&annas, &ottos);
        // Sealed by nobody who could, for a key that there is.
        bad.push(("another's key id, sealed by no ring", otto.seal(id, &SealKey::new([9; 32]), 1, &random)));
        bad.push(("another's key id, sealed by zeros", otto.seal(id, &SealKey::new([0; 32]), 1, &random)));
        // Sealed by somebody who has the ring's key, and nobody's secret.
        bad.push(("another's key id", seal(&Credential { password: anna.password.clone(), ..otto.clone() })));
        bad.push((
            "a secret of one's own",
            seal(&Credential { password: fresh.password.clone(), ..otto.clone() }),
        ));
        bad.push(("no secret", seal(&Credential { password: "".into(), ..otto.clone() })));
        bad.push(("a key that nobody minted", seal(&fresh)));
        bad.push(("another primary", seal(&Credential { primary_id: Some(random.id()), ..anna.clone() })));
        bad.push(("a person", named(ADMIN.0, ADMIN.1)));
        bad.push(("a person of a company", named("anna", COMPANY_ADMIN_PASSWORD)));
        bad.push(("a name that is none", named("sync_", anna.password.expose())));
        bad.push(("nothing", named("", "")));
        let hash = shared::crypto::api_key::secret_sha256(otto.key_id().unwrap(), &otto.password);
        bad.push(("what the database keeps", named(&otto.username, &hex(&hash))));
        // And with the secret, but not as an object.
        let array = json!([otto.username, otto.password.expose(), ""]).to_string();
        bad.push(("an array", hex(&ring_key.seal(array.as_bytes(), b"", &random))));

        // The reference does not say which primary minted.
        let reference = seal(&Credential { primary_id: None, ..anna.clone() });
        only_logs_in_with(&primary.url, &[annas, ottos, reference], &bad).await;
        primary.stop().await;
    }
}

#[tokio::test]
async fn a_server_takes_no_changed_key_of_the_reference() {
    let vectors = vectors();
    let adopted = vectors.iter().find(|vector| vector["bcrypt_hash_in_users_table"].is_string()).unwrap();
    let secret = adopted["api_key_secret"].as_str().unwrap();
    let other = vectors.iter().find(|vector| {
        vector["api_key_secret"] == secret && vector["sync_api_key"] != adopted["sync_api_key"]
    });
    let other = other.unwrap()["sync_api_key"].as_str().unwrap().to_owned();
    let jwt = super::forge::Secrets::new(31).jwt;
    for database in TestDatabase::each("a_server_takes_no_changed_key") {
        let primary = TestPrimary::start_on(database, Some((secret, &jwt))).await;
        let company = primary.add_company("Retail Parts", "anna").await;
        let key = adopted["sync_api_key"].as_str().unwrap().to_owned();
        let credential = Credential::open(&key, [&SealKey::from_base64(secret).unwrap()]).unwrap();
        let bcrypt = adopted["bcrypt_hash_in_users_table"].as_str().unwrap();
        adopt(&primary, company, &credential, bcrypt).await;
        let mut bad = sample(&key, &other);
        bad.push(("one that nobody has taken over", other.clone()));
        only_logs_in_with(&primary.url, &[key], &bad).await;
        primary.stop().await;
    }
}
