//! What both command lines have in common: settings, exit codes, output, and the commands that do the same on both.

pub mod account;
pub mod backup;
pub mod completions;
pub mod import;
pub mod init;
pub mod keyring;
pub mod list;
pub mod migrate;
pub mod output;
pub mod prompt;
pub mod recover;
pub mod schema;
pub mod secrets;
pub mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::node::open::{OpenError, Opened, open};
use crate::node::service::slice;
use crate::node::{Error, Node};
use crate::server::data_dir::{DataDir, Misconfigured};
use crate::server::{core_dump, telemetry, tls};
use crate::store::StoreError;
use crate::store::slice::SliceRow;
use crate::wire::server::ServerRole;

/// Options of every command, before or after its name.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// Folder with the node's data, key and settings
    #[arg(long, global = true, env = "SANDPIPER_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Database: <sqlite:///path/to/file.db> or <postgres://user@host/name> [default: sandpiper.db in the data folder]
    #[arg(long, global = true, env = "SANDPIPER_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// What to log to standard error: error, warn, info, debug, trace [default: info for serve, else error]
    #[arg(long, global = true, env = "SANDPIPER_LOG", value_name = "LEVEL")]
    pub log: Option<String>,
    /// Log one JSON object a line
    #[arg(long, global = true, env = "SANDPIPER_LOG_JSON")]
    pub log_json: bool,
}

impl Global {
    /// The data folder that was named.
    ///
    /// # Errors
    /// Usage (2) when none was.
    pub fn data_dir(&self) -> Result<&PathBuf, Failure> {
        self.data_dir
            .as_ref()
            .ok_or_else(|| Failure::usage("which data folder? Give --data-dir DIR or set SANDPIPER_DATA_DIR"))
    }

    /// Opens the initialised node in the data folder.
    ///
    /// # Errors
    /// Configuration (78), or what the database met.
    pub async fn open(&self, role: ServerRole) -> Result<Opened, Failure> {
        let dir = DataDir::open(self.data_dir()?)?;
        Ok(open(dir, self.database.as_deref(), role).await?)
    }
}

/// Why a command ends with something else than 0: one line that names the remedy.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// 1: it failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// 2: the command was not given what it needs.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// 75: the same command may succeed later (busy, locked, unreachable).
    pub fn try_again(message: impl Into<String>) -> Self {
        Self { code: 75, message: message.into() }
    }

    /// 78: the installation or its settings are wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self { code: 78, message: message.into() }
    }

    /// The same exit code with other words.
    #[must_use]
    pub fn with_message(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Misconfigured> for Failure {
    fn from(error: Misconfigured) -> Self {
        Self::config(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Busy | StoreError::Unavailable(_) => Self::try_again(message),
            StoreError::Missing(_) => {
                Self::config(format!("{message}: check --database, or run `init` for a new node"))
            }
            StoreError::NewerSchema(_) | StoreError::RolledBack | StoreError::HighWater(_) => {
                Self::config(message)
            }
            StoreError::Full
            | StoreError::OutcomeUnknown(_)
            | StoreError::Conflict(_)
            | StoreError::Reference(_)
            | StoreError::Internal(_) => Self::failed(message),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Misconfigured(error) => error.into(),
            OpenError::Store(error) => error.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            error if error.is_temporary() => Self::try_again(error.to_string()),
            Error::NotConfigured(text) => Self::config(text),
            Error::Internal(text) => Self::failed(format!("internal error: {text}")),
            other => Self::failed(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::failed("no space left on the disk: free some and try again");
        }
        Self::failed(error.to_string())
    }
}

/// The slice with this id or name.
///
/// # Errors
/// Failed (1) when there is none.
pub async fn find_slice(node: &Node, id_or_name: String) -> Result<SliceRow, Failure> {
    let name = output::escaped(&id_or_name);
    slice::find(node, id_or_name).await.map_err(|error| match error {
        Error::NotFound(_) => {
            Failure::failed(format!("there is no slice \"{name}\" here: the command `list` shows all"))
        }
        other => other.into(),
    })
}

/// Runs one command of either server: TLS provider, log, runtime, exit code. `serves` logs more by default.
pub fn run_command<F>(global: &Global, serves: bool, command: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output = Result<(), Failure>>,
{
    tls::install_provider();
    let default_log = if serves { "info" } else { "error" };
    let log = global.log.as_deref().unwrap_or(default_log);
    if let Err(error) = telemetry::start(log, global.log_json) {
        return end(Err(Failure::usage(error)));
    }
    core_dump::forbid();
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => end(runtime.block_on(command())),
        Err(error) => end(Err(Failure::failed(error.to_string()))),
    }
}

/// Ends a command: the one line on standard error, the exit code.
fn end(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let line = output::printable(&failure.message.replace(['\n', '\r'], " "));
            // A closed standard error must not turn into a panic.
            drop(std::io::Write::write_all(&mut std::io::stderr(), format!("error: {line}\n").as_bytes()));
            ExitCode::from(failure.code)
        }
    }
}
