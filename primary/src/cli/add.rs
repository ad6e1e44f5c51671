//! `add`: publish a file, or a folder of them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use shared::cli::{Failure, Global, find_slice, output};
use shared::node::service::publish_file;
use shared::wire::slice::SLICE_TYPES;
use tokio_util::io::ReaderStream;

use super::{OPERATOR, ROLE, folder};

/// Options of `add`.
#[derive(Args, Clone, Debug)]
pub struct Add {
    /// Slice to publish a file to (the files of a folder name theirs)
    #[arg(short, long, value_name = "NAME|ID", conflicts_with_all = ["slice_type", "create"])]
    pub slice: Option<String>,
    /// With a folder: type of the slices [default for new ones: guessed from names like "brakes-aces-2026.xml"]
    #[arg(long, value_name = "TYPE", value_parser = SLICE_TYPES)]
    pub slice_type: Option<String>,
    /// With a folder: add the slices that are missing
    #[arg(long)]
    pub create: bool,
    /// Taken for the reference's sake: nothing is ever asked
    #[arg(long)]
    pub noprompt: bool,
    /// File that becomes the slice's whole content, or a folder with a file for each slice, named like it
    #[arg(value_name = "FILE|DIR")]
    pub path: PathBuf,
}

/// Runs `add`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, add: Add) -> Result<(), Failure> {
    let shown = add.path.display().to_string();
    let is_folder = tokio::fs::metadata(&add.path)
        .await
        .map_err(|error| Failure::failed(format!("cannot read {shown}: {error}")))?
        .is_dir();
    match (&add.slice, is_folder) {
        (Some(_), true) => {
            return Err(Failure::usage(format!(
                "{shown} is a folder: leave out --slice, its files are named like their slices"
            )));
        }
        (None, true) => {
            let node = global.open(ROLE).await?.node;
            return folder::run(global, &node, &add).await;
        }
        (None, false) => return Err(Failure::usage("which slice? Give --slice NAME")),
        (Some(_), false) => {}
    }
    let name = add.slice.unwrap_or_default();
    let source = add
        .path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Failure::usage(format!("{shown} has no file name that can be sent")))?
        .to_owned();
    let node = global.open(ROLE).await?.node;
    let slice = find_slice(&node, name).await?;
    let file = tokio::fs::File::open(&add.path)
        .await
        .map_err(|error| Failure::failed(format!("cannot read {shown}: {error}")))?;
    let size = file.metadata().await.map_or(0, |file| i64::try_from(file.len()).unwrap_or(i64::MAX));
    let spinner = spinner(format!("compressing and publishing {shown}"));
    let published = publish_file::file(&node, OPERATOR, slice.id, source, ReaderStream::new(file)).await;
    spinner.finish_and_clear();
    let published = published?;
    output::print(global.json, &published, || {
        if published.changed {
            format!(
                "published {shown} ({}) as version {} of \"{}\"",
                output::size(size),
                published.version,
                slice.name
            )
        } else {
            format!(
                "\"{}\" has this content already (version {}): nothing published",
                slice.name, published.version
            )
        }
    })
}

/// Drawn on a terminal only.
fn spinner(text: String) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(text);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
