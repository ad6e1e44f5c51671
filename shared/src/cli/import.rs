//! `import`: an installation of the reference becomes this node. It can be repeated until it is done, and changes nothing
//! afterwards.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use zeroize::Zeroizing;

use super::init::{Undo, root_key, write_config};
use super::{Failure, Global, output};
use crate::clock::{Clock, Random};
use crate::crypto::keyring::{Purpose, import};
use crate::node::found::RingSecret;
use crate::node::service::import::report::{Found, Report};
use crate::node::service::import::{self as service, Begun, Event, ImportError, Target};
use crate::server::config::ConfigFile;
use crate::server::data_dir::DataDir;
use crate::store::reference::{ReferenceError, is_reference};
use crate::store::{DatabaseUrl, Store, StoreError, create_file};
use crate::wire::server::ServerRole;

/// Held while an import lasts.
const LOCK: &str = "import.lock";
/// Rows of one kind that a person wants to see; `--json` has them all.
const SHOWN_ROWS: usize = 10;

/// Options of `import`.
#[derive(Args, Clone, Debug)]
pub struct Import {
    /// PostgreSQL database of the reference (a password in it is seen by other users: prefer PGPASSWORD or ~/.pgpass)
    #[arg(long, env = "SANDPIPER_IMPORT_FROM", value_name = "URL", hide_env_values = true)]
    pub from: String,
    /// Read everything, write nothing, and print the same report
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs `import` into a node of `role`.
///
/// # Errors
/// Failed (1) when rows were refused; configuration (78) when source, secrets and node do not fit together; try again (75)
/// when a database is away.
pub async fn run(global: &Global, options: &Import, role: ServerRole) -> Result<(), Failure> {
    let secrets = secrets(role)?;
    let dir = if options.dry_run { None } else { Some(global.data_dir()?) };
    let bar = bar();
    let progress = {
        let bar = bar.clone();
        Arc::new(move |event| match event {
            Event::Planned(rows) => bar.set_length(u64::try_from(rows).unwrap_or_default()),
            Event::Read(rows) => bar.inc(u64::try_from(rows).unwrap_or_default()),
        })
    };
    let source =
        service::Import::open(options.from.clone(), role, Clock::System, Random::System, progress).await?;
    let (begun, _turn) = match dir {
        None => (source.begin(None).await?, None),
        Some(path) => {
            let dir = DataDir::create(path)?;
            let turn = lock(&dir)?;
            (begin(global, &dir, source, secrets).await?, Some(turn))
        }
    };
    let report = match begun {
        Begun::Finished(report) => Ok(*report),
        Begun::Founded(copying) => copying.run().await,
    };
    bar.finish_and_clear();
    let report = report?;
    output::print(global.json, &report, || text(&report, global))?;
    match report.refused() {
        0 => Ok(()),
        refused => Err(Failure::failed(format!(
            "{refused} row(s) were refused; the report names each of them, why, and what to do"
        ))),
    }
}

/// Two imports into one folder would take back what the other made. Ends with the process.
fn lock(dir: &DataDir) -> Result<File, Failure> {
    let file = File::options().create(true).append(true).mode(0o600).open(dir.file(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ImportError::Running.into()),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Founds the node in the folder, or finds it there; what a failure leaves of a new one is taken back.
async fn begin(
    global: &Global,
    dir: &DataDir,
    source: service::Import,
    secrets: Vec<RingSecret>,
) -> Result<Begun, Failure> {
    let config = if dir.is_initialised() {
        dir.config()?
    } else {
        ConfigFile { database: global.database.clone(), ..ConfigFile::default() }
    };
    let url = dir.database(global.database.as_deref(), &config)?;
    let mut made = Undo::default();
    let target = match target(dir, url, secrets, &mut made).await {
        Ok(target) => target,
        Err(failure) => {
            made.take_back();
            return Err(failure);
        }
    };
    let store = target.store.clone();
    match source.begin(Some(target)).await {
        Ok(begun) => {
            // From here on the folder knows its database, and `serve` says what is missing.
            if !dir.is_initialised() {
                write_config(dir, &config)?;
            }
            Ok(begun)
        }
        Err(error) => {
            // A founded node needs its key, also when nobody can tell whether it was founded.
            if matches!(store.read(crate::store::import::find).await, Ok(None)) {
                drop(store);
                made.take_back();
            }
            Err(error.into())
        }
    }
}

/// The node's database and keys; what was made for them can be taken back.
async fn target(
    dir: &DataDir,
    url: DatabaseUrl,
    secrets: Vec<RingSecret>,
    made: &mut Undo,
) -> Result<Target, Failure> {
    let root_key = root_key(dir, made)?;
    if let DatabaseUrl::Sqlite(file) = &url {
        if !file.exists() {
            made.database = Some(file.clone());
        }
        create_file(file)?;
    }
    let store = tokio::task::spawn_blocking(move || {
        if is_reference(&url)? {
            return Ok(None);
        }
        Store::open(url).map(Some)
    })
    .await
    .map_err(|error| StoreError::Internal(error.to_string()))??;
    let store = store.ok_or_else(|| {
        Failure::config(
            "--database is itself a database of the reference: the import leaves it as it is, so give an empty one",
        )
    })?;
    Ok(Target { store, root_key, secrets })
}

/// The reference's secrets: without them every partner's key would be dead, and nobody would know why.
fn secrets(role: ServerRole) -> Result<Vec<RingSecret>, Failure> {
    let secret = |variable: &str, setting: &str, purpose: Purpose| {
        let text = std::env::var(variable).map(Zeroizing::new).map_err(|_missing| {
            Failure::config(format!(
                "{variable} is not set: set it to {setting} of the reference's settings file (api-{role}.yaml)"
            ))
        })?;
        import(purpose, &text).map_err(|weak| Failure::config(format!("{variable}: {weak}")))
    };
    let mut secrets = vec![("j0", Purpose::Jwt, secret("JWT_SECRET", "jwt.secret", Purpose::Jwt)?)];
    if role == ServerRole::Primary {
        let seal = secret("APIKEY_SECRET", "server.api_key_secret", Purpose::Seal)?;
        secrets.push(("r0", Purpose::Seal, seal));
    }
    Ok(secrets)
}

/// Shown on a terminal only.
fn bar() -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} rows {elapsed} ETA {eta}")
    {
        bar.set_style(style);
    }
    bar
}

fn text(report: &Report, global: &Global) -> String {
    let Report { name, server_id, server_role, source, .. } = report;
    let what = format!("{name:?}, the {server_role} {server_id}, from {source}");
    let mut lines = vec![match (report.dry_run, report.already) {
        (true, _) => format!("would take over {what}; nothing was written"),
        (_, true) => format!("took over {what} earlier; nothing was changed now"),
        _ => format!("took over {what}"),
    }];
    let rows: Vec<Vec<String>> = report
        .tables
        .iter()
        .map(|tally| {
            let numbers = [tally.read, tally.taken, tally.refused].map(|number| number.to_string());
            std::iter::once(tally.table.name().to_owned()).chain(numbers).collect()
        })
        .collect();
    lines.push(output::table(&["", "READ", "TAKEN", "REFUSED"], &rows));
    lines.extend(report.found.iter().map(found));
    if !report.dry_run {
        let dir = global.data_dir.as_deref().unwrap_or(Path::new(".")).display();
        lines.push(format!("next: sandpiper-{server_role} serve --data-dir {dir}"));
    }
    lines.join("\n")
}

fn found(found: &Found) -> String {
    let verdict = if found.taken { "taken, but" } else { "REFUSED" };
    let mut lines = vec![
        String::new(),
        format!("{} {} {verdict}: {}", found.count, found.table.name(), found.why),
        format!("  to do: {}", found.remedy),
    ];
    lines.extend(found.rows.iter().take(SHOWN_ROWS).map(|row| format!("  {row}")));
    if found.rows.len() > SHOWN_ROWS {
        lines.push(format!("  … and more: --json names {} of {}", found.rows.len(), found.count));
    }
    lines.join("\n")
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Store(error) => error.into(),
            ImportError::Misconfigured(error) => error.into(),
            ImportError::Running => Self::try_again(error.to_string()),
            ImportError::Reference(error) => match error {
                ReferenceError::NotPostgres => Self::usage(error.to_string()),
                ReferenceError::Unavailable(_) => Self::try_again(error.to_string()),
                ReferenceError::Url(_) | ReferenceError::Refused(_) | ReferenceError::NotReference(_) => {
                    Self::config(error.to_string())
                }
                ReferenceError::Failed(_) => Self::failed(error.to_string()),
            },
        }
    }
}
