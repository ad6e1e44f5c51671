//! `connect`: the one step that a person does for a new primary.

use std::path::Path;

use clap::Args;
use shared::cli::{Failure, Global, output, prompt};
use shared::wire::connection;

use crate::service::connect as service;

/// Options of `connect`.
#[derive(Args, Clone, Debug)]
pub struct Connect {
    /// Base URL of the primary
    #[arg(value_name = "PRIMARY_URL")]
    pub url: String,
    /// Your company's admin at the primary
    #[arg(short, long, value_name = "NAME")]
    pub username: Option<String>,
    /// Read his password from standard input [default: ask]
    #[arg(long)]
    pub password_stdin: bool,
    /// The primary is known here under another address, and has really moved
    #[arg(long)]
    pub moved: bool,
    /// What to call it here [default: what it calls itself, else its host]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Runs `connect`.
///
/// # Errors
/// A sentence and its exit code.
pub async fn run(global: &Global, connect: Connect) -> Result<(), Failure> {
    let (secondary, _config) = super::open(global).await?;
    let username = prompt::text(connect.username, "user name at the primary", "--username")?;
    let password =
        prompt::password(connect.password_stdin, "password there (not stored)", "--password-stdin")?;
    let Connect { url, moved, name, .. } = connect;
    let body = connection::Connect { url, username, password, moved, name };
    let connected = service::connect(&secondary, body).await?;
    output::print(global.json, &connected, || {
        let mut lines = vec![
            format!(
                "connected to \"{}\" ({}) as company {}",
                connected.name, connected.id, connected.company_id
            ),
            "the api-key is stored and has logged in; an earlier key is dead".to_owned(),
        ];
        match connected.subscriptions.len() {
            0 => lines.push("no subscriptions yet: ask the publisher for some".to_owned()),
            count => lines.push(format!("{count} subscription(s):")),
        }
        lines.extend(
            connected
                .subscriptions
                .iter()
                .map(|sub| format!("  {}{}", sub.slice, if sub.active { "" } else { "   (inactive)" })),
        );
        let data_dir = global.data_dir.as_deref().unwrap_or(Path::new(".")).display();
        lines.push(format!("next: sandpiper-secondary sync \"{}\" --data-dir {data_dir}", connected.name));
        lines.join("\n")
    })
}
