//! `backup`: the database of a node in one file, while it serves.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{Failure, Global, output};
use crate::store::{DatabaseUrl, Store};
use crate::wire::server::ServerRole;

/// Options of `backup`.
#[derive(Args, Clone, Debug)]
pub struct Backup {
    /// File to write: there must be none of that name yet
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Serialize)]
struct Done {
    file: PathBuf,
    bytes: u64,
}

/// Runs `backup`.
///
/// # Errors
/// A sentence and its exit code; then there is no such file.
pub async fn run(global: &Global, backup: Backup, role: ServerRole) -> Result<(), Failure> {
    let node = global.open(role).await?.node;
    if matches!(node.store.url(), DatabaseUrl::Postgres(_)) {
        return Err(Failure::config(
            "this node's database is PostgreSQL: `pg_dump --format=custom --file FILE URL` makes its backup",
        ));
    }
    let file = backup.file;
    let bytes = write(&node.store, &file).await?;
    let done = Done { file, bytes };
    output::print(global.json, &done, || {
        format!(
            "{}: {}, as of now. The root key is not in it: keep a copy of that elsewhere",
            done.file.display(),
            output::size(i64::try_from(done.bytes).unwrap_or(i64::MAX))
        )
    })
}

/// Under another name first: what has the name of a backup is a whole one.
async fn write(store: &Store, file: &Path) -> Result<u64, Failure> {
    let taken = || Failure::failed(format!("{} exists already: name a new file", file.display()));
    if file.exists() {
        return Err(taken());
    }
    let part = part_of(file).ok_or_else(|| Failure::usage("FILE must be the name of a file"))?;
    // It holds what the database holds.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", part.display())))?;
    let written = match store.back_up(&part).await {
        Ok(()) => settle(&part, file).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(),
            _ => error.into(),
        }),
        Err(error) => Err(error.into()),
    };
    // Linked to its name, or of no use.
    drop(fs::remove_file(&part));
    written
}

/// Gives it its name once all of it is on the disk; never in the place of another file.
fn settle(part: &Path, file: &Path) -> io::Result<u64> {
    let copy = File::open(part)?;
    copy.sync_all()?;
    fs::hard_link(part, file)?;
    if let Some(folder) = file.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(copy.metadata()?.len())
}

fn part_of(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    Some(file.with_file_name(format!(".{name}.{}.part", std::process::id())))
}
