//! The command line of a primary.

mod add;
mod api_key;
mod company;
mod folder;
mod history;
mod inspect;
mod receivers;
mod slice;
mod subscription;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use shared::cli::{
    self, Failure, Global, account, backup, completions, import, init, keyring, list, migrate, recover,
    schema, secrets, serve,
};
use shared::wire::server::ServerRole;

const ROLE: ServerRole = ServerRole::Primary;

/// Publishes product data to partner companies and mints their api-keys
#[derive(Parser, Debug)]
#[command(
    name = "sandpiper-primary",
    version,
    propagate_version = true,
    after_help = "Example: sandpiper-primary init --data-dir /var/lib/sandpiper --name 'Better Brakes'"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a new primary in a data folder
    #[command(
        after_help = "Example: sandpiper-primary init --data-dir /var/lib/sandpiper --name 'Better Brakes'"
    )]
    Init(init::Init),
    /// Take over an installation of the reference: its database becomes this node
    #[command(
        after_help = "Example: sandpiper-primary import --from postgres://sandpiper@localhost/sandpiper --data-dir /var/lib/sandpiper\n\n\
                      APIKEY_SECRET and JWT_SECRET must be set to what the reference's settings file says."
    )]
    Import(import::Import),
    /// Serve partners and admins over HTTP
    #[command(
        after_help = "Example: sandpiper-primary serve --data-dir /var/lib/sandpiper --listen 127.0.0.1:8080"
    )]
    Serve(serve::Serve),
    /// Logins of people
    #[command(
        subcommand,
        after_help = "Example: sandpiper-primary account create -u anna --password-stdin < password.txt"
    )]
    Account(account::Account),
    /// Partner companies
    #[command(subcommand, after_help = "Example: sandpiper-primary company add 'Retail Parts'")]
    Company(company::Company),
    /// Slices: the units of subscription and sync
    #[command(subcommand, after_help = "Example: sandpiper-primary slice add brake-pads --type aces-file")]
    Slice(slice::Slice),
    /// Subscriptions of companies to slices
    #[command(
        subcommand,
        name = "sub",
        after_help = "Example: sandpiper-primary sub add --company 'Retail Parts' --slice brake-pads"
    )]
    Subscription(subscription::Subscription),
    /// Publish a file as the whole content of a slice, or a folder with a file for each slice
    #[command(
        after_help = "Example: sandpiper-primary add --slice brake-pads aces-2026-11.xml\n\n         A folder: sandpiper-primary add --create /srv/catalog"
    )]
    Add(add::Add),
    /// List slices, or the grains of one, as receivers see them
    #[command(after_help = "Example: sandpiper-primary list --slice brake-pads --full")]
    List(list::List),
    /// Api-keys of companies
    #[command(
        subcommand,
        name = "apikey",
        after_help = "Example: sandpiper-primary apikey mint --company 'Retail Parts'"
    )]
    ApiKey(api_key::ApiKey),
    /// Keys that seal api-keys and sign tokens
    #[command(subcommand, after_help = "Example: sandpiper-primary keyring rotate seal")]
    Keyring(keyring::Keyring),
    /// Print fresh secrets in the reference's formats
    #[command(after_help = "Example: sandpiper-primary secrets")]
    Secrets,
    /// Print the SQL that makes the tables
    #[command(after_help = "Example: sandpiper-primary schema --backend postgres")]
    Schema(schema::Schema),
    /// Copy the database into a file, while the server runs
    #[command(after_help = "Example: sandpiper-primary backup /backup/sandpiper.db")]
    Backup(backup::Backup),
    /// Go on with a database that was restored from a backup: what ended since ends again
    #[command(after_help = "Example: sandpiper-primary recover --accept-rollback")]
    Recover(recover::Recover),
    /// Print completions for a shell
    #[command(
        after_help = "Example: sandpiper-primary completions bash > /etc/bash_completion.d/sandpiper-primary"
    )]
    Completions(completions::Completions),
    /// Write manual pages into a folder
    #[command(after_help = "Example: sandpiper-primary man /usr/local/share/man/man1")]
    Man(completions::Man),
    /// Bring the database's schema up to date (every command does so by itself)
    #[command(after_help = "Example: sandpiper-primary migrate --data-dir /var/lib/sandpiper")]
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
        Command::Company(company) => company::run(&global, company).await,
        Command::Slice(slice) => slice::run(&global, slice).await,
        Command::Subscription(subscription) => subscription::run(&global, subscription).await,
        Command::Add(add) => add::run(&global, add).await,
        Command::List(list) => list::run(&global, list, ROLE).await,
        Command::ApiKey(api_key) => api_key::run(&global, api_key).await,
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

async fn run_server(global: &Global, serve: &serve::Serve) -> Result<(), Failure> {
    let opened = global.open(ROLE).await?;
    let options = serve.options(&opened.config, crate::DEFAULT_PORT)?;
    serve::tell_of_rollback(&opened.node);
    let running = crate::start(opened.node, options)?;
    serve::until_stopped(running, "sandpiper-primary").await
}

/// Who a command acts as in records: the operator at this machine.
const OPERATOR: &str = "command line";

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
