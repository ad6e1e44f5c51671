//! `cargo schemathesis`: has Schemathesis try both servers against the contract that they serve.
//!
//! Starts a pair on each database with data in it and runs `st` as the primary's admin, as the partner's machine user
//! and as the secondary's admin. `tests/schemathesis.toml` says what it must not expect, and why. Ends with `st`'s
//! verdict: 0 only if it found nothing.

#![allow(clippy::indexing_slicing, reason = "what stops it is shown")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use serde_json::{Value, json};
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, Pair, TestDatabase};

/// Tries both servers against the contract that they serve, on each database
#[derive(Parser)]
#[command(name = "schemathesis")]
struct Options {
    /// Its program; `pip install schemathesis==4.32.5` in a virtual environment makes it
    #[arg(long, value_name = "FILE", default_value = "st")]
    program: PathBuf,
    /// For everything together: with less phases would be left out, with more tokens would end
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(180..=1800))]
    seconds: u64,
    /// Cases for each operation
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    cases: u32,
    /// Another number, other cases
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut options = Options::parse();
    if options.program.components().count() > 1 {
        // It is started in another folder, where it leaves what it writes.
        options.program = std::path::absolute(&options.program)?;
    }
    let version = Command::new(&options.program).arg("--version").output().map_err(|error| {
        format!(
            "{}: {error}. Install it: python3 -m venv ENV && ENV/bin/pip install schemathesis==4.32.5, then --program \
             ENV/bin/st",
            options.program.display()
        )
    })?;
    eprint!("{}", String::from_utf8_lossy(&version.stdout));
    let (primaries, secondaries) = (TestDatabase::each("schemathesis"), TestDatabase::each("schemathesis"));
    // The admins get four times the partner's share: his operations are few.
    let share = options.seconds / (9 * u64::try_from(primaries.len())?);
    let mut failed = Vec::new();
    for (first, second) in primaries.into_iter().zip(secondaries) {
        let database = if first.text().starts_with("sqlite") { "SQLite" } else { "PostgreSQL" };
        let pair = Pair::start_on(first, second).await;
        fill(&pair).await?;
        let admin = json!({ "username": ADMIN.0, "password": ADMIN.1 });
        let machine = json!({ "sync-api-key": mint(&pair).await? });
        // He first: admins take partners away.
        for (who, url, login, share, only) in [
            ("a partner at the primary", &pair.primary.url, &machine, share, Some("Sync")),
            ("the primary's admin", &pair.primary.url, &admin, 4 * share, None),
            ("the secondary's admin", &pair.secondary.url, &admin, 4 * share, None),
        ] {
            println!("\n=== {database}: {who}, {share} s ===");
            let token = token(url, login).await?;
            if !attempt(&options, url, &token, share, only)? {
                failed.push(format!("{database}: {who}"));
            }
            // Nothing but 401 would pass too.
            let me = reqwest::Client::builder().no_proxy().build()?.get(format!("{url}/me"));
            if me.bearer_auth(&token).send().await?.status() != 200 {
                failed.push(format!("{database}: {who} was logged out meanwhile"));
            }
        }
        pair.primary.stop().await;
        pair.secondary.stop().await;
    }
    if failed.is_empty() {
        println!("\nSchemathesis found nothing.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nSchemathesis found something: {}", failed.join("; "));
    Ok(ExitCode::FAILURE)
}

/// Rows for every list, under the ids that the contract's examples name.
async fn fill(pair: &Pair) -> Result<()> {
    let admin = &pair.primary.admin;
    let company =
        json!({ "id": "20000000-0000-4000-8000-000000000000", "name": "An Example", "active": true });
    let _company: Value = admin.post("/v1/companies", &company).await?;
    let slice = json!({
        "id": "2bea8308-1840-4802-ad38-72b53e31594c", "name": "Brake Pads", "slice_type": "aces-file",
        "allow_sync": true, "metadata": { "vcdb-version": "2026-10-30" },
    });
    let _slice: Value = admin.post("/v1/slices", &slice).await?;
    let slice = "2bea8308-1840-4802-ad38-72b53e31594c".parse()?;
    for key in ["level-1", "level-2"] {
        pair.primary.add_grain(slice, key, "a payload").await;
        pair.primary.refresh(slice).await;
    }
    pair.primary.subscribe("Brake Pads", slice, pair.company).await;
    let tag: Value = admin.post("/v1/tags", &json!({ "name": "hot_items" })).await?;
    let assignment = format!("/v1/tags/{}/slices/{slice}", tag["id"]);
    admin.call(reqwest::Method::POST, &assignment).await?;
    pair.sync().await;
    Ok(())
}

/// Another key than the one that the secondary has, beside it.
async fn mint(pair: &Pair) -> Result<String> {
    let client = tests::node::login(&pair.primary.url, "companyadmin", COMPANY_ADMIN_PASSWORD).await;
    let minted: Value = client.post("/v1/apikey", &json!({ "overlap_seconds": 86_400 })).await?;
    Ok(minted["sync_api_key"].as_str().unwrap_or_default().to_owned())
}

async fn token(url: &str, login: &Value) -> Result<String> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let response = http.post(format!("{url}/login")).json(login).send().await?;
    let answer: Value = response.error_for_status()?.json().await?;
    Ok(answer["token"].as_str().unwrap_or_default().to_owned())
}

/// One run; whether it found nothing.
fn attempt(options: &Options, url: &str, token: &str, seconds: u64, only: Option<&str>) -> Result<bool> {
    let mut command = Command::new(&options.program);
    command
        .arg("--config-file")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis.toml"))
        .args(["run", &format!("{url}/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--max-time", &seconds.max(1).to_string()])
        .args(["--max-examples", &options.cases.to_string()])
        .args(["--seed", &options.seed.to_string()])
        .current_dir(std::env::temp_dir());
    if let Some(tag) = only {
        command.args(["--include-tag", tag]);
    }
    Ok(command.status()?.success())
}
