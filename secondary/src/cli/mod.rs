//! The command line of a secondary.

mod connect;
mod primaries;
mod pull;
mod rotate;
mod runs;
mod schedule;
mod sync;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser, Subcommand};
use shared::cli::{
    self, Failure, Global, account, backup, completions, import, init, keyring, list, migrate, recover,
    schema, secrets, serve,
};
use shared::node::Error;
use shared::wire::server::ServerRole;

use crate::schedule::Scheduler;
use crate::{Secondary, Settings};

const ROLE: ServerRole = ServerRole::Secondary;

/// Keeps exact copies of the slices that its company subscribes to
#[derive(Parser, Debug)]
#[command(
    name = "sandpiper-secondary",
    version,
    propagate_version = true,
    after_help = "Example: sandpiper-secondary init --data-dir /var/lib/sandpiper --name 'Retail Parts'"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a new secondary in a data folder
    #[command(
        after_help = "Example: sandpiper-secondary init --data-dir /var/lib/sandpiper --name 'Retail Parts'"
    )]
    Init(init::Init),
    /// Take over an installation of the reference: its database becomes this node
    #[command(
        after_help = "Example: sandpiper-secondary import --from postgres://sandpiper@localhost/sandpiper --data-dir /var/lib/sandpiper\n\n\
                      JWT_SECRET must be set to what the reference's settings file says."
    )]
    Import(import::Import),
    /// Serve admins and cron over HTTP
    #[command(
        after_help = "Example: sandpiper-secondary serve --data-dir /var/lib/sandpiper --listen 127.0.0.1:8081"
    )]
    Serve(serve::Serve),
    /// Logins of people
    #[command(
        subcommand,
        after_help = "Example: sandpiper-secondary account create -u anna --password-stdin < password.txt"
    )]
    Account(account::Account),
    /// Connect to a primary: log in there as company admin, mint a key, store and prove it (again: a new key)
    #[command(
        after_help = "Example: sandpiper-secondary connect https://data.better-brakes.example --username companyadmin"
    )]
    Connect(connect::Connect),
    /// Renew the api-key of primaries without a person: the old key asks for the new one, and dies when that logs in
    #[command(
        after_help = "Example: sandpiper-secondary rotate 'Better Brakes'   (from cron: 75 means try again later)"
    )]
    Rotate(rotate::Rotate),
    /// Sync with primaries
    #[command(after_help = "Example: sandpiper-secondary sync --all   (from cron: 75 means try again later)")]
    Sync(sync::Sync),
    /// Runs of syncs: what they did, how far they are
    #[command(after_help = "Example: sandpiper-secondary runs show 2bea8308-1840-4802-ad38-72b53e31594c")]
    Runs(runs::Runs),
    /// When the server syncs by itself
    #[command(
        subcommand,
        after_help = "Example: sandpiper-secondary schedule set 'Better Brakes' --cron '15 2 * * *' --zone Europe/Berlin"
    )]
    Schedule(schedule::Schedule),
    /// List primaries and how their last sync went
    #[command(after_help = "Example: sandpiper-secondary primaries")]
    Primaries,
    /// List slices, or the grains of one, as they were received
    #[command(after_help = "Example: sandpiper-secondary list --slice brake-pads --full")]
    List(list::List),
    /// Write received files into a folder
    #[command(after_help = "Example: sandpiper-secondary pull --slice brake-pads /srv/catalog")]
    Pull(pull::Pull),
    /// Keys that sign tokens
    #[command(subcommand, after_help = "Example: sandpiper-secondary keyring rotate jwt")]
    Keyring(keyring::Keyring),
    /// Print fresh secrets in the reference's formats
    #[command(after_help = "Example: sandpiper-secondary secrets")]
    Secrets,
    /// Print the SQL that makes the tables
    #[command(after_help = "Example: sandpiper-secondary schema --backend postgres")]
    Schema(schema::Schema),
    /// Copy the database into a file, while the server runs
    #[command(after_help = "Example: sandpiper-secondary backup /backup/sandpiper.db")]
    Backup(backup::Backup),
    /// Go on with a database that was restored from a backup: what ended since ends again
    #[command(after_help = "Example: sandpiper-secondary recover --accept-rollback")]
    Recover(recover::Recover),
    /// Print completions for a shell
    #[command(
        after_help = "Example: sandpiper-secondary completions bash > /etc/bash_completion.d/sandpiper-secondary"
    )]
    Completions(completions::Completions),
    /// Write manual pages into a folder
    #[command(after_help = "Example: sandpiper-secondary man /usr/local/share/man/man1")]
    Man(completions::Man),
    /// Bring the database's schema up to date (every command does so by itself)
    #[command(after_help = "Example: sandpiper-secondary migrate --data-dir /var/lib/sandpiper")]
    Migrate,
}

/// Parses the command line and runs one command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let serves = matches!(cli.command, Command::Serve(_));
    cli::run_command(&cli.global.clone(), serves, || run(cli))
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let global = cli.global;
    match cli.command {
        Command::Init(init) => init::run(&global, init, ROLE).await,
        Command::Import(import) => import::run(&global, &import, ROLE).await,
        Command::Serve(serve) => run_server(&global, &serve).await,
        Command::Account(account) => account::run(&global, account, ROLE).await,
        Command::Connect(connect) => connect::run(&global, connect).await,
        Command::Rotate(rotate) => rotate::run(&global, &rotate).await,
        Command::Sync(sync) => sync::run(&global, sync).await,
        Command::Runs(runs) => runs::run(&global, runs).await,
        Command::Schedule(schedule) => schedule::run(&global, schedule).await,
        Command::Primaries => primaries::run(&global).await,
        Command::List(list) => list::run(&global, list, ROLE).await,
        Command::Pull(pull) => pull::run(&global, pull).await,
        Command::Keyring(keyring) => keyring::run(&global, keyring, ROLE).await,
        Command::Secrets => secrets::run(global.json),
        Command::Schema(options) => schema::run(&global, &options),
        Command::Backup(options) => backup::run(&global, options, ROLE).await,
        Command::Recover(options) => recover::run(&global, &options, ROLE).await,
        Command::Completions(options) => completions::completions(Cli::command(), &options),
        Command::Man(options) => completions::man(&global, Cli::command(), &options),
        Command::Migrate => migrate::run(&global).await,
    }
}

async fn open(global: &Global) -> Result<(Arc<Secondary>, shared::server::config::ConfigFile), Failure> {
    let opened = global.open(ROLE).await?;
    let settings = Settings::of(&opened.config)?;
    let secondary = Secondary::new(opened.node, &opened.root_key, settings).map_err(Error::from)?;
    Ok((Arc::new(secondary), opened.config))
}

async fn run_server(global: &Global, serve: &serve::Serve) -> Result<(), Failure> {
    let (secondary, config) = open(global).await?;
    let options = serve.options(&config, crate::DEFAULT_PORT)?;
    serve::tell_of_rollback(&secondary.node);
    let running = crate::start(Arc::clone(&secondary), options)?;
    let scheduler = tokio::spawn(Scheduler::new(secondary).keep_on());
    let ended = serve::until_stopped(running, "sandpiper-secondary").await;
    // Nothing begins any more; what runs is cut off, and the next run goes on with it.
    scheduler.abort();
    ended
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_that_it_takes() {
        let lacking = shared::cli::completions::without_good_example(&super::Cli::command());
        assert!(lacking.is_empty(), "{lacking:#?}");
    }
}
