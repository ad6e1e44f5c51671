//! `keyring`: an operator turns the rings while the server runs and a partner syncs.

use serde_json::{Value, json};

use super::{Served, run_with};

#[test]
fn an_operator_turns_the_rings_of_a_running_server_and_is_told_whom_he_would_cut_off() {
    let served = Served::new();
    served.secondary(&["sync"]).ok();
    assert!(served.primary(&["keyring", "rotate", "seal"]).ok().out.contains("key r1 is the active one now"));
    assert!(served.primary(&["keyring", "rotate", "jwt"]).ok().out.contains("key j1 is the active one now"));
    served.secondary(&["sync"]).ok();
    served.primary(&["keyring", "retire", "r0"]).fails_with(1, "\"Retail Parts\"");
    let table = served.primary(&["keyring", "list"]).ok().out;
    for words in ["CUT OFF IF RETIRED", "r0", "superseded", "Retail Parts", "r1", "nobody", "j0", "j1"] {
        assert!(table.contains(words), "{words}: {table}");
    }

    // The partner renews his key by himself; then nobody is cut off.
    served.secondary(&["rotate", "Better Brakes"]).ok();
    assert!(served.primary(&["keyring", "retire", "r0"]).ok().out.contains("r0 is retired"));
    served.secondary(&["sync"]).ok();
    let keys: Value = served.primary(&["keyring", "list", "--json"]).json();
    let state =
        |id: &str| keys.as_array().unwrap().iter().find(|key| key["id"] == id).unwrap()["state"].clone();
    assert_eq!(
        [state("r0"), state("r1"), state("j0"), state("j1")],
        ["retired", "active", "superseded", "active"]
    );

    served.primary(&["keyring", "retire", "j0"]).fails_with(1, "by force");
    served.primary(&["keyring", "retire", "j0", "--force"]).ok();
    served.primary(&["keyring", "retire", "r1", "--force"]).fails_with(1, "active");
    served.primary(&["keyring", "activate", "r7"]).fails_with(1, "does not exist");
    served.primary(&["keyring", "prepare", "seal"]).ok();
    assert_eq!(served.primary(&["keyring", "activate", "r2", "--json"]).json()["state"], json!("active"));
    served.secondary(&["keyring", "rotate", "seal"]).fails_with(1, "server-role");
    served.secondary(&["keyring", "rotate", "jwt"]).ok();

    // By force: the partner connects again, as he is told.
    served.primary(&["keyring", "retire", "r1", "--force"]).ok();
    served.secondary(&["sync"]).fails_with(1, "refused our api-key");
    let s = served.folders.secondary();
    let connect = ["connect", served.server.url.as_str(), "-u", "anna", "--password-stdin", "--data-dir", &s];
    run_with(&super::programs().secondary, &connect, super::PASSWORD, &[]).ok();
    served.secondary(&["sync"]).ok();
}
