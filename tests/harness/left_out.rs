//! What tests left out, told once more at the end of the whole run: a line in the middle of hundreds is easily missed.
//!
//! Every test binary is a process of its own, so the notes are files, one a test, beside the binaries. A test that
//! finds what it needs removes its note. The test binary `untested`, the last one by name, prints the rest.

use std::path::PathBuf;
use std::{env, fs};

/// `test` cannot test everything here, and `why`.
///
/// # Panics
/// When it cannot be noted: a silent omission is what this is against.
pub fn note(test: &str, why: &str) {
    let folder = folder();
    fs::create_dir_all(&folder).expect("a folder for notes");
    fs::write(folder.join(test), why).expect("a note");
}

/// `test` tests everything.
pub fn clear(test: &str) {
    // Usually there is none.
    drop(fs::remove_file(folder().join(test)));
}

/// All notes: test and reason, by name.
///
/// # Panics
/// When they cannot be read.
pub fn all() -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(folder()) else { return Vec::new() };
    let mut notes: Vec<(String, String)> = entries
        .map(|entry| {
            let path = entry.expect("a note").path();
            let test = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (test, fs::read_to_string(&path).expect("a readable note"))
        })
        .collect();
    notes.sort();
    notes
}

/// In the folder of the test binaries.
fn folder() -> PathBuf {
    let own = env::current_exe().expect("a running program");
    own.with_file_name("left-out")
}
