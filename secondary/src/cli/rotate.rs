//! `rotate`: a new api-key without a person, for cron.

use clap::Args;
use shared::cli::{Failure, Global, output};
use shared::node::Error;

use crate::service::{partner, rotate as service};

/// Options of `rotate`.
#[derive(Args, Clone, Debug)]
pub struct Rotate {
    /// Whose key, by name or id
    #[arg(value_name = "PRIMARY_ID|NAME")]
    pub primary: String,
}

/// Runs `rotate`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, rotate: &Rotate) -> Result<(), Failure> {
    let (secondary, _config) = super::open(global).await?;
    let primary = partner::find(&secondary, &rotate.primary).await.map_err(|error| match error {
        Error::NotFound(_) => partner_unknown(&rotate.primary),
        other => other.into(),
    })?;
    let rotated = service::rotate(&secondary, primary.id).await?;
    output::print(global.json, &rotated, || {
        format!(
            "\"{}\": key {} (generation {}) is stored and has logged in; the one before is dead",
            rotated.name, rotated.key_id, rotated.generation
        )
    })
}

/// What to do about a name that is none.
pub(super) fn partner_unknown(name: &str) -> Failure {
    Failure::failed(format!(
        "there is no primary \"{name}\" here: `sandpiper-secondary primaries` lists them"
    ))
}
