//! `apikey mint|list|revoke`.

use clap::{Args, Subcommand};
use shared::cli::{Failure, Global, output};
use shared::crypto::Secret;
use shared::node::service::mint::{self, Mint as MintOptions};
use shared::node::service::{api_key as service, company};
use shared::wire::api_key::MAX_OVERLAP_SECONDS;

use super::{OPERATOR, ROLE};

/// Api-keys.
#[derive(Subcommand, Clone, Debug)]
pub enum ApiKey {
    /// Mint a new key for a company; its old key dies at once, unless --overlap keeps it for a while
    #[command(after_help = "Example: sandpiper-primary apikey mint --company 'Retail Parts'")]
    Mint(Mint),
    /// List keys: when they were minted and last used, never the keys themselves
    #[command(after_help = "Example: sandpiper-primary apikey list")]
    List(OptionalCompany),
    /// End every key of a company at once
    #[command(after_help = "Example: sandpiper-primary apikey revoke --company 'Retail Parts'")]
    Revoke(Company),
}

/// Options of `apikey mint`.
#[derive(Args, Clone, Debug)]
pub struct Mint {
    #[command(flatten)]
    company: Company,
    /// Keep the old key until the new one first logs in, at most this long
    #[arg(long, value_name = "SECONDS", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_OVERLAP_SECONDS)))]
    overlap: u32,
    /// Give the same key again when the command is repeated with the same TEXT within 24 hours
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<Secret>,
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
        ApiKey::Mint(Mint { company: Company { company }, overlap, idempotency_key }) => {
            let company = company::find(&node, company).await?;
            let options = MintOptions { idempotency_key, overlap_seconds: overlap };
            let key = mint::mint_for(&node, company.id, OPERATOR, options).await?;
            output::print(global.json, &key, || {
                let before = match key.previous_valid_until {
                    None => "the one before is dead".to_owned(),
                    Some(until) => {
                        format!("the one before dies when this one logs in, at the latest {until}")
                    }
                };
                format!(
                    "api-key of \"{}\" (generation {}; shown once, {before}):\n  primary_id    {}\n  sync_api_key  {}",
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
