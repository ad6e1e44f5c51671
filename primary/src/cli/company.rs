//! `company add|list`.

use clap::{Args, Subcommand};
use shared::cli::{Failure, Global, output};
use shared::node::service::company as service;
use shared::store;
use shared::store::StoreError;
use shared::store::list::Selection;
use shared::wire::Id;
use shared::wire::company::CreateCompany;

use super::ROLE;

/// Partner companies.
#[derive(Subcommand, Clone, Debug)]
pub enum Company {
    /// Add a partner
    #[command(after_help = "Example: sandpiper-primary company add 'Retail Parts'")]
    Add(Add),
    /// List partners
    #[command(after_help = "Example: sandpiper-primary company list --json")]
    List,
}

/// Options of `company add`.
#[derive(Args, Clone, Debug)]
pub struct Add {
    /// Its name, unique ignoring case
    pub name: String,
    /// Its id: the server id of its secondary, if it has one already [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub id: Option<Id>,
}

/// Runs `company …`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, command: Company) -> Result<(), Failure> {
    let node = global.open(ROLE).await?.node;
    match command {
        Company::Add(add) => {
            let body = CreateCompany {
                id: add.id.unwrap_or_default(),
                name: add.name,
                sync_addr: String::new(),
                active: true,
                sync_api_key: None,
            };
            let company = service::insert(&node, service::new_row(&node, &body)?).await?;
            output::print(global.json, &company, || format!("added \"{}\" ({})", company.name, company.id))
        }
        Company::List => {
            let (rows, _total) = node
                .store
                .read(|conn| -> Result<_, StoreError> {
                    store::company::list(conn, None, &Selection::all(&store::company::COLUMNS))
                })
                .await?;
            let own = node.server_id();
            let companies: Vec<_> = rows.into_iter().map(|row| service::to_wire(row, None)).collect();
            output::print(global.json, &companies, || {
                let rows: Vec<Vec<String>> = companies
                    .iter()
                    .map(|company| {
                        let state = match (company.id == own, company.active) {
                            (true, _) => "this server",
                            (false, true) => "active",
                            (false, false) => "inactive",
                        };
                        vec![company.name.clone(), company.id.to_string(), state.to_owned()]
                    })
                    .collect();
                output::table(&["NAME", "ID", "STATE"], &rows)
            })
        }
    }
}
