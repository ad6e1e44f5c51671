//! `pull`: received content as files. Names come from the other side, so each becomes one harmless path component; a
//! file appears whole or not at all.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use shared::cli::{Failure, Global, output};
use shared::node::service::slice;
use shared::payload::Encoding;
use shared::store::grain::GrainRow;
use shared::store::list::Selection;
use shared::store::slice::SliceRow;
use shared::store::slice::Tagged;
use shared::store::{self, StoreError};
use shared::wire::Id;
use shared::wire::grain::LEVEL_1;

use crate::Secondary;

/// What one payload may unpack to.
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Longest name written; most file systems take 255 bytes.
const MAX_NAME_BYTES: usize = 200;

/// Options of `pull`.
#[derive(Args, Clone, Debug)]
pub struct Pull {
    /// Only this slice [default: all]
    #[arg(short, long, value_name = "NAME|ID")]
    pub slice: Option<String>,
    /// Folder to write to: DIR/SLICE/FILE
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

#[derive(Serialize)]
struct Pulled {
    slice: String,
    files: Vec<PathBuf>,
}

/// Runs `pull`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, pull: Pull) -> Result<(), Failure> {
    let (secondary, _config) = super::open(global).await?;
    let slices = slices(&secondary, pull.slice).await?;
    let mut pulled = Vec::new();
    let mut folders = Names::default();
    for slice in slices {
        let folder = pull.dir.join(folders.unique(&slice.name, slice.id));
        let files = write_slice(&secondary, &slice, &folder).await?;
        pulled.push(Pulled { slice: slice.name, files });
    }
    output::print(global.json, &pulled, || {
        let lines: Vec<String> = pulled
            .iter()
            .map(|pulled| match pulled.files.as_slice() {
                [only] => format!("{}: {}", pulled.slice, only.display()),
                files => format!("{}: {} files", pulled.slice, files.len()),
            })
            .collect();
        if lines.is_empty() {
            "nothing was received yet: run `sandpiper-secondary sync --all`".to_owned()
        } else {
            lines.join("\n")
        }
    })
}

async fn slices(secondary: &Secondary, only: Option<String>) -> Result<Vec<SliceRow>, Failure> {
    if let Some(name) = only {
        return Ok(vec![slice::find(&secondary.node, name).await?]);
    }
    let (views, _total) = secondary
        .node
        .store
        .read(|conn| -> Result<_, StoreError> {
            store::slice::list(conn, None, &Tagged::default(), &Selection::all(&store::slice::COLUMNS))
        })
        .await?;
    Ok(views.into_iter().map(|view| view.0).collect())
}

async fn write_slice(
    secondary: &Secondary,
    slice: &SliceRow,
    folder: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    let (slice_id, version) = (slice.id, slice.current_version);
    let (mut files, mut names) = (Vec::new(), Names::default());
    let mut after = None;
    loop {
        // One grain at a time: each may be large.
        let next = secondary
            .node
            .store
            .read(move |conn| -> Result<_, StoreError> {
                let rows = store::grain::page(conn, slice_id, version, after, 1)?;
                Ok(store::payload::of_rows(conn, rows)?.pop())
            })
            .await?;
        let Some((row, text)) = next else { return Ok(files) };
        after = Some(row.id);
        let target = folder.join(names.unique(file_name(&row), row.id));
        let encoding: Encoding = row
            .encoding
            .parse()
            .map_err(|_unknown| Failure::failed(format!("grain {} has an unknown encoding", row.id)))?;
        let bytes = tokio::task::spawn_blocking(move || encoding.decode(&text, MAX_FILE_BYTES))
            .await
            .map_err(|error| Failure::failed(error.to_string()))?
            .map_err(|error| Failure::failed(format!("grain {} cannot be unpacked: {error}", row.id)))?;
        write_file(folder, &target, &bytes)
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", target.display())))?;
        files.push(target);
    }
}

/// A whole file has its own name; items are named after what they are about.
fn file_name(row: &GrainRow) -> &str {
    if row.grain_key == LEVEL_1 && !row.source.is_empty() { &row.source } else { &row.grain_key }
}

/// Names given so far in one folder: two that become the same must not overwrite each other.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    fn unique(&mut self, name: &str, id: Id) -> String {
        let safe = component(name, id);
        // Case does not tell files apart everywhere.
        if self.0.insert(safe.to_lowercase()) { safe } else { format!("{safe} ({id})") }
    }
}

/// One path component that cannot leave its folder, hide, or be special to any system; the id where nothing is left.
fn component(name: &str, id: Id) -> String {
    let mut safe: String = name
        .chars()
        .map(|c| {
            if c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|') {
                '_'
            } else {
                c
            }
        })
        .collect();
    while safe.len() > MAX_NAME_BYTES {
        safe.pop();
    }
    let safe = safe.trim_end_matches([' ', '.']).trim_start_matches([' ', '.']);
    if safe.is_empty() { id.to_string() } else { safe.to_owned() }
}

/// Temporary name, fsync, rename: an importer that watches the folder never sees half a file.
fn write_file(folder: &Path, target: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut temporary = target.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, target)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{Id, Names, component};

    #[test]
    fn two_names_that_become_one_are_told_apart() {
        let mut names = Names::default();
        assert_eq!(names.unique("EB/1", Id::NIL), "EB_1");
        assert_eq!(names.unique("eb:1", Id::NIL), format!("eb_1 ({})", Id::NIL));
    }

    #[test]
    fn names_from_the_other_side_stay_in_their_folder() {
        let id = Id::NIL;
        assert_eq!(component("aces-file.xml", id), "aces-file.xml");
        assert_eq!(component("../../../etc/cron.d/x", id), "_.._.._etc_cron.d_x");
        assert_eq!(component("ZZZZ|ZZZY|EB 1/2", id), "ZZZZ_ZZZY_EB 1_2");
        for hostile in ["", ".", "..", " . ", "..."] {
            assert_eq!(component(hostile, id), id.to_string(), "{hostile:?}");
        }
        assert!(component(&"ä".repeat(300), id).len() <= 200);
        assert!(!component("a\0b\nc", id).contains(['\0', '\n']));
    }
}
