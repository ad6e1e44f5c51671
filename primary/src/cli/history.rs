//! `slice versions|compare|rollback`.

use clap::Args;
use shared::cli::{Failure, Global, output};
use shared::node::query::List;
use shared::node::service::history as service;
use shared::node::{Error, Node};
use shared::store::slice::SliceRow;
use shared::wire::Timestamp;
use shared::wire::history::{Comparison, Keys};

use super::OPERATOR;

/// Keys of each kind that are shown to people.
const SHOWN_KEYS: usize = 20;

/// Options of `slice compare`.
#[derive(Args, Clone, Debug)]
pub struct Compare {
    /// Its name or id
    #[arg(value_name = "NAME|ID")]
    pub slice: String,
    /// Version to compare from
    #[arg(value_name = "VERSION")]
    pub from: i64,
    /// Version to compare to [default: the published one]
    #[arg(value_name = "VERSION")]
    pub to: Option<i64>,
}

/// Options of `slice rollback`.
#[derive(Args, Clone, Debug)]
pub struct Rollback {
    /// Its name or id
    #[arg(value_name = "NAME|ID")]
    pub slice: String,
    /// Version to publish anew
    #[arg(value_name = "VERSION")]
    pub back_to: i64,
}

/// Prints the published versions of a slice.
pub(super) async fn versions(global: &Global, node: &Node, slice: &SliceRow) -> Result<(), Failure> {
    let versions = service::versions_of(node, slice.id, List::everything(&service::COLUMNS))
        .await?
        .data
        .unwrap_or_default();
    output::print(global.json, &versions, || {
        if versions.is_empty() {
            return format!("nothing was published to \"{}\" yet", slice.name);
        }
        let rows: Vec<Vec<String>> = versions
            .iter()
            .map(|version| {
                vec![
                    version.number.to_string(),
                    version.published_at.map_or("-".to_owned(), |time: Timestamp| time.to_string()),
                    version.content_count.to_string(),
                    output::size(version.payload_bytes),
                    version.content_hash.clone(),
                    if version.current { "current" } else { "" }.to_owned(),
                ]
            })
            .collect();
        output::table(&["VERSION", "PUBLISHED", "GRAINS", "SIZE", "HASH", ""], &rows)
    })
}

/// Prints how two versions differ: for people the first keys, as JSON every grain.
pub(super) async fn compare(
    global: &Global,
    node: &Node,
    slice: &SliceRow,
    compare: &Compare,
) -> Result<(), Failure> {
    if global.json {
        return every_difference(node, slice, compare).await;
    }
    let found = service::compare_of(node, slice.id, compare.from, compare.to)
        .await
        .map_err(|error| remedy(error, slice))?;
    output::write_line(&text(slice, &found))
}

async fn every_difference(node: &Node, slice: &SliceRow, compare: &Compare) -> Result<(), Failure> {
    let mut array = output::Array::default();
    let difference =
        service::differences(node, slice.id, compare.from, compare.to, |change| array.add(&change)).await?;
    for change in &difference.metadata {
        let (key, from, to) = (&change.key, &change.from, &change.to);
        array.add(&serde_json::json!({ "change": "metadata", "key": key, "from": from, "to": to }))?;
    }
    array.end()
}

/// What to do about a version that is none.
fn remedy(error: Error, slice: &SliceRow) -> Failure {
    match error {
        Error::NotFound(text) => Failure::failed(format!(
            "{} `sandpiper-primary slice versions \"{}\"` lists them",
            text.replace('.', ":"),
            slice.name
        )),
        other => other.into(),
    }
}

fn text(slice: &SliceRow, found: &Comparison) -> String {
    let mut lines = vec![format!(
        "\"{}\", version {} to {}: {} added, {} removed, {} replaced",
        slice.name, found.from, found.to, found.added.count, found.removed.count, found.replaced.count
    )];
    for (sign, keys) in [("+", &found.added), ("-", &found.removed), ("~", &found.replaced)] {
        lines.extend(shown(sign, keys));
    }
    for change in &found.metadata {
        let value = |value: &Option<String>| {
            value.as_ref().map_or("nothing".to_owned(), |value| format!("\"{}\"", output::escaped(value)))
        };
        let key = output::escaped(&change.key);
        lines.push(format!("  metadata {key}: {} to {}", value(&change.from), value(&change.to)));
    }
    lines.join("\n")
}

fn shown(sign: &str, keys: &Keys) -> Vec<String> {
    let mut lines: Vec<String> =
        keys.keys.iter().take(SHOWN_KEYS).map(|key| format!("  {sign} {}", output::escaped(key))).collect();
    let more = keys.count.saturating_sub(i64::try_from(lines.len()).unwrap_or(i64::MAX));
    if more > 0 {
        lines.push(format!("  {sign} … and {more} more: --json lists all"));
    }
    lines
}

/// Publishes an earlier version anew.
pub(super) async fn rollback(
    global: &Global,
    node: &Node,
    slice: &SliceRow,
    version: i64,
) -> Result<(), Failure> {
    let published = service::rollback_as(node, OPERATOR, slice.id, version)
        .await
        .map_err(|error| remedy(error, slice))?;
    output::print(global.json, &published, || {
        if published.changed {
            format!(
                "\"{}\" has the content of version {version} again: published as version {}",
                slice.name, published.version
            )
        } else {
            format!(
                "\"{}\" has the content of version {version} already (version {}): nothing published",
                slice.name, published.version
            )
        }
    })
}
