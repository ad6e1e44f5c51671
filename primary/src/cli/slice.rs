//! `slice add|list|lock|unlock|receivers|versions|compare|rollback`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use shared::cli::{Failure, Global, find_slice, output};
use shared::node::service::slice as service;
use shared::store;
use shared::store::StoreError;
use shared::store::list::Selection;
use shared::store::slice::Tagged;
use shared::wire::Id;
use shared::wire::slice::{CreateSlice, SLICE_TYPES};

use super::{OPERATOR, ROLE, history, receivers};

/// Slices.
#[derive(Subcommand, Clone, Debug)]
pub enum Slice {
    /// Add an empty slice
    #[command(
        after_help = "Example: sandpiper-primary slice add brake-pads --type aces-file --metadata vcdb-version=2026-10-31"
    )]
    Add(Add),
    /// List slices with their published version
    #[command(after_help = "Example: sandpiper-primary slice list --json")]
    List,
    /// Close a slice for sync while you edit it (for an hour at most)
    #[command(after_help = "Example: sandpiper-primary slice lock brake-pads")]
    Lock(Which),
    /// Open it again
    #[command(after_help = "Example: sandpiper-primary slice unlock brake-pads")]
    Unlock(Which),
    /// List who subscribes to a slice, and which version each has
    #[command(after_help = "Example: sandpiper-primary slice receivers brake-pads")]
    Receivers(Which),
    /// List the published versions of a slice, newest first
    #[command(after_help = "Example: sandpiper-primary slice versions brake-pads")]
    Versions(Which),
    /// Show how two versions of a slice differ, by the keys of their grains
    #[command(after_help = "Example: sandpiper-primary slice compare brake-pads 3 5")]
    Compare(history::Compare),
    /// Publish an earlier version anew, as the next one
    #[command(after_help = "Example: sandpiper-primary slice rollback brake-pads 3")]
    Rollback(history::Rollback),
}

/// Options of `slice add`.
#[derive(Args, Clone, Debug)]
pub struct Add {
    /// Its name, unique ignoring case
    pub name: String,
    /// What it holds
    #[arg(long = "type", value_name = "TYPE", default_value = "aces-file", value_parser = SLICE_TYPES)]
    pub slice_type: String,
    /// Its id [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub id: Option<Id>,
    /// A key and value to tell receivers, as often as needed
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub metadata: Vec<(String, String)>,
}

/// A slice by name or id.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// Its name or id
    #[arg(value_name = "NAME|ID")]
    pub slice: String,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// Runs `slice …`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, command: Slice) -> Result<(), Failure> {
    let node = global.open(ROLE).await?.node;
    match command {
        Slice::Add(add) => {
            let body = CreateSlice {
                id: add.id.unwrap_or_default(),
                name: add.name,
                slice_type: add.slice_type,
                allow_sync: true,
                metadata: add.metadata.into_iter().collect::<BTreeMap<_, _>>(),
            };
            let slice = service::insert(&node, body).await?;
            output::print(global.json, &slice, || {
                format!("added slice \"{}\" ({})", slice.slice_name, slice.id)
            })
        }
        Slice::List => {
            let now = node.clock.now();
            let (views, _total) = node
                .store
                .read(|conn| -> Result<_, StoreError> {
                    store::slice::list(
                        conn,
                        None,
                        &Tagged::default(),
                        &Selection::all(&store::slice::COLUMNS),
                    )
                })
                .await?;
            let bytes: Vec<i64> = views.iter().map(|view| view.1.payload_bytes).collect();
            let slices: Vec<_> = views.into_iter().map(|view| service::to_wire(view, now)).collect();
            output::print(global.json, &slices, || {
                let rows: Vec<Vec<String>> = slices
                    .iter()
                    .zip(&bytes)
                    .map(|(slice, bytes)| {
                        vec![
                            slice.slice_name.clone(),
                            slice.slice_type.clone(),
                            slice.version.as_ref().map_or(0, |version| version.number).to_string(),
                            slice.content_count.to_string(),
                            output::size(*bytes),
                            if slice.allow_sync { "open" } else { "locked" }.to_owned(),
                            slice.id.to_string(),
                        ]
                    })
                    .collect();
                output::table(&["NAME", "TYPE", "VERSION", "GRAINS", "SIZE", "STATE", "ID"], &rows)
            })
        }
        Slice::Lock(which) => set_lock(global, &node, which, false).await,
        Slice::Unlock(which) => set_lock(global, &node, which, true).await,
        Slice::Receivers(which) => {
            receivers::run(global, &node, &find_slice(&node, which.slice).await?).await
        }
        Slice::Versions(which) => {
            history::versions(global, &node, &find_slice(&node, which.slice).await?).await
        }
        Slice::Compare(compare) => {
            let slice = find_slice(&node, compare.slice.clone()).await?;
            history::compare(global, &node, &slice, &compare).await
        }
        Slice::Rollback(rollback) => {
            let slice = find_slice(&node, rollback.slice).await?;
            history::rollback(global, &node, &slice, rollback.back_to).await
        }
    }
}

async fn set_lock(
    global: &Global,
    node: &shared::node::Node,
    which: Which,
    open: bool,
) -> Result<(), Failure> {
    let slice = find_slice(node, which.slice).await?;
    if open {
        // Whoever is at this machine may end anybody's lock.
        service::unlock_as(node, None, slice.id).await?;
    } else {
        service::lock_as(node, OPERATOR, slice.id).await?;
    }
    let state = if open { "open" } else { "locked" };
    output::print(global.json, &serde_json::json!({ "slice_id": slice.id, "state": state }), || {
        format!("slice \"{}\" is {state}", slice.name)
    })
}
