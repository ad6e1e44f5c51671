//! What browsers are told, whatever they send.

use reqwest::Method;
use tests::node::login;
use tests::{ADMIN, TestPrimary};

#[tokio::test]
async fn no_page_of_another_site_reads_an_answer_or_shows_one_in_a_frame() {
    let primary = TestPrimary::start().await;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for path in ["/check", "/login", "/server", "/v1/users", "/openapi.json", "/docs/", "/nowhere"] {
        for method in [Method::GET, Method::POST, Method::OPTIONS, Method::TRACE] {
            let answer = http
                .request(method.clone(), format!("{}{path}", primary.url))
                .header("origin", "https://evil.example")
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization")
                .send()
                .await
                .unwrap();
            let headers = answer.headers();
            let about_origins: Vec<_> =
                headers.keys().filter(|name| name.as_str().starts_with("access-control")).collect();
            assert!(about_origins.is_empty(), "{method} {path}: {about_origins:?}");
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(
                policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"),
                "{path}"
            );
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
            ] {
                assert_eq!(headers[name], value, "{method} {path}");
            }
            assert!(!headers.contains_key("strict-transport-security"), "over plain HTTP it means nothing");
            assert!(!headers.contains_key("x-xss-protection") && !headers.contains_key("server"));
            if method == Method::TRACE {
                assert!(!answer.status().is_success(), "{path}");
            }
        }
    }
    // The reference's clients are no browsers, and log in as before.
    login(&primary.url, ADMIN.0, ADMIN.1).await;
}
