//! Asking for what was not given: on a terminal only; without one a command fails at once.

use std::io::{IsTerminal as _, Write as _};

use super::Failure;
use crate::crypto::Secret;

/// Whether somebody can be asked.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// `given`, or the answer to `question`.
///
/// # Errors
/// Usage (2) without a terminal, naming `flag`.
pub fn text(given: Option<String>, question: &str, flag: &str) -> Result<String, Failure> {
    if let Some(text) = given {
        return Ok(text);
    }
    if !can_ask() {
        return Err(Failure::usage(format!("{flag} is missing, and there is no terminal to ask on")));
    }
    let mut err = std::io::stderr();
    write!(err, "{question}: ")?;
    err.flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let answer = line.trim();
    if answer.is_empty() { Err(Failure::usage(format!("{flag} is missing"))) } else { Ok(answer.to_owned()) }
}

/// A password from standard input (one line), or typed without echo.
///
/// # Errors
/// Usage (2) without either.
pub fn password(from_stdin: bool, question: &str, flag: &str) -> Result<Secret, Failure> {
    if from_stdin {
        let secret = crate::crypto::read_line(std::io::stdin().lock())?;
        return if secret.is_empty() {
            Err(Failure::usage(format!("standard input held nothing ({flag})")))
        } else {
            Ok(secret)
        };
    }
    if !can_ask() {
        return Err(Failure::usage(format!("no password: give {flag}, there is no terminal to ask on")));
    }
    Ok(rpassword::prompt_password(format!("{question}: "))?.into())
}

/// A new password, typed twice.
///
/// # Errors
/// As [`password`]; failed (1) when the two differ.
pub fn new_password(from_stdin: bool, question: &str, flag: &str) -> Result<Secret, Failure> {
    let first = password(from_stdin, question, flag)?;
    if !from_stdin && first != password(false, "the same again", flag)? {
        return Err(Failure::failed("the two passwords differ"));
    }
    Ok(first)
}
