//! `add`: publish a file.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use shared::cli::{Failure, Global, output};
use shared::node::service::{publish, slice};

use super::{OPERATOR, ROLE};

/// Options of `add`.
#[derive(Args, Clone, Debug)]
pub struct Add {
    /// Slice to publish to
    #[arg(short, long, value_name = "NAME|ID")]
    pub slice: String,
    /// File that becomes its whole content
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs `add`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, add: Add) -> Result<(), Failure> {
    let shown = add.file.display().to_string();
    let source = add
        .file
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Failure::usage(format!("{shown} has no file name that can be sent")))?
        .to_owned();
    let node = global.open(ROLE).await?.node;
    let slice = slice::find(&node, add.slice).await?;
    let bytes = tokio::fs::read(&add.file)
        .await
        .map_err(|error| Failure::failed(format!("cannot read {shown}: {error}")))?;
    let spinner = spinner(format!("compressing and publishing {shown}"));
    let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let published = publish::file(&node, OPERATOR, slice.id, source, bytes).await;
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
