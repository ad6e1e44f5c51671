//! `keyring list|prepare|activate|rotate|retire`: the keys that seal api-keys and sign tokens, on both servers.

use clap::{Args, Subcommand, ValueEnum};

use super::{Failure, Global, output};
use crate::crypto::keyring::Purpose;
use crate::node::permission::By;
use crate::node::service::keyring as service;
use crate::wire::Timestamp;
use crate::wire::keyring::RingKey;
use crate::wire::server::ServerRole;

/// Key rings.
#[derive(Subcommand, Clone, Debug)]
pub enum Keyring {
    /// List the keys, and how many partners' api-keys each has sealed
    #[command(after_help = "Example: keyring list")]
    List,
    /// Add a key that is not in use yet
    #[command(after_help = "Example: keyring prepare jwt")]
    Prepare(Ring),
    /// Let a prepared key seal or sign; the one before goes on opening or verifying
    #[command(after_help = "Example: keyring activate j1")]
    Activate(Key),
    /// Prepare a key and activate it
    #[command(after_help = "Example: keyring rotate jwt")]
    Rotate(Ring),
    /// End a key: what it sealed or signed is refused from now on
    #[command(after_help = "Example: keyring retire j0")]
    Retire(Retire),
}

/// Which ring.
#[derive(Args, Clone, Debug)]
pub struct Ring {
    /// Which ring
    #[arg(value_name = "RING")]
    ring: RingName,
}

/// As it is written.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum RingName {
    /// Keys that seal api-keys; on a primary
    Seal,
    /// Keys that sign tokens
    Jwt,
}

impl From<RingName> for Purpose {
    fn from(name: RingName) -> Self {
        match name {
            RingName::Seal => Self::Seal,
            RingName::Jwt => Self::Jwt,
        }
    }
}

/// Which key.
#[derive(Args, Clone, Debug)]
pub struct Key {
    /// Its id, as `keyring list` shows it
    #[arg(value_name = "ID")]
    id: String,
}

/// Options of `keyring retire`.
#[derive(Args, Clone, Debug)]
pub struct Retire {
    #[command(flatten)]
    key: Key,
    /// Even if partners are cut off, who must connect again
    #[arg(long)]
    force: bool,
}

/// Runs `keyring …`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, command: Keyring, role: ServerRole) -> Result<(), Failure> {
    let node = global.open(role).await?.node;
    let by = By::Operator;
    let (done, what) = match command {
        Keyring::List => {
            let keys = service::list(&node, by).await?;
            return output::print(global.json, &keys, || table(&keys));
        }
        Keyring::Prepare(Ring { ring }) => (
            service::prepare(&node, by, ring.into()).await?,
            "is prepared: `keyring activate` lets it take over",
        ),
        Keyring::Activate(Key { id }) => (service::activate(&node, by, id).await?, "is the active one now"),
        Keyring::Rotate(Ring { ring }) => (
            service::rotate(&node, by, ring.into()).await?,
            "is the active one now; the one before is still good",
        ),
        Keyring::Retire(Retire { key: Key { id }, force }) => (
            service::retire(&node, by, id, force).await?,
            "is retired: what it sealed or signed is refused from now on",
        ),
    };
    output::print(global.json, &done, || format!("key {} {what}", done.id))
}

fn table(keys: &[RingKey]) -> String {
    let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            vec![
                key.id.clone(),
                key.purpose.clone(),
                key.state.clone(),
                key.created_at.to_string(),
                time(key.activated_at),
                time(key.superseded_at.or(key.retired_at)),
                key.seals.to_string(),
                partners(key),
            ]
        })
        .collect();
    let head = ["KEY", "RING", "STATE", "MADE", "ACTIVE SINCE", "UNTIL", "SEALED", "CUT OFF IF RETIRED"];
    output::table(&head, &rows)
}

/// A few by name; `--json` has them all.
fn partners(key: &RingKey) -> String {
    const NAMED: usize = 3;
    if key.purpose == Purpose::Jwt.as_str() {
        return "-".to_owned();
    }
    let names: Vec<String> =
        key.partners.iter().take(NAMED).map(|partner| output::escaped(&partner.company_name)).collect();
    match usize::try_from(key.partner_count).unwrap_or(usize::MAX) {
        0 => "nobody".to_owned(),
        count if count > names.len() => format!("{} and {} more", names.join(", "), count - names.len()),
        _ => names.join(", "),
    }
}
