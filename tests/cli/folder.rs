//! `add`: a file, or a folder with a file for each slice.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use super::{Folders, primary};

fn outcomes(ended: &str) -> Vec<(String, String)> {
    let rows: Vec<Value> = serde_json::from_str(ended).unwrap();
    let text = |row: &Value, member: &str| row[member].as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(row, "file"), text(row, "outcome"))).collect()
}

fn expect(found: &[(String, String)], wanted: &[(&str, &str)]) {
    let found: Vec<_> = found.iter().map(|(file, outcome)| (file.as_str(), outcome.as_str())).collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_folder_is_published_file_by_file_and_missing_slices_are_made_only_when_asked_for() {
    let folders = Folders::new();
    let p = folders.primary();
    let dir = folders.path("catalog");
    fs::create_dir(&dir).unwrap();
    let shown = dir.to_str().unwrap().to_owned();
    let add = |more: &[&str]| primary(&[&["add", shown.as_str(), "--data-dir", &p], more].concat());
    add(&[]).fails_with(1, "holds no files");
    fs::write(dir.join("brakes-aces-2026.xml"), "<ACES version=\"4.2\"></ACES>").unwrap();
    fs::write(dir.join("Brakes PIES.xml"), "<?xml version=\"1.0\"?><PIES/>").unwrap();
    // What is left out: hidden files, folders, and what would block for ever.
    fs::write(dir.join(".aces.xml.swp"), "x").unwrap();
    fs::create_dir(dir.join("aces.xml")).unwrap();
    assert!(Command::new("mkfifo").arg(dir.join("aces-pipe.xml")).status().unwrap().success());
    let refused = add(&[]);
    refused.fails_with(1, "\"Brakes PIES\", \"brakes-aces-2026\"");
    assert!(refused.err.contains("--create"), "{refused:?}");
    assert_eq!(primary(&["slice", "list", "--json", "--data-dir", &p]).json().as_array().unwrap().len(), 0);

    let made = add(&["--create", "--json"]).ok();
    expect(&outcomes(&made.out), &[("Brakes PIES.xml", "published"), ("brakes-aces-2026.xml", "published")]);
    let slices = primary(&["slice", "list", "--json", "--data-dir", &p]).json();
    let types: Vec<_> =
        slices.as_array().unwrap().iter().map(|slice| (&slice["slice_name"], &slice["slice_type"])).collect();
    assert_eq!(types[0], (&"Brakes PIES".into(), &"pies-file".into()));
    assert_eq!(types[1], (&"brakes-aces-2026".into(), &"aces-file".into()));
    // Again: nothing is published. Changed: that one.
    let again = add(&["--noprompt"]).ok();
    assert!(again.out.lines().all(|line| line.contains("unchanged")), "{again:?}");
    fs::write(dir.join("Brakes PIES.xml"), "<PIES>new</PIES>").unwrap();
    let changed = add(&["--json"]).ok();
    expect(
        &outcomes(&changed.out),
        &[("Brakes PIES.xml", "published"), ("brakes-aces-2026.xml", "unchanged")],
    );
    let rows: Value = serde_json::from_str(&changed.out).unwrap();
    assert_eq!((&rows[0]["version"], &rows[0]["slice"]), (&2.into(), &"Brakes PIES".into()));
}

#[test]
fn one_bad_file_does_not_stop_the_others_and_no_type_is_guessed_wrongly() {
    let folders = Folders::new();
    let p = folders.primary();
    let dir = folders.path("catalog");
    fs::create_dir(&dir).unwrap();
    let shown = dir.to_str().unwrap().to_owned();
    let add = |more: &[&str]| primary(&[&["add", shown.as_str(), "--json", "--data-dir", &p], more].concat());
    for (name, content) in [
        ("aces-good.xml", "<ACES/>"),
        ("aces-liar.xml", "<!-- ACES --><PIES/>"),
        ("spacesaver.xml", "<ACES/>"),
        ("aces-twice.xml", "<ACES/>"),
        ("ACES-Twice.XML", "<ACES/>"),
        ("x.aces.xml", "<ACES/>"),
    ] {
        fs::write(dir.join(name), content).unwrap();
    }
    fs::write(dir.join(std::ffi::OsStr::from_bytes(b"aces-\xff.xml")), "<ACES/>").unwrap();
    symlink("nowhere", dir.join("aces-link.xml")).unwrap();
    // A name of two letters is none for a slice.
    fs::write(dir.join("ab"), "x").unwrap();
    let ended = add(&["--create"]);
    ended.fails_with(1, "7 of 9 files failed");
    for words in ["content pies-file", "give --slice-type", "not UTF-8", "cannot be read", "keep one of them"]
    {
        assert!(ended.err.contains(words), "{words}: {ended:?}");
    }
    expect(
        &outcomes(&ended.out),
        &[
            ("ACES-Twice.XML", "failed"),
            ("ab", "failed"),
            ("aces-good.xml", "published"),
            ("aces-liar.xml", "failed"),
            ("aces-link.xml", "failed"),
            ("aces-twice.xml", "failed"),
            ("aces-\u{fffd}.xml", "failed"),
            ("spacesaver.xml", "failed"),
            ("x.aces.xml", "published"),
        ],
    );
}

#[test]
fn a_given_type_is_taken_and_never_against_what_the_slice_is() {
    let folders = Folders::new();
    let p = folders.primary();
    let dir = folders.path("catalog");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("spacesaver.xml"), "<PIES/>").unwrap();
    let shown = dir.to_str().unwrap();
    primary(&["add", shown, "--create", "--slice-type", "pies-file", "--data-dir", &p]).ok();
    primary(&["add", shown, "--create", "--slice-type", "aces-file", "--data-dir", &p])
        .fails_with(1, "is of type pies-file, not aces-file");
    primary(&["add", shown, "--data-dir", &p]).ok();
    // Locked by somebody else: worth another try, and only then.
    primary(&["slice", "lock", "spacesaver", "--data-dir", &p]).ok();
    primary(&["add", shown, "--data-dir", &p]).ok();
    primary(&["add", shown, "--slice", "spacesaver", "--data-dir", &p]).fails_with(2, "leave out --slice");
    let file = dir.join("spacesaver.xml");
    let file = file.to_str().unwrap();
    primary(&["add", file, "--data-dir", &p]).fails_with(2, "--slice NAME");
    primary(&["add", "-s", "SpaceSaver", "--noprompt", file, "--data-dir", &p]).ok();
    primary(&["add", "-s", "nothing", file, "--data-dir", &p]).fails_with(1, "there is no slice \"nothing\"");
    primary(&["add", "-s", "spacesaver", "/nowhere/x", "--data-dir", &p]).fails_with(1, "cannot read");
    let usage = primary(&["add", "-s", "spacesaver", "--create", file, "--data-dir", &p]);
    assert_eq!(usage.code, 2, "{usage:?}");
}
