//! Anything but a good key is one refusal: no fault, no panic, no word of what went wrong inside.

use serde_json::{Value, json};
use tests::TestPrimary;
use tests::node::COMPANY_ADMIN_PASSWORD;

use super::{Caller, key_login, send};

#[tokio::test]
async fn a_key_of_any_length_or_alphabet_is_refused_in_the_same_words() {
    let primary = TestPrimary::start().await;
    primary.add_company("Retail Parts", "companyadmin").await;
    let admin = Caller::password(&primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let good = admin.call("POST", "/v1/apikey", None).await.1;
    let hex = good["sync_api_key"].as_str().unwrap();

    // Around the nonce of 12 bytes, the tag of 16, and everything shorter than both.
    let mut keys: Vec<String> = (1..=64).map(|digits| "a".repeat(digits)).collect();
    keys.extend((1..hex.len()).step_by(13).map(|digits| hex[..digits].to_owned()));
    for at in (0..hex.len()).step_by(41) {
        let digit = if &hex[at..=at] == "0" { "1" } else { "0" };
        keys.push(format!("{}{digit}{}", &hex[..at], &hex[at + 1..]));
    }
    for odd in [
        "zz",
        "0x",
        "-",
        "a\u{0}b",
        "ä",
        "\u{1F511}",
        "\n",
        "../../etc/passwd",
        "' OR 1=1 --",
        "%00",
        "null",
        "{}",
    ] {
        keys.push(odd.to_owned());
    }
    keys.push(format!("{hex}00"));
    keys.push(format!("{hex}{hex}"));
    keys.push(hex.chars().rev().collect());
    keys.push("ab".repeat(30_000));
    let refusal = json!({ "message": "Authentication Error.", "code": "login_refused" });
    let refused = |key: Value| {
        let url = &primary.url;
        async move {
            let mut answers = Vec::new();
            for path in ["/login", "/synclogin"] {
                for member in ["sync-api-key", "sync_api_key"] {
                    let request = super::http().post(format!("{url}{path}"));
                    let (status, mut body) = send(request.json(&json!({ member: key }))).await;
                    if let Some(body) = body.as_object_mut() {
                        body.remove("request_id");
                    }
                    answers.push((status, body));
                }
            }
            answers
        }
    };
    for key in keys {
        for answer in refused(json!(key)).await {
            assert_eq!(answer, (401, refusal.clone()), "{key:?}");
        }
    }
    // Not even text, or more of it than any body may have.
    let huge = "ab".repeat(1_000_000);
    for key in [json!(1234), json!(1.5e300), json!(true), json!([hex]), json!({ "key": hex }), json!(huge)] {
        for (status, body) in refused(key).await {
            assert!(matches!(status, 400 | 413), "{status} {body}");
            let text = body.to_string().to_lowercase();
            for inner in ["cipher", "aead", "slice bounds", "panick", "encoding/hex", "src/", "base64"] {
                assert!(!text.contains(inner), "{text}");
            }
        }
    }
    assert_eq!(key_login(&primary.url, &good).await.0, 200, "none of this harmed the good key");
}
