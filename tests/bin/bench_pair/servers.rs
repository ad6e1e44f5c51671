//! The real programs: two processes with a relay between them, and what they need of memory.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;
use reqwest::Body;
use serde_json::{Value, json};
use shared::client::Client;
use shared::store::{self, Store, StoreError};
use shared::wire::Id;
use tests::TestDatabase;
use tests::binaries::Programs;
use tests::node::{ADMIN, COMPANY_ADMIN_PASSWORD};

use super::Result;
use super::grains::{Sample, key, text};
use super::relay::Relay;

/// Bytes that are written at a time.
const BLOCK: usize = 1 << 20;

/// Both servers, connected through the relay.
pub(super) struct Pair {
    primary: Server,
    secondary: Server,
    relay: Relay,
    publisher: Client,
    receiver: Client,
    primary_id: Id,
    company: Id,
    idle: (u64, u64),
    /// For what no client could fill in time.
    stores: (Store, Store),
    _databases: (TestDatabase, TestDatabase),
    _folder: tempfile::TempDir,
}

/// KiB above idle, of the primary and the secondary.
pub(super) struct Peak(u64, u64);

impl Peak {
    pub fn primary(&self) -> String {
        format!("{:.1} MiB", self.0 as f64 / 1_024.0)
    }

    pub fn secondary(&self) -> String {
        format!("{:.1} MiB", self.1 as f64 / 1_024.0)
    }
}

impl Pair {
    pub async fn start(programs: &Programs, first: TestDatabase, second: TestDatabase) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-pair-").tempdir()?;
        let primary =
            Server::start(&programs.primary, "Better Brakes", &folder.path().join("primary"), &first)?;
        let secondary =
            Server::start(&programs.secondary, "Retail Parts", &folder.path().join("secondary"), &second)?;
        let relay = Relay::start(&primary.url).await?;
        let publisher = tests::node::login(&primary.url, ADMIN.0, ADMIN.1).await;
        let receiver = tests::node::login(&secondary.url, ADMIN.0, ADMIN.1).await;
        let company = json!({ "name": "Retail Parts", "sync_addr": "", "active": true });
        let company: Value = publisher.post("/v1/companies", &company).await?;
        let company: Id = company["id"].as_str().unwrap_or_default().parse()?;
        let user = json!({
            "first_name": "Carla", "last_name": "Admin", "username": "companyadmin", "email": "carla@example.com",
            "password": COMPANY_ADMIN_PASSWORD, "password_confirm": COMPANY_ADMIN_PASSWORD,
            "company_id": company, "role": 120, "active": true,
        });
        let _user: Value = publisher.post("/v1/users", &user).await?;
        let connect =
            json!({ "url": relay.url, "username": "companyadmin", "password": COMPANY_ADMIN_PASSWORD });
        let connected: Value = receiver.post("/v1/servers", &connect).await?;
        let primary_id: Id = connected["id"].as_str().unwrap_or_default().parse()?;
        let stores = (first.store(), second.store());
        let mut pair = Self {
            primary,
            secondary,
            relay,
            publisher,
            receiver,
            primary_id,
            company,
            idle: (0, 0),
            stores,
            _databases: (first, second),
            _folder: folder,
        };
        // What a run opens once and keeps is not what a run needs.
        pair.sync().await?;
        pair.idle = (pair.primary.memory("VmRSS")?, pair.secondary.memory("VmRSS")?);
        Ok(pair)
    }

    /// A new slice with these grains, published and subscribed to.
    pub async fn publish(&self, sample: &Sample) -> Result<Id> {
        let slice = self.add_slice(&format!("{} grains", sample.count)).await?;
        let now = shared::clock::Clock::System.now();
        for start in (0..sample.count).step_by(2_000) {
            let (sample, end) = (*sample, sample.count.min(start + 2_000));
            let fill = move |conn: &mut store::Connection| -> std::result::Result<(), StoreError> {
                let rows: Vec<_> = (start..end).map(|number| sample.grain(slice, number, 0, now)).collect();
                store::grain::insert(conn, &rows)
            };
            self.stores.0.write(fill).await?;
        }
        self.refresh(slice, sample.count).await?;
        Ok(slice)
    }

    /// A new slice with one file of product data, subscribed to.
    pub async fn publish_file(&self, bytes: u64) -> Result<Id> {
        let slice = self.add_slice("a file").await?;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(4712);
        let blocks = (0..bytes).step_by(BLOCK).map(move |at| {
            let length = usize::try_from(bytes - at).unwrap_or(BLOCK).min(BLOCK);
            Ok::<_, std::io::Error>(Bytes::from(text(&mut random, length)))
        });
        let body = Body::wrap_stream(futures_util::stream::iter(blocks));
        self.put(&format!("/v1/slices/{slice}/publish?source=catalog.xml"), "application/xml", body).await?;
        Ok(slice)
    }

    async fn add_slice(&self, name: &str) -> Result<Id> {
        let slice = json!({ "name": format!("{name} {}", uuid::Uuid::new_v4()), "slice_type": "pies-items", "allow_sync": true });
        let slice: Value = self.publisher.post("/v1/slices", &slice).await?;
        let slice: Id = slice["id"].as_str().unwrap_or_default().parse()?;
        let sub = json!({ "slice_id": slice, "company_id": self.company, "name": format!("{name} {slice}"), "active": true });
        let _sub: Value = self.publisher.post("/v1/subs", &sub).await?;
        Ok(slice)
    }

    /// Sends a body to the primary, as a publisher's own program would.
    async fn put(&self, path: &str, kind: &str, body: Body) -> Result<()> {
        let client = tests::stranger();
        let login = json!({ "username": ADMIN.0, "password": ADMIN.1 });
        let token: Value =
            client.post(format!("{}/login", self.primary.url)).json(&login).send().await?.json().await?;
        let request = client
            .post(format!("{}{path}", self.primary.url))
            .bearer_auth(token["token"].as_str().unwrap_or_default())
            .header("content-type", kind)
            .body(body);
        let answer = request.send().await?;
        let (status, said) = (answer.status(), answer.text().await?);
        if status.is_success() { Ok(()) } else { Err(format!("{path}: {status} {said}").into()) }
    }

    /// The primary's database.
    pub fn published_store(&self) -> &Store {
        &self.stores.0
    }

    /// Requests that crossed the wire so far.
    pub fn requests(&self) -> u64 {
        self.relay.requests()
    }

    /// Publishes the draft. A large one takes longer than this client waits for; the server goes on.
    async fn refresh(&self, slice: Id, count: usize) -> Result<()> {
        let path = format!("/v1/slices/refresh/{slice}");
        if let Err(error) = self.publisher.call(reqwest::Method::POST, &path).await {
            eprintln!("waiting for the publication ({error}) …");
        }
        tests::wait_until("a published slice", async || {
            let shown = self.publisher.get::<Value>(&format!("/v1/slices/{slice}")).await;
            shown.is_ok_and(|shown| shown["content_count"].as_u64() == Some(count as u64))
        })
        .await;
        Ok(())
    }

    /// Replaces so many grains and publishes; bytes of their payloads, compressed together.
    pub async fn change(&self, slice: Id, sample: &Sample, changes: usize, round: usize) -> Result<u64> {
        let (mut payloads, mut lines) = (Vec::new(), String::new());
        let now = shared::clock::Clock::System.now();
        for change in 0..changes.min(sample.count) {
            // From all over the slice.
            let number = (change * (sample.count / changes.max(1)).max(1) + round) % sample.count;
            let grain = sample.grain(slice, number, round + 1, now);
            let line = json!({ "put": {
                "grain_key": key(number), "source": "bench", "encoding": "raw", "payload": grain.payload,
            } });
            payloads.extend_from_slice(grain.payload.as_bytes());
            writeln!(lines, "{line}")?;
        }
        self.put(&format!("/v1/slices/{slice}/publish"), "application/x-ndjson", lines.into()).await?;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&payloads)?;
        Ok(encoder.finish()?.len() as u64)
    }

    /// One run, as an operator triggers it: how long it took, and bytes that crossed the wire.
    pub async fn sync(&self) -> Result<(Duration, u64)> {
        let (before, begin) = (self.relay.passed(), Instant::now());
        let path = format!("{}/v1/sync/{}", self.secondary.url, self.primary_id);
        let answer =
            self.receiver.call(reqwest::Method::POST, &format!("/v1/sync/{}", self.primary_id)).await;
        answer.map_err(|error| format!("{path}: {error}"))?;
        Ok((begin.elapsed(), self.relay.passed() - before))
    }

    /// A benchmark of what is not equal afterwards is none.
    pub async fn require_equal(&self, slice: Id) -> Result<()> {
        let digest = async |store: &Store| {
            store
                .read(move |conn| -> std::result::Result<_, StoreError> {
                    let Some(row) = store::slice::find(conn, slice)? else { return Ok(None) };
                    store::version::find(conn, slice, row.current_version)
                })
                .await
        };
        let (ours, theirs) = (digest(&self.stores.0).await?, digest(&self.stores.1).await?);
        let content = |row: Option<store::version::VersionRow>| row.map(|row| (row.digest, row.grain_count));
        if content(ours) != content(theirs) {
            return Err(format!("slice {slice} is not equal after its sync").into());
        }
        Ok(())
    }

    /// From now on peaks count anew.
    pub fn forget_peak(&self) -> Result<()> {
        self.primary.forget_peak()?;
        self.secondary.forget_peak()
    }

    pub fn peak(&self) -> Result<Peak> {
        Ok(Peak(
            self.primary.memory("VmHWM")?.saturating_sub(self.idle.0),
            self.secondary.memory("VmHWM")?.saturating_sub(self.idle.1),
        ))
    }
}

struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Makes a node on the database and serves it on a free port.
    fn start(program: &Path, name: &str, folder: &Path, database: &TestDatabase) -> Result<Self> {
        let mut init = Command::new(program)
            .args([
                "init",
                "--admin-password-stdin",
                "--name",
                name,
                "--database",
                database.text(),
                "--data-dir",
            ])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        init.stdin.take().ok_or("no input")?.write_all(ADMIN.1.as_bytes())?;
        if !init.wait()?.success() {
            return Err(format!("{} init failed", program.display()).into());
        }
        let log = folder.with_extension("log");
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--database", database.text(), "--data-dir"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let url = line.split_whitespace().find(|word| word.starts_with("http")).map(str::to_owned);
        let url = url.ok_or_else(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(Self { child, url })
    }

    /// KiB, as the kernel counts them.
    fn memory(&self, what: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(what)).ok_or("no such line")?;
        Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
    }

    fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already or stopping now: either is the end of it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
