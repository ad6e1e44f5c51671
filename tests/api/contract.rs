//! The contract: every operation has a handler, and the committed document is what the code says.

use shared::node::contract::{document, operations};
use shared::wire::server::ServerRole;
use tests::{TestPrimary, TestSecondary};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

fn rendered() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap();
    text.push('\n');
    text
}

#[test]
fn every_operation_has_a_handler_and_every_handler_an_operation() {
    assert_eq!(primary::routes::all().unmatched(ServerRole::Primary), [""; 0]);
    assert_eq!(secondary::routes::all().unmatched(ServerRole::Secondary), [""; 0]);
    let mut ids: Vec<&str> = operations().iter().map(|operation| operation.id).collect();
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "ids are unique");
}

#[test]
fn the_committed_document_is_what_the_code_says() {
    let text = rendered();
    if std::env::var_os("SANDPIPER_TEST_BLESS").is_some() {
        std::fs::write(COMMITTED, &text).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(
        committed == text,
        "docs/openapi.json is stale: write it anew with SANDPIPER_TEST_BLESS=1 cargo test -p tests --test api contract"
    );
}

#[test]
fn the_document_is_for_readers_who_do_not_know_the_code() {
    let text = rendered();
    // Links of rustdoc, lists of gaps and designs, and rows of a table that is not there.
    for leftover in ["[`", "(gap", "(design", "(spec", "next two rows", "rustdoc"] {
        assert!(!text.contains(leftover), "{leftover}");
    }
    let document = serde_json::to_value(document()).unwrap();
    let described: Vec<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let tag = operation["tags"][0].as_str().unwrap();
            assert!(described.contains(&tag), "{tag} is not described");
        }
    }
}

#[test]
fn every_operation_says_what_it_does_who_may_and_gives_an_example_of_its_body() {
    let document = serde_json::to_value(document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            assert!(
                operation["description"].as_str().is_some_and(|text| text.contains("Permission: ")),
                "{name}"
            );
            assert!(!operation["x-permission"].is_null(), "{name}");
            if let Some(body) = operation.get("requestBody") {
                let kinds = body["content"].as_object().unwrap();
                assert!(kinds.values().all(|kind| !kind["example"].is_null()), "{name}");
            }
            let statuses: Vec<&String> = operation["responses"].as_object().unwrap().keys().collect();
            assert!(statuses.iter().any(|status| status.starts_with('2')), "{name}");
            assert!(statuses.iter().any(|status| status.starts_with('4')), "{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, operations().len());
}

#[tokio::test]
async fn both_servers_serve_the_document_and_a_page_that_shows_it() {
    let primary = TestPrimary::start().await;
    let secondary = TestSecondary::start().await;
    for url in [&primary.url, &secondary.url] {
        let http = reqwest::Client::new();
        let served: serde_json::Value =
            http.get(format!("{url}/openapi.json")).send().await.unwrap().json().await.unwrap();
        assert_eq!(served, serde_json::to_value(document()).unwrap());
        for (file, words) in [
            ("/docs/", "swagger-ui"),
            ("/docs/swagger-initializer.js", "/openapi.json"),
            ("/docs/swagger-ui-bundle.js", "function"),
        ] {
            let answer = http.get(format!("{url}{file}")).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{file}");
            let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
            assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe-eval"), "{policy}");
            assert!(answer.text().await.unwrap().contains(words), "{file}");
        }
    }
}

/// Methods and paths in the first column of docs/api.md's tables, each parameter as `{}`.
fn documented() -> Vec<String> {
    let api = include_str!("../../docs/api.md");
    let cells = api.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    cells
        .flat_map(|cell| cell.split('`').map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|text| {
            let (method, path) =
                text.split_once(" /").map(|(method, path)| (method.to_owned(), path.to_owned()))?;
            let path = path.split('?').next().unwrap_or_default().to_owned();
            let parts = path.split('/').map(|part| if part.starts_with([':', '{']) { "{}" } else { part });
            Some(format!("{method} /{}", parts.collect::<Vec<_>>().join("/")))
        })
        .collect()
}

#[test]
fn the_tables_for_people_know_every_operation() {
    let documented = documented();
    let missing: Vec<String> = operations()
        .iter()
        .map(|operation| {
            let parts = operation.path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
            format!("{} {}", operation.method, parts.collect::<Vec<_>>().join("/"))
        })
        .filter(|name| !documented.contains(name))
        .collect();
    assert!(missing.is_empty(), "docs/api.md has no row for {missing:#?}");
}
