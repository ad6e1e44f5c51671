//! The real secondary: a data folder, `serve` processes and `sync` commands, which a test may stop and kill.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use shared::store::{DatabaseUrl, Store};
use shared::wire::Id;
use tests::binaries::Programs;
use tests::node::COMPANY_ADMIN_PASSWORD;
use tests::{ADMIN, TestDatabase};

use super::{Http, wait_until};

/// Both servers. Building them may take minutes: see [`build`].
pub fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| Programs::build().unwrap())
}

/// Builds them before a test has anything in flight that would not wait.
pub async fn build() {
    tokio::task::spawn_blocking(programs).await.unwrap();
}

/// A command without a terminal and without the caller's settings.
pub fn command(program: &Path, data_dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    for name in ["SANDPIPER_DATA_DIR", "SANDPIPER_DATABASE", "SANDPIPER_LOG", "APIKEY_SECRET", "JWT_SECRET"] {
        command.env_remove(name);
    }
    command.args(args).arg("--data-dir").arg(data_dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a trigger of a sync was told.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// It ran, and all is equal.
    Ran,
    /// Another one runs.
    Running,
    /// Anything else.
    Other(String),
}

/// An initialised secondary.
pub struct Installed {
    folder: tempfile::TempDir,
    database: DatabaseUrl,
    _own: Option<TestDatabase>,
}

impl Installed {
    /// With its own SQLite file, or on `database`.
    pub fn new(database: Option<TestDatabase>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let given = database.as_ref().map(|database| database.text().to_owned());
        let url = match &database {
            Some(database) => database.url().clone(),
            None => DatabaseUrl::Sqlite(folder.path().join("sandpiper.db")),
        };
        let installed = Self { folder, database: url, _own: database };
        let mut args = vec!["init", "--admin-password-stdin", "--name", "Retail Parts"];
        if let Some(url) = &given {
            args.extend(["--database", url]);
        }
        installed.run(&args, ADMIN.1);
        installed
    }

    /// Runs a command that must succeed.
    fn run(&self, args: &[&str], input: &str) {
        let mut child = command(&programs().secondary, self.folder.path(), args).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Connects to a primary as the company admin that the harness makes.
    pub fn connect(&self, url: &str) {
        self.run(&["connect", url, "-u", "companyadmin", "--password-stdin"], COMPANY_ADMIN_PASSWORD);
    }

    /// Looks into its database.
    pub fn store(&self) -> Store {
        Store::open(self.database.clone()).unwrap()
    }

    /// Starts `sync --all`.
    pub fn start_sync(&self) -> Child {
        command(&programs().secondary, self.folder.path(), &["sync", "--all"]).spawn().unwrap()
    }

    /// Starts `serve`.
    pub async fn serve(&self) -> Server {
        let args = ["serve", "--listen", "127.0.0.1:0"];
        let mut command = command(&programs().secondary, self.folder.path(), &args);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned();
        let http = Http::new();
        let token = http.staff(&url, ADMIN.0).await;
        Server { child, trigger: Trigger { http, url, token } }
    }
}

/// How a `sync` command ended.
pub fn told(child: Child) -> Told {
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    match output.status.code() {
        Some(0) => Told::Ran,
        Some(75) if error.contains("already running") => Told::Running,
        other => Told::Other(format!("{other:?}: {error}")),
    }
}

/// A `serve` process; killed when dropped.
pub struct Server {
    child: Child,
    pub trigger: Trigger,
}

impl Server {
    /// `kill -9`; returns when the process is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it; returns when each of its threads stands still. (The signal reaches one of them, which stops the others when it
    /// gets the processor: until then they go on.)
    pub async fn freeze(&self) {
        self.signal("STOP");
        wait_until("a process that stands still", async || {
            let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
            threads.map(|thread| thread.unwrap().path().join("stat")).all(|stat| {
                // "PID (NAME) STATE ...": the name may hold anything. A thread that has ended meanwhile has none.
                let stat = std::fs::read_to_string(stat).unwrap_or_default();
                stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
            })
        })
        .await;
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("/bin/sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts syncs over HTTP.
#[derive(Clone)]
pub struct Trigger {
    http: Http,
    url: String,
    token: String,
}

impl Trigger {
    /// `POST /v1/sync/:id`.
    pub async fn pull(&self, primary: Id) -> Told {
        let path = format!("{}/v1/sync/{primary}", self.url);
        let answer = self.http.0.post(path).bearer_auth(&self.token).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(broken) => return Told::Other(broken.to_string()),
        };
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap_or_default();
        match status {
            200 => Told::Ran,
            409 if body.contains("\"sync_running\"") => Told::Running,
            other => Told::Other(format!("{other}: {body}")),
        }
    }
}
