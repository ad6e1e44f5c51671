//! `sandpiper-primary`: parse the command line, run one command, end with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    primary::cli::main()
}
