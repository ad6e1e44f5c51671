//! `apikey mint|list|inspect|revoke`.

use clap::{Args, Subcommand, ValueEnum};
use shared::cli::{Failure, Global, output};
use shared::crypto::Secret;
use shared::node::service::key_life::Terms;
use shared::node::service::mint::{self, Mint as MintOptions};
use shared::node::service::{api_key as service, company};
use shared::wire::api_key::{Format, MAX_EXPIRES_IN_DAYS, MAX_OVERLAP_SECONDS};
use shared::wire::network::Network;
use shared::wire::patch::Patch;

use super::{OPERATOR, ROLE, inspect};

/// Api-keys.
#[derive(Subcommand, Clone, Debug)]
pub enum ApiKey {
    /// Mint a new key for a company; its old key dies at once, unless --overlap keeps it for a while
    #[command(after_help = "Example: sandpiper-primary apikey mint --company 'Retail Parts'")]
    Mint(Mint),
    /// List keys: when they were minted and last used, never the keys themselves
    #[command(after_help = "Example: sandpiper-primary apikey list")]
    List(OptionalCompany),
    /// Say what an api-key is, without using it: reads it from standard input
    #[command(
        after_help = "Example: sandpiper-primary apikey inspect < key.txt\n\nA key that begins with spsk1_ is checked without a data folder. One in hex opens only with the ring that \
                      sealed it, and what became of a key only its database knows: name the primary's --data-dir."
    )]
    Inspect,
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
    /// Days until it ends by itself, or "never" [default: as the company's key before]
    #[arg(long, value_name = "DAYS|never")]
    expires: Option<String>,
    /// Network from which it may be used, as `192.0.2.0/24` or `2001:db8::7`, or "any"; may be given more than once [default: as
    /// the company's key before]
    #[arg(long, value_name = "NETWORK|any")]
    network: Vec<String>,
    /// How it is written [default: as the company's key before]
    #[arg(long, value_enum)]
    format: Option<KeyFormat>,
}

/// How a key is written.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum KeyFormat {
    /// Sealed, as the reference mints them
    Hex,
    /// spsk1_…, which scanners for secrets find
    Token,
}

fn expiry(text: &str) -> Result<Patch<u32>, Failure> {
    if text == "never" {
        return Ok(Patch::Null);
    }
    let days = text.parse().ok().filter(|days| (1..=MAX_EXPIRES_IN_DAYS).contains(days));
    let wrong =
        || Failure::usage(format!("--expires {text}: expected 1 to {MAX_EXPIRES_IN_DAYS} days, or never"));
    days.map(Patch::Value).ok_or_else(wrong)
}

impl Mint {
    fn terms(&self) -> Result<Terms, Failure> {
        let networks = match self.network.as_slice() {
            [] => Patch::Absent,
            [any] if any == "any" => Patch::Null,
            given => Patch::Value(
                given
                    .iter()
                    .map(|text| {
                        text.parse().map_err(|error| Failure::usage(format!("--network {text}: {error}")))
                    })
                    .collect::<Result<_, _>>()?,
            ),
        };
        let format = match self.format {
            None => Patch::Absent,
            Some(KeyFormat::Hex) => Patch::Value(Format::Hex),
            Some(KeyFormat::Token) => Patch::Value(Format::Token),
        };
        let expires_in_days = self.expires.as_deref().map(expiry).transpose()?.unwrap_or_default();
        Ok(Terms { expires_in_days, networks, format })
    }
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
    match command {
        ApiKey::Inspect => inspect::run(global).await,
        ApiKey::Mint(mint) => {
            let terms = mint.terms()?;
            let node = global.open(ROLE).await?.node;
            let Mint { company: Company { company }, overlap, idempotency_key, .. } = mint;
            let company = company::find(&node, company).await?;
            let options = MintOptions { idempotency_key, overlap_seconds: overlap, terms };
            let key = mint::mint_for(&node, company.id, OPERATOR, options).await?;
            output::print(global.json, &key, || {
                let before = match key.previous_valid_until {
                    None => "the one before is dead".to_owned(),
                    Some(until) => {
                        format!("the one before dies when this one logs in, at the latest {until}")
                    }
                };
                let mut lines = vec![
                    format!(
                        "api-key of \"{}\" (generation {}; shown once, {before}):",
                        company.name, key.generation
                    ),
                    format!("  primary_id    {}", key.primary_id),
                    format!("  sync_api_key  {}", key.sync_api_key),
                ];
                lines.extend(key.expires_at.map(|end| format!("  until         {end}")));
                if !key.networks.is_empty() {
                    lines.push(format!("  only from     {}", listed(&key.networks)));
                }
                lines.join("\n")
            })
        }
        ApiKey::List(OptionalCompany { company }) => {
            let node = global.open(ROLE).await?.node;
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
                            key.last_used_ip.clone().unwrap_or_default(),
                            match key.expires_at {
                                Some(end) if key.ending => format!("{end} (soon)"),
                                end => time(end),
                            },
                            if key.networks.is_empty() {
                                "anywhere".to_owned()
                            } else {
                                listed(&key.networks)
                            },
                            key.created_by.clone(),
                        ]
                    })
                    .collect();
                output::table(
                    &[
                        "COMPANY",
                        "GENERATION",
                        "STATE",
                        "MINTED",
                        "LAST USED",
                        "FROM",
                        "ENDS",
                        "ALLOWED FROM",
                        "BY",
                    ],
                    &rows,
                )
            })
        }
        ApiKey::Revoke(Company { company }) => {
            let node = global.open(ROLE).await?.node;
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

fn listed(networks: &[Network]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
