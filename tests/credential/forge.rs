//! Tokens made by hand: each part as a test wants it, signed with whatever key. Written after RFC 7515 and decision 0003,
//! with nothing of the product in it.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

/// The header of a good token.
pub const HEADER: &str = r#"{"typ":"JWT","alg":"HS256","kid":"j0"}"#;

/// The secrets of a server's rings, and what they come to.
pub struct Secrets {
    /// `APIKEY_SECRET`.
    pub seal: String,
    /// `JWT_SECRET`.
    pub jwt: String,
    /// Signs access tokens.
    pub access: [u8; 32],
    /// Signs refresh tokens of machines.
    pub refresh: [u8; 32],
}

impl Secrets {
    /// Others for another `seed`.
    pub fn new(seed: u8) -> Self {
        let bytes = |count: u8| (0..count).map(|n| n.wrapping_mul(37).wrapping_add(seed)).collect::<Vec<_>>();
        let jwt = data_encoding::BASE64.encode(&bytes(66));
        let subkey = |purpose: &str| {
            let mut key = [0; 32];
            Hkdf::<Sha256>::new(None, jwt.as_bytes()).expand(purpose.as_bytes(), &mut key).unwrap();
            key
        };
        Self {
            seal: data_encoding::BASE64.encode(&bytes(32)),
            access: subkey("sandpiper access token v1"),
            refresh: subkey("sandpiper machine refresh token v1"),
            jwt,
        }
    }

    /// As the harness takes them.
    pub fn both(&self) -> (&str, &str) {
        (&self.seal, &self.jwt)
    }

    /// Signed as a server would sign it, whatever it says.
    pub fn sign(&self, header: &str, payload: &str) -> String {
        signed(header, payload, &self.access)
    }

    /// The same with the header of a good token.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(HEADER, &claims.to_string())
    }
}

/// Base64 as in tokens.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes.as_ref())
}

pub fn hs256(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn hs384(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha384>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn hs512(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha512>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

/// HS256, whatever the header says.
pub fn signed(header: &str, payload: impl AsRef<[u8]>, key: &[u8]) -> String {
    let message = format!("{}.{}", b64(header), b64(payload));
    let signature = b64(hs256(key, message.as_bytes()));
    format!("{message}.{signature}")
}

/// What a token says.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    let json = data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// `claims` with one of them changed, or taken out.
pub fn with(claims: &Value, name: &str, value: Option<Value>) -> Value {
    let mut changed = claims.clone();
    let members = changed.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    changed
}

/// Forgeries by name.
pub type Corpus = Vec<(String, String)>;

/// Good claims under headers that are not ours, each signed with the right key.
pub fn headers(secrets: &Secrets, claims: &Value) -> Corpus {
    let payload = claims.to_string();
    let mut corpus = Corpus::new();
    let mut add = |name: &str, header: &str| {
        corpus.push((format!("header: {name}"), secrets.sign(header, &payload)));
    };
    for alg in [
        "none", "None", "NONE", "nOnE", "HS384", "HS512", "hs256", "RS256", "PS256", "ES256", "EdDSA", "",
        " HS256", "HS256\0", "dir", "SHA256",
    ] {
        add(&format!("alg {alg:?}"), &json!({ "typ": "JWT", "alg": alg, "kid": "j0" }).to_string());
    }
    for alg in ["null", "256", "true", r#"["HS256"]"#, r#"{"HS256":null}"#] {
        add(&format!("alg {alg}"), &format!(r#"{{"typ":"JWT","alg":{alg},"kid":"j0"}}"#));
    }
    add("no alg", r#"{"typ":"JWT","kid":"j0"}"#);
    let key = b64(secrets.access);
    let jwk = format!(r#""jwk":{{"kty":"oct","k":"{key}","alg":"HS256"}}"#);
    for member in [
        r#""crit":["exp"]"#,
        r#""crit":["b64"],"b64":false"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""jku":"https://attacker.example/keys""#,
        r#""jku":null"#,
        &jwk,
        r#""x5u":"https://attacker.example/chain""#,
        r#""x5c":["MIIB"]"#,
        r#""x5t":"dGhpcyBpcyBhIFNIQTEgdGVz""#,
        r#""x5t#S256":"dGhpcyBpcyBhIFNIQTEgdGVz""#,
        r#""b64":false"#,
        r#""zip":"DEF""#,
        r#""enc":"A256GCM""#,
        r#""cty":"JWT""#,
        r#""url":"https://attacker.example""#,
        r#""exp":1"#,
        r#""typ":"JWT""#,
        r#""alg":"none""#,
        r#""kid":"j9""#,
    ] {
        add(&format!("also {member:.24}"), &format!(r#"{{"typ":"JWT","alg":"HS256","kid":"j0",{member}}}"#));
    }
    for typ in
        ["null", r#""""#, r#""at+jwt""#, r#""refresh+jwt""#, r#""session+jwt""#, r#""JWE""#, r#"["JWT"]"#]
    {
        add(&format!("typ {typ}"), &format!(r#"{{"typ":{typ},"alg":"HS256","kid":"j0"}}"#));
    }
    add("no typ", r#"{"alg":"HS256","kid":"j0"}"#);
    let long = format!("\"{}\"", "j".repeat(2000));
    for kid in [
        "null",
        "0",
        "true",
        r#""""#,
        r#""j9""#,
        r#""J0""#,
        r#"" j0""#,
        r#""j0 ""#,
        "\"j0\\u0000\"",
        r#"["j0"]"#,
        r#"{"j0":1}"#,
        r#""r0""#,
        r#""../../etc/passwd""#,
        r#""/dev/null""#,
        r#""j0' OR '1'='1""#,
        r#""j0;DROP TABLE keyring""#,
        r#""https://attacker.example/key""#,
        &long,
    ] {
        add(&format!("kid {kid:.24}"), &format!(r#"{{"typ":"JWT","alg":"HS256","kid":{kid}}}"#));
    }
    add("no kid", r#"{"typ":"JWT","alg":"HS256"}"#);
    for header in [
        "",
        "{}",
        "null",
        "[]",
        "0",
        r#""HS256""#,
        r#"["JWT","HS256","j0"]"#,
        "{",
        HEADER.trim_end_matches('}'),
    ] {
        add(&format!("is {header}"), header);
    }
    add("BOM", &format!("\u{feff}{HEADER}"));
    add("something behind", &format!("{HEADER}{{}}"));
    add("nested 1000 deep", &"[".repeat(1000));
    corpus
}

/// Good claims, signed with what is not the key, by another method, or not at all.
pub fn signatures(secrets: &Secrets, claims: &Value, another: &str) -> Corpus {
    let payload = claims.to_string();
    let mut corpus = Corpus::new();
    let mut add = |name: &str, token: String| corpus.push((format!("signature: {name}"), token));
    let mac = |alg: &str, mac: fn(&[u8], &[u8]) -> Vec<u8>| {
        let header = json!({ "typ": "JWT", "alg": alg, "kid": "j0" }).to_string();
        let message = format!("{}.{}", b64(header), b64(&payload));
        let signature = b64(mac(&secrets.access, message.as_bytes()));
        format!("{message}.{signature}")
    };
    add("HS384 by the right key", mac("HS384", hs384));
    add("HS512 by the right key", mac("HS512", hs512));
    add("HS512 called HS256", mac("HS256", hs512));
    add("HS256 called HS512", mac("HS512", hs256));
    add("none, and none", mac("none", |_key, _message| Vec::new()));
    let seal = data_encoding::BASE64.decode(secrets.seal.as_bytes()).unwrap();
    let jwt = data_encoding::BASE64.decode(secrets.jwt.as_bytes()).unwrap();
    for (name, key) in [
        ("by the ring's secret, as the reference signs", secrets.jwt.as_bytes()),
        ("by the bytes of the ring's secret", &jwt),
        ("by the subkey of refresh tokens", &secrets.refresh),
        ("by the key that seals", &seal),
        ("by the text of the key that seals", secrets.seal.as_bytes()),
        ("by no key", b""),
        ("by zeros", &[0; 32]),
        ("by the id of the key", b"j0"),
        ("by a key of a sample", b"secret"),
        ("by half of the key", &secrets.access[..16]),
    ] {
        add(name, signed(HEADER, &payload, key));
    }
    let seals = r#"{"typ":"JWT","alg":"HS256","kid":"r0"}"#;
    add("by the key that seals, under its id", signed(seals, &payload, &seal));
    let good = secrets.sign(HEADER, &payload);
    let (message, signature) = good.rsplit_once('.').unwrap();
    add("none", format!("{message}."));
    for length in (1..signature.len()).step_by(7).chain([signature.len() - 1]) {
        add(&format!("{length} digits of it"), format!("{message}.{}", &signature[..length]));
    }
    add("more than it", format!("{message}.{signature}A"));
    add("twice", format!("{message}.{signature}{signature}"));
    add("of another token", format!("{message}.{}", another.rsplit_once('.').unwrap().1));
    let bytes = data_encoding::BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    add("in hex", format!("{message}.{}", data_encoding::HEXLOWER.encode(&bytes)));
    add("backwards", format!("{message}.{}", b64(bytes.iter().rev().copied().collect::<Vec<_>>())));
    add("of zeros", format!("{message}.{}", b64([0; 32])));
    // The last digit holds two bits that mean nothing: another spelling of the same bytes.
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.iter().position(|digit| signature.as_bytes().last() == Some(digit)).unwrap();
    let respelt = char::from(alphabet[last ^ 1]);
    add("spelt in another way", format!("{message}.{}{respelt}", &signature[..signature.len() - 1]));
    corpus
}

/// The parts of a good token, put together in another way.
pub fn shapes(secrets: &Secrets, claims: &Value, another: &str) -> Corpus {
    let good = secrets.token(claims);
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    let their_body = another.split('.').nth(1).unwrap();
    let mut corpus = Corpus::new();
    let mut add = |name: &str, token: String| corpus.push((format!("shape: {name}"), token));
    for (name, token) in [
        ("nothing but dots", "..".to_owned()),
        ("three dots", "...".to_owned()),
        ("one dot", format!("{head}.{body}")),
        ("no dot", format!("{head}{body}{signature}")),
        ("a dot before", format!(".{good}")),
        ("a dot behind", format!("{good}.")),
        ("five parts, as of JWE", format!("{head}..{body}..{signature}")),
        ("four parts", format!("{head}.{body}.{signature}.{signature}")),
        ("no payload", format!("{head}..{signature}")),
        ("no header", format!(".{body}.{signature}")),
        ("another's payload", format!("{head}.{their_body}.{signature}")),
        ("two tokens", format!("{good},{good}")),
        ("two tokens in a row", format!("{good} {good}")),
        ("a space before", format!(" {good}")),
        ("a space within", format!("{head}. {body}.{signature}")),
        ("a tab within", format!("{head}.{body}\t.{signature}")),
        ("quoted", format!("\"{good}\"")),
        ("upper case", good.to_uppercase()),
        ("lower case", good.to_lowercase()),
        ("per cent", good.replace('.', "%2E")),
        ("scheme twice", format!("Bearer {good}")),
        ("a letter of another alphabet", format!("{head}.{body}.{}\u{e4}", &signature[1..])),
        (
            "serialised as JSON",
            json!({ "protected": head, "payload": body, "signature": signature }).to_string(),
        ),
        ("padded header", format!("{head}=.{body}.{signature}")),
        ("padded payload", format!("{head}.{body}==.{signature}")),
        ("padded signature", format!("{good}=")),
    ] {
        add(name, token);
    }
    // Signed as they stand, so only their base64 is wrong: with padding, and in the other alphabet.
    let again = |head: &str, body: &str| {
        let message = format!("{head}.{body}");
        let signature = b64(hs256(&secrets.access, message.as_bytes()));
        format!("{message}.{signature}")
    };
    let text = claims.to_string();
    let padded = format!("{text:<width$}", width = text.len() / 3 * 3 + 4);
    add("padding that is signed", again(head, &data_encoding::BASE64URL.encode(padded.as_bytes())));
    let umlauts = with(claims, "u", Some(json!("\u{fb}\u{ff}?>~\u{fb}\u{ff}?>~~?>"))).to_string();
    let other_alphabet = data_encoding::BASE64_NOPAD.encode(umlauts.as_bytes());
    assert!(other_alphabet.contains(['+', '/']), "{other_alphabet}");
    add("the other alphabet", again(head, &other_alphabet));
    add("a payload that is hex", again(head, &data_encoding::HEXLOWER.encode(text.as_bytes())));
    add("a payload that is plain", again(head, &text));
    let values: Vec<&Value> =
        ["id", "u", "e", "r", "c", "exp", "iat", "iss", "aud", "sub", "jti", "gen", "sid"]
            .iter()
            .map(|name| &claims[name])
            .collect();
    let mut payload =
        |name: &str, text: &[u8]| add(&format!("payload {name}"), signed(HEADER, text, &secrets.access));
    payload("an array of the claims", json!(values).to_string().as_bytes());
    payload("an array with the claims in it", json!([claims]).to_string().as_bytes());
    payload("a text of the claims", json!(text).to_string().as_bytes());
    payload("a token", good.as_bytes());
    payload("a token as text", json!(good).to_string().as_bytes());
    payload("within another", json!({ "claims": claims }).to_string().as_bytes());
    for json in ["", "{}", "null", "[]", "true", "0", "NaN", "\"\"", "{\"exp\":"] {
        payload(json, json.as_bytes());
    }
    payload("BOM", format!("\u{feff}{text}").as_bytes());
    payload("something behind", format!("{text}{text}").as_bytes());
    payload("NUL behind", format!("{text}\0").as_bytes());
    payload("single quotes", text.replace('"', "'").as_bytes());
    payload("a comma too many", text.replace('}', ",}").as_bytes());
    let (before, behind) = text.split_once("\"u\":\"").unwrap();
    payload("not UTF-8", &[before.as_bytes(), b"\"u\":\"\xff", behind.as_bytes()].concat());
    payload("nested 1000 deep", "[".repeat(1000).as_bytes());
    payload(
        "nested 500 deep in a member",
        text.replace('}', &format!(",\"x\":{}{}}}", "[".repeat(500), "]".repeat(500))).as_bytes(),
    );
    payload("too long", with(claims, "u", Some(json!("u".repeat(4000)))).to_string().as_bytes());
    for name in ["id", "r", "exp", "iat", "iss", "aud", "sub", "jti", "gen", "c"] {
        let twice = text.replacen('{', &format!("{{\"{name}\":{},", claims[name]), 1);
        payload(&format!("with {name} twice"), twice.as_bytes());
    }
    corpus
}
