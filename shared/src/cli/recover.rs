//! `recover`: goes on with a database that was restored from a backup.

use clap::Args;
use serde::Serialize;

use super::{Failure, Global, output};
use crate::node::service::recover::{self, Recovered};
use crate::wire::server::ServerRole;

/// Options of `recover`.
#[derive(Args, Clone, Debug)]
pub struct Recover {
    /// Accept that what was written since the backup is lost
    #[arg(long)]
    pub accept_rollback: bool,
}

#[derive(Serialize)]
struct Done {
    recovered: bool,
    #[serde(flatten)]
    what: Recovered,
}

/// Runs `recover`.
///
/// # Errors
/// Usage (2) without the flag, if there is something to recover; what the database met.
pub async fn run(global: &Global, options: &Recover, role: ServerRole) -> Result<(), Failure> {
    let node = global.open(role).await?.node;
    if !options.accept_rollback && node.store.require_current().is_err() {
        return Err(Failure::usage(
            "the database is older than what this node remembers. Restore a newer copy of it, if there is one. Else stop the \
             server and give --accept-rollback: api-keys, users, passwords, companies and subscriptions that ended since end \
             again, everybody is logged out, slices that were published since are closed until somebody opens them, and \
             what else was written since is lost",
        ));
    }
    let recovered = recover::recover(&node).await?;
    let done = Done { recovered: recovered.is_some(), what: recovered.clone().unwrap_or_default() };
    output::print(global.json, &done, || match &recovered {
        Some(recovered) => text(recovered),
        None => "nothing to recover: the database knows all that this node remembers".to_owned(),
    })
}

fn text(done: &Recovered) -> String {
    let mut lines = vec![format!(
        "recovered: {} ended, and no number of a key or version that was given out since the backup is used again",
        match done.logins_ended {
            1 => "one login was".to_owned(),
            many => format!("{many} logins were"),
        }
    )];
    let lists = [
        (&done.companies_without_key, "keys ended; the partner must connect again"),
        (&done.companies_switched_off, "companies switched off"),
        (&done.users_switched_off, "users switched off"),
        (&done.passwords_to_set, "passwords to be set: `account password USER`"),
        (&done.subscriptions_switched_off, "subscriptions switched off"),
        (&done.slices_closed, "slices closed for sync: publish them again, then unlock them"),
    ];
    for (names, what) in lists.into_iter().filter(|(names, _what)| !names.is_empty()) {
        let names: Vec<String> = names.iter().map(|name| output::escaped(name)).collect();
        lines.push(format!("  {what}: {}", names.join(", ")));
    }
    if !done.ring_keys_retired.is_empty() {
        lines.push(format!("  ring keys retired: {}", done.ring_keys_retired.join(", ")));
    }
    lines.push(
        "what was added since the backup is lost: companies, users and keys must be added again".to_owned(),
    );
    lines.join("\n")
}
