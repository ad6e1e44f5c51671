//! `apikey mint|list|revoke`.

use clap::{Args, Subcommand};
use shared::cli::{Failure, Global, output};
use shared::node::service::{api_key as service, company};

use super::{OPERATOR, ROLE};

/// Api-keys.
#[derive(Subcommand, Clone, Debug)]
pub enum ApiKey {
    /// Mint a new key for a company; its old key dies at once
    #[command(after_help = "Example: sandpiper-primary apikey mint --company 'Retail Parts'")]
    Mint(Company),
    /// List keys: when they were minted and last used, never the keys themselves
    #[command(after_help = "Example: sandpiper-primary apikey list")]
    List(OptionalCompany),
    /// End every key of a company at once
    #[command(after_help = "Example: sandpiper-primary apikey revoke --company 'Retail Parts'")]
    Revoke(Company),
}

/// A company.
#[derive(Args, Clone, Debug)]
pub struct Company {
    /// Whose key
    #[arg(long, value_name = "NAME|ID")]
    pub company: String,
}

/// A company, or all.
#[derive(Args, Clone, Debug)]
pub struct OptionalCompany {
    /// Whose keys [default: everybody's]
    #[arg(long, value_name = "NAME|ID")]
    pub company: Option<String>,
}

/// Runs `apikey …`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, command: ApiKey) -> Result<(), Failure> {
    let node = global.open(ROLE).await?.node;
    match command {
        ApiKey::Mint(Company { company }) => {
            let company = company::find(&node, company).await?;
            let key = service::mint_for(&node, company.id, OPERATOR).await?;
            output::print(global.json, &key, || {
                format!(
                    "api-key of \"{}\" (generation {}; shown once, the one before is dead):\n  primary_id    {}\n  sync_api_key  {}",
                    company.name, key.generation, key.primary_id, key.sync_api_key
                )
            })
        }
        ApiKey::List(OptionalCompany { company }) => {
            let company = match company {
                Some(company) => Some(company::find(&node, company).await?.id),
                None => None,
            };
            let keys = service::list_for(&node, company).await?;
            output::print(global.json, &keys, || {
                let time = |time: Option<shared::wire::Timestamp>| {
                    time.map_or("never".to_owned(), |t| t.to_string())
                };
                let rows: Vec<Vec<String>> = keys
                    .iter()
                    .map(|key| {
                        vec![
                            key.company_id.to_string(),
                            key.generation.to_string(),
                            key.state.clone(),
                            key.created_at.to_string(),
                            time(key.last_used_at),
                            key.created_by.clone(),
                        ]
                    })
                    .collect();
                output::table(&["COMPANY", "GENERATION", "STATE", "MINTED", "LAST USED", "BY"], &rows)
            })
        }
        ApiKey::Revoke(Company { company }) => {
            let company = company::find(&node, company).await?;
            let ended = service::revoke_for(&node, company.id, OPERATOR).await?;
            output::print(
                global.json,
                &serde_json::json!({ "company_id": company.id, "revoked": ended }),
                || match ended {
                    0 => format!("\"{}\" had no key", company.name),
                    _ => format!("the key of \"{}\" is dead", company.name),
                },
            )
        }
    }
}
