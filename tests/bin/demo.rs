//! `cargo demo`: builds the pair, runs its main job on real input, tells what happened and how to look at it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use shared::client::Client;
use shared::server::tls;
use shared::wire::Id;
use tests::binaries::Programs;
use tests::node::{all_grains, login};
use tests::sample::{AcesFile, pies_items};

/// Runs a primary and a secondary on this machine and shows a publication, its syncs and a key rotation
#[derive(Parser)]
#[command(name = "demo")]
struct Options {
    /// Exit when done instead of leaving the servers up
    #[arg(long)]
    check: bool,
    /// Keep the data in this folder (must be empty or new)
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ADMIN_PASSWORD: &str = "violet-otter-marble-42";
const PARTNER_PASSWORD: &str = "granite-lemon-tulip-7";

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    say("building the two servers …")?;
    let programs = Programs::build()?;
    let scratch = tempfile::Builder::new().prefix("sandpiper-demo-").tempdir()?;
    let folder = match &options.keep {
        Some(folder) => {
            fs::create_dir_all(folder)?;
            if fs::read_dir(folder)?.next().is_some() {
                return Err(
                    format!("{} is not empty: name a new folder with --keep", folder.display()).into()
                );
            }
            folder.canonicalize()?
        }
        None => scratch.path().to_owned(),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    tls::install_provider();
    let demo = Demo::start(programs, folder)?;
    runtime.block_on(demo.story())?;
    if options.check {
        return Ok(());
    }
    demo.explore(options.keep.is_some())?;
    say("\nPress Enter to stop both servers.")?;
    // Without a terminal this reads the end of input at once.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Starts `serve` on a free port and waits until it says where.
    fn start(program: &Path, data_dir: &Path) -> Result<Self> {
        let log = fs::File::create(data_dir.with_extension("log"))?;
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let url = line.split_whitespace().find(|word| word.starts_with("http")).map(str::to_owned);
        if let Some(url) = url {
            Ok(Self { child, url })
        } else {
            let mut log = String::new();
            fs::File::open(data_dir.with_extension("log"))?.read_to_string(&mut log)?;
            Err(format!("{} did not start: {log}", program.display()).into())
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already or stopping now: either is the end of it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

struct Demo {
    programs: Programs,
    folder: PathBuf,
    primary: Server,
    secondary: Server,
}

impl Demo {
    fn start(programs: Programs, folder: PathBuf) -> Result<Self> {
        let (first, second) = (folder.join("primary"), folder.join("secondary"));
        for (program, dir, name) in
            [(&programs.primary, &first, "Better Brakes"), (&programs.secondary, &second, "Retail Parts")]
        {
            let mut command = Command::new(program);
            command.args(["init", "--admin-password-stdin", "--name", name, "--data-dir"]).arg(dir);
            output_of(&mut command, Some(ADMIN_PASSWORD))?;
        }
        let primary = Server::start(&programs.primary, &first)?;
        let secondary = Server::start(&programs.secondary, &second)?;
        Ok(Self { programs, folder, primary, secondary })
    }

    fn primary_command(&self, args: &[&str]) -> Result<Value> {
        command_json(&self.programs.primary, &self.folder.join("primary"), args, None)
    }

    fn secondary_command(&self, args: &[&str], input: Option<&str>) -> Result<Value> {
        command_json(&self.programs.secondary, &self.folder.join("secondary"), args, input)
    }

    async fn story(&self) -> Result<()> {
        say(&format!("\nA publisher, \"Better Brakes\", serves {}", self.primary.url))?;
        say(&format!("A receiver,  \"Retail Parts\",  serves {}\n", self.secondary.url))?;
        let admin = login(&self.primary.url, "admin", ADMIN_PASSWORD).await;
        let receiver = login(&self.secondary.url, "admin", ADMIN_PASSWORD).await;

        say("1. The publisher adds his partner, with an admin of its own, and two slices:")?;
        let (file_slice, item_slice) = self.set_up(&admin).await?;

        say("2. The receiver connects once: logs in as that admin, mints an api-key, stores it, proves it.")?;
        let start = Instant::now();
        let connected = self.connect()?;
        say(&format!("   key stored under primary {} ({})", text(&connected, "id"), took(start)))?;

        say("3. First sync (from now on nobody needs a password):")?;
        self.sync()?;
        self.compare(&admin, &receiver, file_slice, item_slice).await?;

        say("4. Nothing changed, so the next sync moves nothing:")?;
        self.sync()?;

        say("5. The publisher releases next month's file and edits some items:")?;
        self.publish_file(1)?;
        let edited = publish_items(&admin, item_slice, 3).await?;
        say(&format!("   {edited} items edited"))?;
        self.sync()?;
        self.compare(&admin, &receiver, file_slice, item_slice).await?;

        say(
            "6. The receiver renews its key without a person: the old key asks for the new one, and dies when that logs in.",
        )?;
        let start = Instant::now();
        self.secondary_command(&["rotate", "Better Brakes"], None)?;
        say(&format!("   rotated ({})", took(start)))?;
        let keys = self.primary_command(&["apikey", "list", "--company", "Retail Parts"])?;
        for key in keys.as_array().into_iter().flatten() {
            say(&format!("   generation {}: {}", text_of(key, "generation"), text(key, "state")))?;
        }
        self.sync()?;
        self.compare(&admin, &receiver, file_slice, item_slice).await?;
        say("\nBoth sides are equal, byte for byte.")
    }

    async fn set_up(&self, admin: &Client) -> Result<(Id, Id)> {
        let company = self.primary_command(&["company", "add", "Retail Parts"])?;
        command_json(
            &self.programs.primary,
            &self.folder.join("primary"),
            &["account", "create", "-u", "companyadmin", "--company", "Retail Parts", "--password-stdin"],
            Some(PARTNER_PASSWORD),
        )?;
        let files = self.primary_command(&[
            "slice",
            "add",
            "brake-pads",
            "--type",
            "aces-file",
            "--metadata",
            "vcdb-version=2026-10-31",
        ])?;
        let items = self.primary_command(&["slice", "add", "brake-pad-items", "--type", "pies-items"])?;
        for slice in ["brake-pads", "brake-pad-items"] {
            self.primary_command(&["sub", "add", "--company", text(&company, "name"), "--slice", slice])?;
        }
        self.publish_file(0)?;
        let item_slice = text(&items, "id").parse()?;
        let start = Instant::now();
        let count = publish_items(admin, item_slice, 0).await?;
        say(&format!("   brake-pad-items: {count} items over HTTP ({})", took(start)))?;
        Ok((text(&files, "id").parse()?, item_slice))
    }

    fn publish_file(&self, revision: u32) -> Result<()> {
        let file = self.folder.join("brake-pads.xml");
        let sample = AcesFile { parts: 200, apps_per_part: 40.0, seed: 42, revision };
        let bytes = sample.to_bytes();
        let apps = sample.write_to(&mut std::io::sink())?;
        fs::write(&file, &bytes)?;
        let path = file.to_str().ok_or("a folder with an odd name")?;
        let start = Instant::now();
        let published = self.primary_command(&["add", "--slice", "brake-pads", path])?;
        say(&format!(
            "   brake-pads: {apps} applications, {} KB of ACES, is version {} ({})",
            bytes.len() / 1000,
            text_of(&published, "version"),
            took(start)
        ))
    }

    fn connect(&self) -> Result<Value> {
        let args = ["connect", &self.primary.url, "--username", "companyadmin", "--password-stdin"];
        self.secondary_command(&args, Some(PARTNER_PASSWORD))
    }

    fn sync(&self) -> Result<()> {
        let reports = self.secondary_command(&["sync", "Better Brakes"], None)?;
        let report = reports.get(0).ok_or("no report")?;
        for slice in report.get("slices").and_then(Value::as_array).into_iter().flatten() {
            let detail = match text(slice, "outcome") {
                "changed" => format!(
                    "{} grain(s) in, {} out, {} KB",
                    text_of(slice, "grains_added"),
                    text_of(slice, "grains_removed"),
                    slice.get("payload_bytes").and_then(Value::as_u64).unwrap_or_default() / 1000
                ),
                other => other.to_owned(),
            };
            say(&format!("   {}: {detail} ({} ms)", text(slice, "slice"), text_of(slice, "duration_ms")))?;
        }
        say(&format!("   the whole sync took {} ms", text_of(report, "duration_ms")))
    }

    /// Every grain over HTTP from both servers, and the file as `pull` writes it.
    async fn compare(&self, admin: &Client, receiver: &Client, file_slice: Id, item_slice: Id) -> Result<()> {
        for slice in [file_slice, item_slice] {
            let (ours, theirs) = (all_grains(admin, slice).await, all_grains(receiver, slice).await);
            if ours.is_empty() || ours != theirs {
                return Err(format!(
                    "slice {slice} differs: {} grains here, {} there",
                    ours.len(),
                    theirs.len()
                )
                .into());
            }
        }
        let target = self.folder.join("pulled");
        self.secondary_command(&["pull", "--slice", "brake-pads", target.to_str().ok_or("odd name")?], None)?;
        if fs::read(self.folder.join("brake-pads.xml"))?
            != fs::read(target.join("brake-pads/brake-pads.xml"))?
        {
            return Err("the pulled file differs from the published one".into());
        }
        say("   checked: every grain and the pulled file are equal")
    }

    fn explore(&self, kept: bool) -> Result<()> {
        let secondary = format!(
            "{} --data-dir {}",
            self.programs.secondary.display(),
            self.folder.join("secondary").display()
        );
        let primary = format!(
            "{} --data-dir {}",
            self.programs.primary.display(),
            self.folder.join("primary").display()
        );
        say("\nLook around while both servers run:")?;
        say(&format!("  {primary} slice list"))?;
        say(&format!("  {primary} apikey list"))?;
        say(&format!("  {secondary} primaries"))?;
        say(&format!("  {secondary} sync --all"))?;
        say(&format!("  curl -s {}/check", self.primary.url))?;
        say(&format!(
            "  curl -s -H 'Content-Type: application/json' -d '{}' {}/login",
            json!({ "username": "admin", "password": ADMIN_PASSWORD }),
            self.primary.url
        ))?;
        if kept {
            say(&format!("The data stays in {}", self.folder.display()))
        } else {
            say("The data goes when the demo ends; --keep DIR keeps it.")
        }
    }
}

/// Brings the slice to `revision` of the sample, item by item, as a product-information system would.
async fn publish_items(admin: &Client, slice: Id, revision: u32) -> Result<usize> {
    let old: Vec<(String, String)> = all_grains(admin, slice)
        .await
        .iter()
        .map(|grain| (text(grain, "grain_key").to_owned(), text(grain, "payload").to_owned()))
        .collect();
    let mut edited = 0;
    for item in pies_items(300, 42, revision) {
        let key = item.key.to_lowercase();
        if old.iter().any(|(old_key, payload)| *old_key == key && *payload == item.xml) {
            continue;
        }
        let body = json!({
            "slice_id": slice, "grain_key": key, "source": "pim", "encoding": "raw", "payload": item.xml,
        });
        let _grain: Value = admin.post("/v1/grains?replace=yes", &body).await?;
        edited += 1;
    }
    admin.call(reqwest::Method::POST, &format!("/v1/slices/refresh/{slice}")).await?;
    Ok(edited)
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// A member of any type, as JSON writes it.
fn text_of(value: &Value, member: &str) -> String {
    value.get(member).unwrap_or(&Value::Null).to_string()
}

fn took(start: Instant) -> String {
    let elapsed: Duration = start.elapsed();
    format!("{} ms", elapsed.as_millis())
}

fn command_json(program: &Path, data_dir: &Path, args: &[&str], input: Option<&str>) -> Result<Value> {
    let mut command = Command::new(program);
    command.arg("--json").arg("--data-dir").arg(data_dir).args(args);
    Ok(serde_json::from_str(&output_of(&mut command, input)?)?)
}

fn output_of(command: &mut Command, input: Option<&str>) -> Result<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "{} ended with {}: {}",
            command.get_program().display(),
            output.status,
            error.trim()
        )
        .into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
