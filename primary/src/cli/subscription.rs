//! `sub add|list`.

use clap::{Args, Subcommand};
use shared::cli::{Failure, Global, output};
use shared::node::service::{company, slice, subscription as service};
use shared::store;
use shared::store::StoreError;
use shared::store::list::Selection;
use shared::wire::Id;
use shared::wire::subscription::CreateSubscription;

use super::ROLE;

/// Subscriptions.
#[derive(Subcommand, Clone, Debug)]
pub enum Subscription {
    /// Give a company a slice
    #[command(after_help = "Example: sandpiper-primary sub add --company 'Retail Parts' --slice brake-pads")]
    Add(Add),
    /// List subscriptions
    #[command(after_help = "Example: sandpiper-primary sub list --json")]
    List,
}

/// Options of `sub add`.
#[derive(Args, Clone, Debug)]
pub struct Add {
    /// Who gets it
    #[arg(long, value_name = "NAME|ID")]
    pub company: String,
    /// What
    #[arg(long, value_name = "NAME|ID")]
    pub slice: String,
    /// Its name [default: "COMPANY: SLICE"]
    #[arg(long)]
    pub name: Option<String>,
}

/// Runs `sub …`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, command: Subscription) -> Result<(), Failure> {
    let node = global.open(ROLE).await?.node;
    match command {
        Subscription::Add(add) => {
            let (company, slice) =
                (company::find(&node, add.company).await?, slice::find(&node, add.slice).await?);
            let body = CreateSubscription {
                id: Id::NIL,
                slice_id: slice.id,
                company_id: company.id,
                name: add.name.unwrap_or_else(|| format!("{}: {}", company.name, slice.name)),
                description: String::new(),
                active: true,
            };
            let sub = service::insert(&node, body).await?;
            output::print(global.json, &sub, || format!("\"{}\" now gets \"{}\"", company.name, slice.name))
        }
        Subscription::List => {
            let (rows, _total) = node
                .store
                .read(|conn| -> Result<_, StoreError> {
                    store::subscription::list(conn, None, &Selection::all(&store::subscription::COLUMNS))
                })
                .await?;
            let subs: Vec<_> = rows.into_iter().map(service::to_wire).collect();
            output::print(global.json, &subs, || {
                let rows: Vec<Vec<String>> = subs
                    .iter()
                    .map(|sub| {
                        let state = if sub.active { "active" } else { "inactive" };
                        vec![
                            sub.name.clone(),
                            state.to_owned(),
                            sub.company_id.to_string(),
                            sub.slice_id.to_string(),
                        ]
                    })
                    .collect();
                output::table(&["NAME", "STATE", "COMPANY", "SLICE"], &rows)
            })
        }
    }
}
