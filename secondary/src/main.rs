//! `sandpiper-secondary`: parse the command line, run one command, end with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    secondary::cli::main()
}
