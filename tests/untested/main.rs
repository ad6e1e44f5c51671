//! The last test binary of a whole run: says what the others could not test here.

use std::io::{Write as _, stderr};

#[test]
fn what_the_other_tests_left_out_is_listed_and_in_ci_is_a_failure() {
    let notes = tests::left_out::all();
    let required = std::env::var_os("SANDPIPER_TEST_POSTGRES").is_some_and(|wish| wish == "required");
    if notes.is_empty() {
        return;
    }
    let mut text = format!("\nLEFT OUT: {} test(s) ran on SQLite only, or not at all:\n", notes.len());
    text.extend(notes.iter().map(|(test, why)| format!("  {test}: {why}\n")));
    text.push_str("With Debian's package `postgresql` installed they run.\n\n");
    // Not `println!`, which the test runner hides when the test passes.
    let _ = stderr().write_all(text.as_bytes());
    assert!(!required, "PostgreSQL is required: {text}");
}
