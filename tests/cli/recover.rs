//! `recover`, and what every other command does with a database that was restored from a backup.

use std::fs;

use serde_json::json;

use super::{Folders, PASSWORD, Served, Server, primary, programs, run_with, secondary};

/// Puts a copy in the place of the database that nobody uses.
fn restore(folders: &Folders, node: &str, copy: &str) {
    let folder = folders.path(node);
    for beside in ["-wal", "-shm"] {
        drop(fs::remove_file(folder.join(format!("sandpiper.db{beside}"))));
    }
    fs::copy(folders.path(copy), folder.join("sandpiper.db")).unwrap();
}

#[test]
fn a_restored_primary_is_only_read_until_its_operator_accepts_the_rollback() {
    let served = Served::new();
    let copy = served.folders.path("copy.db");
    let minted = served.primary(&["apikey", "mint", "--company", "Retail Parts", "--json"]).json();
    served.primary(&["backup", copy.to_str().unwrap()]).ok();
    served.primary(&["apikey", "revoke", "--company", "Retail Parts"]).ok();
    let another = "walnut-comet-fjord-9";
    let p = served.folders.primary();
    let password = ["account", "password", "anna", "--password-stdin", "--data-dir", &p];
    run_with(&programs().primary, &password, another, &[]).ok();
    served.primary(&["recover"]).ok();
    let Served { folders, server, runtime, .. } = served;
    drop(server);
    restore(&folders, "primary", "copy.db");

    let at = |args: &[&str]| primary(&[args, &["--data-dir", &p]].concat());
    for reading in
        [&["list"][..], &["account", "list"], &["apikey", "list"], &["keyring", "list"], &["company", "list"]]
    {
        at(reading).ok();
    }
    let words = "recover --accept-rollback";
    at(&["apikey", "mint", "--company", "Retail Parts"]).fails_with(78, words);
    at(&["company", "add", "New Parts"]).fails_with(78, words);
    at(&["keyring", "rotate", "jwt"]).fails_with(78, words);
    at(&["recover"]).fails_with(2, "--accept-rollback");

    let log = folders.path("log");
    let server = Server::start(&programs().primary, &p, &[], &log);
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.contains("ERROR") && told.contains(words), "{told}");
    let http = reqwest::Client::new();
    let login =
        http.post(format!("{}/login", server.url)).json(&json!({ "sync-api-key": minted["sync_api_key"] }));
    let answer = runtime.block_on(login.send()).unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(runtime.block_on(http.get(format!("{}/check", server.url)).send()).unwrap().status(), 200);
    drop(server);

    let told = at(&["recover", "--accept-rollback"]).ok().out;
    for words in ["partner must connect again: Retail Parts", "`account password USER`: anna"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let told = at(&["recover", "--accept-rollback", "--json"]).json();
    assert_eq!(told["recovered"], false, "{told}");
    let server = Server::start(&programs().primary, &p, &[], &log);
    for body in [
        json!({ "sync-api-key": minted["sync_api_key"] }),
        json!({ "username": "anna", "password": PASSWORD }),
        json!({ "username": "anna", "password": another }),
    ] {
        let answer = runtime.block_on(http.post(format!("{}/login", server.url)).json(&body).send()).unwrap();
        assert_eq!(answer.status(), 401, "{body}");
    }
    run_with(&programs().primary, &password, another, &[]).ok();
    let body = json!({ "username": "anna", "password": another });
    let answer = runtime.block_on(http.post(format!("{}/login", server.url)).json(&body).send()).unwrap();
    assert_eq!(answer.status(), 200);
    let next = at(&["apikey", "mint", "--company", "Retail Parts", "--json"]).json();
    assert!(next["generation"].as_i64() > minted["generation"].as_i64(), "{next}");
}

#[test]
fn a_restored_secondary_neither_syncs_nor_connects_until_then() {
    let served = Served::new();
    let copy = served.folders.path("copy.db");
    served.secondary(&["backup", copy.to_str().unwrap()]).ok();
    let s = served.folders.secondary();
    let another = ["account", "password", "admin", "--password-stdin", "--data-dir", &s];
    run_with(&programs().secondary, &another, "walnut-comet-fjord-9", &[]).ok();
    restore(&served.folders, "secondary", "copy.db");
    served.secondary(&["sync"]).fails_with(78, "recover --accept-rollback");
    let connect = ["connect", served.server.url.as_str(), "-u", "anna", "--password-stdin", "--data-dir", &s];
    run_with(&programs().secondary, &connect, PASSWORD, &[]).fails_with(78, "recover --accept-rollback");
    served.secondary(&["primaries"]).ok();
    let told = served.secondary(&["recover", "--accept-rollback", "--json"]).json();
    assert_eq!(told["passwords_to_set"], json!(["admin"]), "{told}");
    served.secondary(&["sync"]).ok();
}

#[test]
fn a_file_of_another_node_is_refused_with_the_remedy() {
    let folders = Folders::new();
    let (p, s) = (folders.primary(), folders.secondary());
    primary(&["account", "list", "--data-dir", &p]).ok();
    secondary(&["account", "list", "--data-dir", &s]).ok();
    fs::copy(folders.path("primary").join("high-water"), folders.path("secondary").join("high-water"))
        .unwrap();
    secondary(&["account", "list", "--data-dir", &s]).fails_with(78, "remove that file");
    fs::write(folders.path("primary").join("high-water"), [b'x'; 200]).unwrap();
    primary(&["account", "list", "--data-dir", &p]).fails_with(78, "is damaged");
}
