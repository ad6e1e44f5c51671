//! Forged tokens against both servers (RFC 8725): whatever is not exactly what a server makes is one refusal.

use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use shared::clock::Clock;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, TestDatabase, TestPrimary, TestSecondary};

use super::forge::{self, Corpus, Secrets, claims, with};
use super::{Answer, key_login, mint, send, token_of};

/// Of both, persons and machines.
const CLAIMS: [&str; 12] = ["id", "u", "e", "r", "c", "exp", "iat", "iss", "aud", "sub", "jti", "gen"];

/// Claims that are wrong, in a token that the right key signed.
fn wrong_claims(secrets: &Secrets, good: &Value) -> Corpus {
    let mut corpus = Corpus::new();
    let mut add = |name: &str, what: &str, value: Option<Value>| {
        corpus.push((format!("claim: {name} {what}"), secrets.token(&with(good, name, value))));
    };
    for name in CLAIMS {
        let value = &good[name];
        add(name, "missing", None);
        add(name, "null", Some(Value::Null));
        add(name, "true", Some(json!(true)));
        add(name, "in an array", Some(json!([value])));
        add(name, "in an object", Some(json!({ name: value })));
        add(name, "an empty array", Some(json!([])));
        add(name, "1e300", Some(json!(1e300)));
        add(name, "past 64 bits", Some(json!(u64::MAX)));
        if let Some(number) = value.as_i64() {
            add(name, "as text", Some(json!(number.to_string())));
            add(name, "a float", Some(json!(1.5)));
            add(name, "a float of the same value", serde_json::from_str(&format!("{number}.0")).ok());
            // A role is never read from a token, so any number will do: see the test below.
            if name != "r" {
                add(name, "negative", Some(json!(-1)));
                add(name, "the least", Some(json!(i64::MIN)));
                add(name, "huge", Some(json!(i64::MAX)));
            }
        } else {
            add(name, "a number", Some(json!(1)));
            add(name, "negative", Some(json!(-1)));
            // Nor a name or an address.
            if !["u", "e"].contains(&name) {
                add(name, "empty", Some(json!("")));
                add(name, "another text", Some(json!("somebody")));
            }
        }
    }
    let now = Clock::System.now().unix();
    let nobody = "00000000-0000-4000-8000-000000000000";
    for (name, value) in [
        ("aud", json!(nobody)),
        ("aud", json!([good["aud"], nobody])),
        ("aud", good["iss"].clone()),
        ("aud", json!("*")),
        ("iss", json!(format!("sandpiper:{nobody}"))),
        ("iss", good["aud"].clone()),
        ("iss", json!(format!("{}/", good["iss"].as_str().unwrap()))),
        ("iss", json!([good["iss"], "https://attacker.example"])),
        ("sub", json!("0")),
        ("sub", json!(format!("sync_{nobody}"))),
        ("sub", json!("sync_")),
        ("id", json!(0)),
        ("id", json!(good["id"].as_i64().unwrap() + 1)),
        ("gen", json!(good["gen"].as_i64().unwrap() + 1)),
        ("gen", json!(good["gen"].as_i64().unwrap() - 1)),
        ("sid", json!(nobody)),
        ("sid", json!("")),
        ("sid", json!([good["sid"]])),
        ("sid", json!(1)),
        ("sid", json!({})),
        ("exp", json!(now + 365 * 86400)),
        ("iat", json!(now - 86400)),
        ("nbf", json!(now + 600)),
        ("nbf", Value::Null),
        ("nbf", json!("0")),
        ("nbf", json!([0])),
        ("nbf", json!(1e300)),
    ] {
        add(name, &value.to_string(), Some(value.clone()));
    }
    for (what, iat, exp) in [
        ("just over", now - 600, now - 30),
        ("long over", now - 1800, now - 900),
        ("to begin later", now + 600, now + 900),
        ("a second too long", now, now + 901),
        ("ended before it began", now + 20, now + 10),
        ("of the beginning of time", 0, 0),
    ] {
        let life = with(&with(good, "iat", Some(json!(iat))), "exp", Some(json!(exp)));
        corpus.push((format!("life: {what}"), secrets.token(&life)));
    }
    corpus
}

async fn with_bearer(http: &reqwest::Client, url: &str, token: &str) -> Answer {
    let value = HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()).unwrap();
    send(http.get(format!("{url}/me")).header("authorization", value)).await
}

/// Every forgery of `good` gets what no token at all gets.
async fn refuses_all(url: &str, secrets: &Secrets, good: &str, another: &str) -> usize {
    let http = reqwest::Client::new();
    let refusal = send(http.get(format!("{url}/me"))).await;
    assert_eq!((refusal.status, &refusal.body), (401, &Value::Null));
    let challenge = ("www-authenticate".to_owned(), "Bearer error=\"invalid_token\"".to_owned());
    assert!(refusal.headers.contains(&challenge), "{refusal:?}");

    let good = claims(good);
    assert_eq!(
        with_bearer(&http, url, &secrets.token(&good)).await.status,
        200,
        "the forger has the right key"
    );
    let corpus: Corpus = [
        forge::headers(secrets, &good),
        forge::signatures(secrets, &good, another),
        forge::shapes(secrets, &good, another),
        wrong_claims(secrets, &good),
    ]
    .concat();
    for (name, token) in &corpus {
        assert_eq!(with_bearer(&http, url, token).await, refusal, "{name}: {token}");
    }
    assert_eq!(
        with_bearer(&http, url, &secrets.token(&good)).await.status,
        200,
        "none of this harmed the good one"
    );
    let mut names: Vec<&String> = corpus.iter().map(|(name, _token)| name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), corpus.len(), "each has its name");
    names.len()
}

#[tokio::test]
async fn every_forged_token_of_a_person_or_a_machine_is_refused_at_a_primary_like_no_token_at_all() {
    for database in TestDatabase::each("every_forged_token_at_a_primary") {
        let secrets = Secrets::new(11);
        let primary = TestPrimary::start_on(database, Some(secrets.both())).await;
        primary.add_company("Retail Parts", "anna").await;
        let staff = token_of(&primary.url, ADMIN.0, ADMIN.1).await;
        let anna = token_of(&primary.url, "anna", COMPANY_ADMIN_PASSWORD).await;
        let key = mint(&primary.url, &anna).await;
        let machine = key_login(&primary.url, &key).await.body["token"].as_str().unwrap().to_owned();
        let people = refuses_all(&primary.url, &secrets, &staff, &anna).await;
        let machines = refuses_all(&primary.url, &secrets, &machine, &staff).await;
        assert!(people > 300 && machines > 300, "{people} and {machines} forgeries");
        primary.stop().await;
    }
}

#[tokio::test]
async fn every_forged_token_is_refused_at_a_secondary_like_no_token_at_all() {
    for database in TestDatabase::each("every_forged_token_at_a_secondary") {
        let secrets = Secrets::new(12);
        let secondary = TestSecondary::start_with_secrets(database, secrets.both()).await;
        let staff = token_of(&secondary.url, ADMIN.0, ADMIN.1).await;
        let another = token_of(&secondary.url, ADMIN.0, ADMIN.1).await;
        refuses_all(&secondary.url, &secrets, &staff, &another).await;
        // One that a primary with the same secrets made for the same person.
        let primary = TestPrimary::start_on(TestDatabase::sqlite(), Some(secrets.both())).await;
        let theirs = token_of(&primary.url, ADMIN.0, ADMIN.1).await;
        let http = reqwest::Client::new();
        assert_eq!(with_bearer(&http, &secondary.url, &theirs).await.status, 401);
        assert_eq!(with_bearer(&http, &primary.url, &staff).await.status, 401);
        primary.stop().await;
        secondary.stop().await;
    }
}

#[tokio::test]
async fn a_token_or_a_login_of_a_megabyte_is_refused_and_the_server_lives() {
    let primary = TestPrimary::start().await;
    let http = reqwest::Client::new();
    let refusal = send(http.get(format!("{}/me", primary.url))).await;
    for size in [4_095, 4_096, 4_097, 10_000, 60_000] {
        assert_eq!(with_bearer(&http, &primary.url, &"a".repeat(size)).await, refusal, "{size}");
    }
    // More than any header or body may have: the server need not even read it to its end.
    let huge = "a".repeat(1 << 20);
    let mut requests =
        vec![(http.get(format!("{}/me", primary.url)).bearer_auth(&huge), vec![400, 401, 431])];
    for body in [json!({ "refresh_token": huge }), json!({ "sync-api-key": huge })] {
        for path in ["/refresh", "/login", "/synclogin"] {
            requests.push((http.post(format!("{}{path}", primary.url)).json(&body), vec![413]));
        }
    }
    for (request, allowed) in requests {
        if let Ok(answer) = request.send().await {
            assert!(allowed.contains(&answer.status().as_u16()), "{answer:?}");
        }
    }
    assert_eq!(with_bearer(&http, &primary.url, "").await.status, 401);
    primary.stop().await;
}
