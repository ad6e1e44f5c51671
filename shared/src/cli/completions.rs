//! `completions` and `man`: generated from the command line's own definition, so that they cannot differ from it.

use std::path::PathBuf;

use clap::{Args, Command};
use serde::Serialize;

use super::{Failure, Global, output};

/// Options of `completions`.
#[derive(Args, Clone, Debug)]
pub struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Prints the completions of a program for a shell.
///
/// # Errors
/// A closed or full standard output.
pub fn completions(mut program: Command, options: &Completions) -> Result<(), Failure> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut program, name, &mut script);
    let script = String::from_utf8(script).map_err(|error| Failure::failed(error.to_string()))?;
    output::write_verbatim(&script)
}

/// Options of `man`.
#[derive(Args, Clone, Debug)]
pub struct Man {
    /// Folder to write to, such as /usr/local/share/man/man1
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

#[derive(Serialize)]
struct Written {
    dir: PathBuf,
    pages: usize,
}

/// Writes a manual page for a program and one for each of its commands.
///
/// # Errors
/// Failed (1) when the folder cannot be written.
pub fn man(global: &Global, program: Command, options: &Man) -> Result<(), Failure> {
    let shown = options.dir.display();
    let cannot = |error: std::io::Error| Failure::failed(format!("cannot write to {shown}: {error}"));
    std::fs::create_dir_all(&options.dir).map_err(cannot)?;
    let pages = count(&program);
    clap_mangen::generate_to(program, &options.dir).map_err(cannot)?;
    let written = Written { dir: options.dir.clone(), pages };
    output::print(global.json, &written, || format!("wrote {pages} pages to {shown}"))
}

fn count(command: &Command) -> usize {
    1 + command.get_subcommands().map(count).sum::<usize>()
}

/// Every command of a program whose help has no example, or one that the program does not take; for tests.
pub fn without_good_example(program: &Command) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![(program.get_name().to_owned(), program.clone())];
    while let Some((path, command)) = left.pop() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        match help.lines().find_map(|line| line.strip_prefix("Example: ")) {
            None => found.push(format!("{path}: no example")),
            Some(example) => {
                // A command of both programs leaves their name out.
                let example = match example.strip_prefix(program.get_name()) {
                    Some(rest) => format!("{}{rest}", program.get_name()),
                    None => format!("{} {example}", program.get_name()),
                };
                let words = words(&example);
                let parsed = program.clone().try_get_matches_from(&words);
                if !example.starts_with(&path) || parsed.is_err() {
                    found.push(format!("{path}: its example is no command of it: {example}"));
                }
            }
        }
        left.extend(command.get_subcommands().map(|sub| (format!("{path} {}", sub.get_name()), sub.clone())));
    }
    found
}

/// As a shell splits a line: quotes, and what follows a redirection or a remark in parentheses is no argument.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '<' | '>' | '(' if !quoted && word.is_none() => break,
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
