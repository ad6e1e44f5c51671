//! `add DIR`: a folder with a file for each slice, named like it. Each file is published as a whole or not at all, and one
//! that fails does not stop the others.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use shared::cli::{Failure, Global, output};
use shared::node::Node;
use shared::node::service::{publish, publish_file, slice};
use shared::store;
use shared::store::company::name_key;
use shared::wire::Id;
use shared::wire::slice::CreateSlice;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::OPERATOR;
use super::add::Add;
use crate::service::slice_type;

/// Missing slices that a refusal names.
const NAMED: usize = 20;

/// A file of the folder, and the slice named like it.
struct Candidate {
    path: PathBuf,
    /// As it is told and sent.
    file: String,
    /// The slice's name: the file's, without its ending.
    name: String,
    target: Result<Target, String>,
}

/// Where a file goes.
enum Target {
    Known(Id),
    /// There is no such slice: it has to be made, as what was asked for or guessed.
    Missing(Option<SliceType>),
}

enum SliceType {
    Given(String),
    Guessed(&'static str),
}

#[derive(Serialize)]
struct Told {
    file: String,
    slice: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    slice_id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Publishes every file of a folder.
pub(super) async fn run(global: &Global, node: &Node, add: &Add) -> Result<(), Failure> {
    let candidates = plan(node, add).await?;
    if candidates.is_empty() {
        return Err(Failure::failed(format!("{} holds no files to publish", add.path.display())));
    }
    refuse_missing(&candidates, add)?;
    let bar = bar(candidates.len());
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    let total = candidates.len();
    for candidate in candidates {
        bar.set_message(output::escaped(&candidate.file));
        let result = publish_one(node, &candidate).await;
        bar.inc(1);
        let (outcome, line) = tell(candidate, result, &mut failures);
        if !global.json {
            bar.suspend(|| output::write_line(&line))?;
        }
        outcomes.push(outcome);
    }
    bar.finish_and_clear();
    if global.json {
        output::print(true, &outcomes, String::new)?;
    }
    summary(total, &failures)
}

/// What is to be done with each file, in the order of their names. Hidden files, folders and what is no file are left out.
async fn plan(node: &Node, add: &Add) -> Result<Vec<Candidate>, Failure> {
    let shown = add.path.display();
    let cannot = |error: std::io::Error| Failure::failed(format!("cannot read {shown}: {error}"));
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&add.path).map_err(cannot)? {
        paths.push(entry.map_err(cannot)?.path());
    }
    paths.sort();
    let named: Vec<(PathBuf, Result<String, String>)> =
        paths.into_iter().filter_map(|path| slice_name(&path).map(|name| (path, name))).collect();
    let mut rivals: HashMap<String, usize> = HashMap::new();
    for name in named.iter().filter_map(|(_path, name)| name.as_ref().ok()) {
        *rivals.entry(name_key(name)).or_default() += 1;
    }
    let mut candidates = Vec::with_capacity(named.len());
    for (path, name) in named {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = match &name {
            Err(why) => Err(why.clone()),
            Ok(name) if rivals.get(&name_key(name)).is_some_and(|count| *count > 1) => {
                Err(format!("other files are named like slice \"{name}\" too: keep one of them"))
            }
            Ok(name) => target(node, &file, name.clone(), add.slice_type.as_deref()).await?,
        };
        candidates.push(Candidate { path, name: name.unwrap_or_else(|_why| file.clone()), file, target });
    }
    Ok(candidates)
}

/// The slice that a file is named like; `None` for what is left out.
fn slice_name(path: &Path) -> Option<Result<String, String>> {
    if path.file_name()?.as_encoded_bytes().starts_with(b".") {
        return None;
    }
    // Follows links. What is no file could block for ever when it is opened.
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => return None,
        Ok(_) => {}
        Err(error) => return Some(Err(format!("cannot be read: {error}"))),
    }
    match (path.file_name()?.to_str(), path.file_stem()?.to_str()) {
        (Some(_file), Some(stem)) => Some(Ok(stem.to_owned())),
        _ => Some(Err("its name is not UTF-8: rename it".to_owned())),
    }
}

async fn target(
    node: &Node,
    file: &str,
    name: String,
    slice_type: Option<&str>,
) -> Result<Result<Target, String>, Failure> {
    let known = node.store.read(move |conn| store::slice::find_by_name(conn, &name)).await?;
    Ok(match (known, slice_type) {
        (Some(row), Some(wanted)) if row.slice_type != wanted => {
            Err(format!("slice \"{}\" is of type {}, not {wanted}", row.name, row.slice_type))
        }
        (Some(row), _) => Ok(Target::Known(row.id)),
        (None, Some(wanted)) => Ok(Target::Missing(Some(SliceType::Given(wanted.to_owned())))),
        (None, None) => Ok(Target::Missing(slice_type::of_name(file).map(SliceType::Guessed))),
    })
}

/// Without `--create` nothing is published while slices are missing.
fn refuse_missing(candidates: &[Candidate], add: &Add) -> Result<(), Failure> {
    let missing: Vec<String> = candidates
        .iter()
        .filter(|candidate| matches!(candidate.target, Ok(Target::Missing(_))))
        .map(|candidate| format!("\"{}\"", candidate.name))
        .collect();
    if add.create || missing.is_empty() {
        return Ok(());
    }
    let mut names = missing.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if missing.len() > NAMED {
        names = format!("{names} and {} more", missing.len() - NAMED);
    }
    Err(Failure::failed(format!(
        "nothing was published: there are no slices {names}: give --create, or add them by `sandpiper-primary slice add`"
    )))
}

async fn publish_one(node: &Node, candidate: &Candidate) -> Result<(Id, publish::Published), Failure> {
    let target = candidate.target.as_ref().map_err(|why| Failure::failed(why.clone()))?;
    let unreadable = |error: std::io::Error| Failure::failed(format!("cannot be read: {error}"));
    let mut file = tokio::fs::File::open(&candidate.path).await.map_err(unreadable)?;
    let mut beginning = Vec::new();
    (&mut file).take(slice_type::BEGINNING).read_to_end(&mut beginning).await.map_err(unreadable)?;
    file.rewind().await.map_err(unreadable)?;
    let id = match target {
        Target::Known(id) => *id,
        Target::Missing(slice_type) => {
            let slice_type = settle_type(slice_type.as_ref(), &beginning)?;
            let body = CreateSlice {
                name: candidate.name.clone(),
                slice_type,
                allow_sync: true,
                ..CreateSlice::default()
            };
            slice::insert(node, body).await?.id
        }
    };
    let content = ReaderStream::new(file);
    Ok((id, publish_file::file(node, OPERATOR, id, candidate.file.clone(), content).await?))
}

/// A guess that the content speaks against is none.
fn settle_type(slice_type: Option<&SliceType>, bytes: &[u8]) -> Result<String, Failure> {
    match slice_type {
        Some(SliceType::Given(given)) => Ok(given.clone()),
        Some(SliceType::Guessed(guessed)) => match slice_type::of_content(bytes) {
            Some(says) if says != *guessed => Err(Failure::failed(format!(
                "its name says {guessed}, its content {says}: give --slice-type"
            ))),
            _ => Ok((*guessed).to_owned()),
        },
        None => Err(Failure::failed("its name does not say the type of the new slice: give --slice-type")),
    }
}

fn tell(
    candidate: Candidate,
    result: Result<(Id, publish::Published), Failure>,
    failures: &mut Vec<Failure>,
) -> (Told, String) {
    let Candidate { file, name, .. } = candidate;
    let shown = output::escaped(&file);
    match result {
        Ok((id, published)) => {
            let outcome = if published.changed { "published" } else { "unchanged" };
            let line = if published.changed {
                format!("{shown}: published as version {} of \"{}\"", published.version, published.slice_name)
            } else {
                format!("{shown}: unchanged (version {})", published.version)
            };
            let version = Some(published.version);
            let slice = published.slice_name;
            (Told { file, slice, outcome, slice_id: Some(id), version, error: None }, line)
        }
        Err(failure) => {
            let message = format!("{shown}: {failure}");
            failures.push(failure.with_message(message));
            let error = failures.last().map(ToString::to_string);
            let line = format!("{shown}: failed");
            (Told { file, slice: name, outcome: "failed", slice_id: None, version: None, error }, line)
        }
    }
}

/// 75 only if every failure is worth another try.
fn summary(total: usize, failures: &[Failure]) -> Result<(), Failure> {
    if failures.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
    let message = format!("{} of {total} files failed: {}", failures.len(), texts.join(" | "));
    Err(if failures.iter().all(|failure| failure.code() == 75) {
        Failure::try_again(message)
    } else {
        Failure::failed(message)
    })
}

/// Drawn on a terminal only.
fn bar(files: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(files).unwrap_or_default());
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} files, {eta} left: {msg}") {
        bar.set_style(style);
    }
    bar
}
