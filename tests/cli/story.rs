//! From two empty folders to a pulled file, by commands only.

use std::fs;

use super::{Folders, PASSWORD, Server, primary, programs, run_with, secondary};

#[test]
fn a_file_gets_from_one_folder_to_the_other() {
    let folders = Folders::new();
    let (p, s) = (folders.primary(), folders.secondary());
    let file = folders.path("aces.xml");
    fs::write(&file, "<ACES>\u{e9}</ACES>").unwrap();
    let path = file.to_str().unwrap();
    // Global options before and after the command.
    primary(&["--data-dir", &p, "company", "add", "Retail Parts"]).ok();
    run_with(
        &programs().primary,
        &[
            "account",
            "create",
            "-u",
            "anna",
            "--company",
            "retail parts",
            "--password-stdin",
            "--data-dir",
            &p,
        ],
        PASSWORD,
        &[],
    )
    .ok();
    let slice =
        primary(&["slice", "--json", "add", "brake-pads", "--metadata", "vcdb=2026", "--data-dir", &p])
            .json();
    assert_eq!(slice["metadata"]["vcdb"], "2026");
    primary(&["sub", "add", "--company", "Retail Parts", "--slice", "brake-pads", "--data-dir", &p]).ok();
    assert!(
        primary(&["add", "--slice", "brake-pads", path, "--data-dir", &p]).ok().out.contains("version 1")
    );
    assert!(
        primary(&["add", "--slice", "brake-pads", path, "--data-dir", &p])
            .ok()
            .out
            .contains("nothing published")
    );

    let server = Server::start(&programs().primary, &p, &[], &folders.path("log"));
    let connect = ["connect", server.url.as_str(), "-u", "anna", "--password-stdin", "--data-dir", &s];
    let connected = run_with(&programs().secondary, &connect, PASSWORD, &[]).ok();
    assert!(connected.out.contains("brake-pads"), "{connected:?}");
    let report = secondary(&["sync", "better brakes", "--json", "--data-dir", &s]).json();
    assert_eq!(report[0]["slices"][0]["outcome"], "changed");
    let report = secondary(&["sync", "--all", "--json", "--data-dir", &s]).json();
    assert_eq!(report[0]["slices"][0]["outcome"], "unchanged");
    assert_eq!(secondary(&["primaries", "--json", "--data-dir", &s]).json()[0]["last_run"], "success");
    let target = folders.path("out");
    secondary(&["pull", target.to_str().unwrap(), "--data-dir", &s]).ok();
    assert_eq!(fs::read(target.join("brake-pads/aces.xml")).unwrap(), fs::read(&file).unwrap());

    // The command line mints while the server serves: the stored key is dead, and a new connection heals it.
    primary(&["apikey", "mint", "--company", "Retail Parts", "--data-dir", &p]).ok();
    secondary(&["sync", "--all", "--data-dir", &s]).fails_with(1, "connect");
    run_with(&programs().secondary, &connect, PASSWORD, &[]).ok();
    secondary(&["sync", "--all", "--data-dir", &s]).ok();
    let keys = primary(&["apikey", "list", "--json", "--data-dir", &p]).json();
    assert_eq!((keys[0]["generation"].as_i64(), keys[0]["state"].as_str()), (Some(3), Some("active")));
    primary(&["apikey", "revoke", "--company", "Retail Parts", "--data-dir", &p]).ok();
    secondary(&["sync", "--all", "--data-dir", &s]).fails_with(1, "refused our api-key");
    drop(server);
    secondary(&["sync", "--all", "--data-dir", &s]).fails_with(75, "cannot be reached");
}
