//! `pull`: received content as files. Names come from the other side, so each becomes one harmless path component; a
//! file appears whole or not at all.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use shared::cli::{Failure, Global, find_slice, output};
use shared::payload::{Encoding, MAX_UNPACKED_BYTES};
use shared::store::grain::GrainRow;
use shared::store::list::Selection;
use shared::store::slice::SliceRow;
use shared::store::slice::Tagged;
use shared::store::{self, StoreError};
use shared::wire::Id;
use shared::wire::grain::LEVEL_1;

use crate::Secondary;

/// Longest name written, without an id behind it; most file systems take 255 bytes.
const MAX_NAME_BYTES: usize = 150;
/// Failures whose reasons are told.
const SHOWN_FAILURES: usize = 5;

/// Options of `pull`.
#[derive(Args, Clone, Debug)]
pub struct Pull {
    /// Only this slice [default: all]
    #[arg(short, long, value_name = "NAME|ID")]
    pub slice: Option<String>,
    /// Folder to write to: DIR/SLICE/FILE
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

#[derive(Serialize)]
struct Pulled {
    slice: String,
    files: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<String>,
}

/// Runs `pull`. What cannot be written keeps its old file, and the rest is written.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, pull: Pull) -> Result<(), Failure> {
    let (secondary, _config) = super::open(global).await?;
    let slices = slices(&secondary, pull.slice).await?;
    let bar = bar(slices.iter().map(|slice| slice.grains).sum());
    let mut pulled = Vec::new();
    for slice in slices {
        bar.set_message(output::escaped(&slice.row.name));
        pulled.push(write_slice(&secondary, slice, &pull.dir, &bar).await?);
    }
    bar.finish_and_clear();
    output::print(global.json, &pulled, || {
        let lines: Vec<String> = pulled.iter().map(text).collect();
        if lines.is_empty() {
            "nothing was received yet: run `sandpiper-secondary sync --all`".to_owned()
        } else {
            lines.join("\n")
        }
    })?;
    let failed: Vec<&str> = pulled.iter().flat_map(|pulled| &pulled.failed).map(String::as_str).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let mut reasons = failed.iter().take(SHOWN_FAILURES).copied().collect::<Vec<_>>().join(" | ");
    if failed.len() > SHOWN_FAILURES {
        reasons.push_str(" | …");
    }
    Err(Failure::failed(format!("{} could not be written, the old files stay: {reasons}", failed.len())))
}

fn text(pulled: &Pulled) -> String {
    let name = output::escaped(&pulled.slice);
    match pulled.files.as_slice() {
        [only] => format!("{name}: {}", output::escaped(&only.display().to_string())),
        files => format!("{name}: {} files", files.len()),
    }
}

/// A slice to be written.
struct Target {
    row: SliceRow,
    /// Its folder's name.
    folder: String,
    grains: i64,
}

async fn slices(secondary: &Secondary, only: Option<String>) -> Result<Vec<Target>, Failure> {
    let only = match only {
        Some(name) => Some(find_slice(&secondary.node, name).await?.id),
        None => None,
    };
    let (views, _total) = secondary
        .node
        .store
        .read(|conn| -> Result<_, StoreError> {
            store::slice::list(conn, None, &Tagged::default(), &Selection::all(&store::slice::COLUMNS))
        })
        .await?;
    // Of all slices, whichever are written: a folder must not change its owner.
    let named: Vec<(&str, Id)> = views.iter().map(|view| (view.0.name.as_str(), view.0.id)).collect();
    let folders = folders(&named);
    let targets = views.into_iter().zip(folders).map(|((row, published), folder)| Target {
        row,
        folder,
        grains: published.grain_count,
    });
    Ok(targets.filter(|target| only.is_none_or(|id| target.row.id == id)).collect())
}

/// A folder for each slice; slices of different publishers whose names become one carry their ids.
fn folders(slices: &[(&str, Id)]) -> Vec<String> {
    let key = |name: &str, id: Id| component(name, id).to_lowercase();
    let mut count: HashMap<String, usize> = HashMap::new();
    for (name, id) in slices {
        *count.entry(key(name, *id)).or_default() += 1;
    }
    let mut names = Names::default();
    slices
        .iter()
        .map(|(name, id)| {
            if count.get(&key(name, *id)).is_some_and(|count| *count > 1) {
                names.unique(&format!("{} ({id})", component(name, *id)), *id)
            } else {
                names.unique(name, *id)
            }
        })
        .collect()
}

async fn write_slice(
    secondary: &Secondary,
    slice: Target,
    dir: &Path,
    bar: &ProgressBar,
) -> Result<Pulled, Failure> {
    let folder = dir.join(&slice.folder);
    let (slice_id, version) = (slice.row.id, slice.row.current_version);
    let mut names = Names::default();
    let mut pulled = Pulled { slice: slice.row.name, files: Vec::new(), failed: Vec::new() };
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
        let Some((row, text)) = next else { return Ok(pulled) };
        after = Some(row.id);
        let target = folder.join(names.unique(file_name(&row), row.id));
        let told = |why: String| format!("slice \"{}\", grain {}: {why}", pulled.slice, row.id);
        match decoded(&row, text).await? {
            Err(why) => pulled.failed.push(told(why)),
            Ok(bytes) => match write_file(&folder, &target, &bytes) {
                Ok(()) => pulled.files.push(target),
                Err(error) => pulled.failed.push(told(format!("cannot write {}: {error}", target.display()))),
            },
        }
        bar.inc(1);
    }
}

async fn decoded(row: &GrainRow, text: String) -> Result<Result<Vec<u8>, String>, Failure> {
    let Ok(encoding) = row.encoding.parse::<Encoding>() else {
        return Ok(Err("its encoding is unknown".to_owned()));
    };
    let bytes = tokio::task::spawn_blocking(move || encoding.decode(&text, MAX_UNPACKED_BYTES))
        .await
        .map_err(|error| Failure::failed(error.to_string()))?;
    Ok(bytes.map_err(|error| format!("it cannot be unpacked: {error}")))
}

/// Drawn on a terminal only.
fn bar(grains: i64) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(grains).unwrap_or_default());
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} files, {eta} left")
    {
        bar.set_style(style);
    }
    bar
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
        let (mut free, mut round) = (safe.clone(), 1);
        // Case does not tell files apart everywhere.
        while !self.0.insert(free.to_lowercase()) {
            free = if round == 1 { format!("{safe} ({id})") } else { format!("{safe} ({id}) {round}") };
            round += 1;
        }
        free
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

/// Temporary name, fsync, rename: an importer that watches the folder never sees half a file. No name that comes from the
/// other side is hidden, so the temporary one is nobody's; two commands at once have two.
fn write_file(folder: &Path, target: &Path, bytes: &[u8]) -> std::io::Result<()> {
    make_folder(folder)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(target.file_name().unwrap_or_default());
    temporary.push(format!(".{}.part", std::process::id()));
    let temporary = folder.join(temporary);
    // Of a command that was killed, and had the same process id.
    if let Err(error) = fs::remove_file(&temporary)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let written = || {
        // Never through a link that somebody put there.
        let mut file = File::create_new(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, target)
    };
    if let Err(error) = written() {
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

/// Makes a folder and what is missing above it, so that all of it is there after a power cut too.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(above)?;
    match fs::create_dir(folder) {
        // Another command was faster.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    File::open(above)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::{File, Id, Names, component, fs, write_file};

    #[test]
    fn a_file_is_replaced_as_a_whole_and_what_fails_leaves_the_old_one_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let target = folder.join("parts.xml");
        write_file(&folder, &target, b"old").unwrap();
        // Whoever has it open reads the old one to its end.
        let mut open = File::open(&target).unwrap();
        write_file(&folder, &target, b"new, and longer").unwrap();
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), fs::read(&target).unwrap()), ("old", b"new, and longer".to_vec()));
        // A folder stands where the file should: it cannot be replaced.
        let taken = folder.join("taken");
        fs::create_dir_all(taken.join("x")).unwrap();
        assert!(write_file(&folder, &taken, b"x").is_err());
        let mut names: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["parts.xml", "taken"], "no temporary file stays");
    }

    #[test]
    fn slices_whose_names_become_one_carry_their_ids_and_no_name_can_take_anothers_folder() {
        let ids: Vec<Id> = ["10000000", "20000000", "30000000", "40000000"]
            .map(|start| format!("{start}-0000-0000-0000-000000000000").parse().unwrap())
            .into();
        let stolen = format!("a_b ({})", ids[1]);
        let named = [("a/b", ids[0]), ("a:B", ids[1]), (stolen.as_str(), ids[2]), ("c", ids[3])];
        let folders = super::folders(&named);
        assert_eq!(folders[0], format!("a_b ({})", ids[0]));
        assert_eq!(folders[1], format!("a_B ({})", ids[1]));
        assert_eq!(folders[2], format!("a_b ({}) ({})", ids[1], ids[2]));
        assert_eq!(folders[3], "c");
    }

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
        assert!(component(&"ä".repeat(300), id).len() <= 150);
        assert!(!component("a\0b\nc", id).contains(['\0', '\n']));
    }
}
