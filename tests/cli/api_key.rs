//! `apikey`: what a publisher sets for a key, and what he finds out about one.

use super::{Served, programs, run_with};

#[test]
fn a_publisher_limits_a_key_and_finds_out_what_a_text_is() {
    let served = Served::new();
    let mint = |more: &[&str]| {
        let args = [&["apikey", "mint", "--company", "Retail Parts"], more].concat();
        served.primary(&args)
    };
    let told =
        mint(&["--expires", "30", "--network", "127.0.0.0/8", "--network", "::1", "--format", "token"])
            .ok()
            .out;
    assert!(told.contains("until  ") && told.contains("only from     127.0.0.0/8 ::1"), "{told}");
    let token = told.split_whitespace().find(|word| word.starts_with("spsk1_")).unwrap().to_owned();
    let table = served.primary(&["apikey", "list"]).ok().out;
    for words in ["ENDS", "ALLOWED FROM", "127.0.0.0/8 ::1", "anywhere", "never"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    for (more, words) in [
        (&["--expires", "0"][..], "expected 1 to 3650 days, or never"),
        (&["--expires", "soon"], "expected 1 to 3650 days, or never"),
        (&["--network", "127.0.0.1/8"], "write 127.0.0.0/8 for the network"),
        (&["--network", "home"], "not a network"),
    ] {
        mint(more).fails_with(2, words);
    }

    let folder = served.folders.primary();
    let inspect = |text: &str, folder: Option<&str>| {
        let args: Vec<&str> = ["apikey", "inspect"]
            .into_iter()
            .chain(folder.into_iter().flat_map(|dir| ["--data-dir", dir]))
            .collect();
        run_with(&programs().primary, &args, text, &[])
    };
    assert!(inspect(&token, None).ok().out.contains("its checksum is right"));
    assert!(inspect(&token, Some(&folder)).ok().out.contains("state       active"));
    let hex = mint(&["--format", "hex", "--expires", "never", "--network", "any", "--json"]).json();
    let hex = hex["sync_api_key"].as_str().unwrap();
    assert!(inspect(hex, None).ok().out.contains("a sealed api-key"));
    assert!(inspect(hex, Some(&folder)).ok().out.contains("state       active"));
    assert!(inspect(&token, Some(&folder)).ok().out.contains("state       revoked"));
    let mistyped = token.replace("spsk1_", "spsk1_x");
    for text in [&mistyped[..], "hello", "aabb", &hex[1..]] {
        inspect(text, None).fails_with(1, "this is no api-key");
    }
    inspect(&"ab".repeat(200), Some(&folder)).fails_with(1, "did not mint it");
    inspect("", None).fails_with(2, "standard input held nothing");
}
