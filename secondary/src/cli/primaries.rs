//! `primaries`: who we sync with, and how it went.

use shared::cli::{Failure, Global, output};
use shared::wire::Timestamp;

use crate::service::partner;

/// Runs `primaries`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global) -> Result<(), Failure> {
    let (secondary, _config) = super::open(global).await?;
    let primaries = partner::list(&secondary).await?;
    output::print(global.json, &primaries, || {
        if primaries.is_empty() {
            return "no primaries yet: sandpiper-secondary connect PRIMARY_URL --username NAME".to_owned();
        }
        let time = |time: Option<Timestamp>| time.map_or("never".to_owned(), |time| time.to_string());
        let rows: Vec<Vec<String>> = primaries
            .iter()
            .map(|primary| {
                vec![
                    primary.name.clone(),
                    primary.sync_addr.clone(),
                    key(primary),
                    primary.last_run.clone().unwrap_or_else(|| "-".to_owned()),
                    time(primary.last_run_at),
                    primary.last_error.clone().unwrap_or_default(),
                    primary.id.to_string(),
                ]
            })
            .collect();
        output::table(&["NAME", "ADDRESS", "KEY", "LAST SYNC", "AT", "ERROR", "ID"], &rows)
    })
}

fn key(primary: &partner::Primary) -> String {
    match primary.key_expires_at {
        _ if !primary.has_api_key => "none".to_owned(),
        None => "stored".to_owned(),
        Some(end) if primary.key_ending => format!("ends {end}: rotate it"),
        Some(end) => format!("until {end}"),
    }
}
