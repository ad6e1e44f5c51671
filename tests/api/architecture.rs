//! The arrows between the layers, as docs/architecture.md draws them.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder}");
    found
}

fn must_not_name(folder: &str, words: &[&str]) {
    for (path, text) in sources(folder) {
        for (number, line) in
            text.lines().enumerate().filter(|(_number, line)| !line.trim_start().starts_with("//"))
        {
            for word in words {
                assert!(
                    !line.contains(word),
                    "{}:{}: {folder} must not name {word}",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn only_the_store_names_diesel() {
    for folder in [
        "shared/src/wire",
        "shared/src/client",
        "shared/src/crypto",
        "shared/src/node",
        "shared/src/server",
        "shared/src/cli",
        "primary/src",
        "secondary/src",
    ] {
        must_not_name(folder, &["diesel::", "use diesel"]);
    }
}

#[test]
fn the_store_and_the_services_know_nothing_of_http() {
    must_not_name("shared/src/store", &["actix", "reqwest", "crate::node", "crate::server", "crate::client"]);
    for folder in
        ["shared/src/node/service", "primary/src/service", "secondary/src/service", "secondary/src/sync"]
    {
        must_not_name(folder, &["actix", "reqwest"]);
    }
}

#[test]
fn routes_decode_and_encode_and_nothing_else() {
    for folder in ["shared/src/node/routes", "primary/src/routes", "secondary/src/routes"] {
        must_not_name(folder, &["bcrypt", "store::", ".store", "crypto::", "aes_gcm"]);
    }
}

#[test]
fn what_crosses_the_wire_and_what_encrypts_stand_alone() {
    must_not_name(
        "shared/src/wire",
        &["crate::node", "crate::store", "crate::server", "crate::client", "actix", "reqwest"],
    );
    must_not_name(
        "shared/src/crypto",
        &["crate::node", "crate::store", "crate::server", "crate::client", "actix", "reqwest"],
    );
}
