//! The real binaries: output, exit codes, what a fault leaves behind, and what never reaches a log. They are built once,
//! by the cargo that runs the tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, tells a story in one go, and looks at a server with a stranger's client"
)]

mod account;
mod api_key;
mod backup;
mod canary;
mod core_dump;
mod failure;
mod folder;
mod generated;
mod history;
mod keyring;
mod listing;
mod preview;
mod pulling;
mod recover;
mod running;
mod story;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use shared::client::Client;
use shared::clock::{Clock, Random};
use shared::crypto::set_hash::grain_digest;
use shared::store::grain::NewGrain;
use shared::store::{self, Store, StoreError};
use shared::wire::Id;
use tests::binaries::Programs;

fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| Programs::build().unwrap())
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    /// One line on standard error that holds `words`, and this exit code.
    fn fails_with(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.err.trim_end().lines().count(), 1, "one line: {self:?}");
        assert!(self.err.contains(words), "{words}: {self:?}");
    }

    fn ok(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{self:?}");
        self
    }

    fn json(self) -> Value {
        serde_json::from_str(&self.ok().out).unwrap()
    }
}

/// Runs a command without a terminal and without the caller's settings.
fn run_with(program: &Path, args: &[&str], input: &str, environment: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(program);
    for name in ["SANDPIPER_DATA_DIR", "SANDPIPER_DATABASE", "SANDPIPER_LOG", "APIKEY_SECRET", "JWT_SECRET"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied()).args(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input may be gone already.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn primary(args: &[&str]) -> Ended {
    run_with(&programs().primary, args, "", &[])
}

fn secondary(args: &[&str]) -> Ended {
    run_with(&programs().secondary, args, "", &[])
}

const PASSWORD: &str = "violet-otter-marble-42";

/// Two initialised data folders.
struct Folders {
    folder: tempfile::TempDir,
}

impl Folders {
    fn new() -> Self {
        let folders = Self { folder: tempfile::tempdir().unwrap() };
        for (program, dir, name) in [
            (&programs().primary, folders.primary(), "Better Brakes"),
            (&programs().secondary, folders.secondary(), "Retail Parts"),
        ] {
            let args = ["init", "--admin-password-stdin", "--name", name, "--data-dir", &dir];
            run_with(program, &args, PASSWORD, &[]).ok();
        }
        folders
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn primary(&self) -> String {
        self.path("primary").to_str().unwrap().to_owned()
    }

    fn secondary(&self) -> String {
        self.path("secondary").to_str().unwrap().to_owned()
    }
}

/// A primary that serves, its partner connected, and a slice `items` to which he subscribes.
struct Served {
    folders: Folders,
    server: Server,
    slice: Id,
    runtime: tokio::runtime::Runtime,
    admin: Client,
}

impl Served {
    fn new() -> Self {
        let folders = Folders::new();
        let (p, s) = (folders.primary(), folders.secondary());
        primary(&["company", "add", "Retail Parts", "--data-dir", &p]).ok();
        let account = [
            "account",
            "create",
            "-u",
            "anna",
            "--company",
            "Retail Parts",
            "--password-stdin",
            "--data-dir",
            &p,
        ];
        run_with(&programs().primary, &account, PASSWORD, &[]).ok();
        let slice = primary(&["slice", "add", "items", "--json", "--data-dir", &p]).json();
        primary(&["sub", "add", "--company", "Retail Parts", "--slice", "items", "--data-dir", &p]).ok();
        let server = Server::start(&programs().primary, &p, &[], &folders.path("log"));
        let connect = ["connect", server.url.as_str(), "-u", "anna", "--password-stdin", "--data-dir", &s];
        run_with(&programs().secondary, &connect, PASSWORD, &[]).ok();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let admin = runtime.block_on(tests::node::login(&server.url, "admin", PASSWORD));
        let slice = slice["id"].as_str().unwrap().parse().unwrap();
        Self { folders, server, slice, runtime, admin }
    }

    fn primary(&self, args: &[&str]) -> Ended {
        let p = self.folders.primary();
        primary(&[args, &["--data-dir", &p]].concat())
    }

    fn secondary(&self, args: &[&str]) -> Ended {
        let s = self.folders.secondary();
        secondary(&[args, &["--data-dir", &s]].concat())
    }

    /// Adds a grain to the draft of `items`, in the place of the one with its key.
    fn add(&self, key: &str, encoding: &str, payload: &str) -> Value {
        let body = serde_json::json!({
            "slice_id": self.slice, "grain_key": key, "source": "test", "encoding": encoding, "payload": payload,
        });
        self.runtime.block_on(self.admin.post("/v1/grains?replace=yes", &body)).unwrap()
    }

    /// What the API would not take, as a primary of the reference could hold it.
    fn slip_in(&self, key: &str, encoding: &str, payload: &str) {
        let (slice_id, id) = (self.slice, Random::System.id());
        let mut grain = NewGrain {
            slice_id,
            id,
            digest: grain_digest(id, key, encoding, "test", payload).to_vec(),
            grain_key: key.to_owned(),
            source: "test".to_owned(),
            encoding: encoding.to_owned(),
            payload: payload.to_owned(),
            added_in: 0,
            created_at: Clock::System.now(),
        };
        let store = self.store();
        let slipped = store.write(move |conn| -> Result<(), StoreError> {
            grain.added_in = store::slice::find(conn, slice_id)?.unwrap().current_version + 1;
            if let Some(old) = store::grain::find_by_key(conn, slice_id, grain.added_in, &grain.grain_key)? {
                store::grain::remove(conn, slice_id, grain.added_in, &[old.id])?;
            }
            store::grain::insert(conn, &[grain])
        });
        self.runtime.block_on(slipped).unwrap();
    }

    /// The primary's database.
    fn store(&self) -> Store {
        let file = self.folders.path("primary").join("sandpiper.db");
        Store::open(format!("sqlite://{}", file.display()).parse().unwrap()).unwrap()
    }

    /// Publishes the draft of `items`.
    fn refresh(&self) {
        let path = format!("/v1/slices/refresh/{}", self.slice);
        self.runtime.block_on(self.admin.call(reqwest::Method::POST, &path)).unwrap();
    }
}

/// A running `serve`; killed when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(program: &Path, data_dir: &str, environment: &[(&str, &str)], log: &Path) -> Self {
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned();
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
