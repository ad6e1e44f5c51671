//! The real binaries, without the caller's settings.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use shared::store::{DatabaseUrl, Store};
use shared::wire::server::ServerRole;
use tests::binaries::Programs;

use crate::source::Source;

fn program(role: ServerRole) -> &'static Path {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| Programs::build().unwrap());
    match role {
        ServerRole::Primary => &programs.primary,
        ServerRole::Secondary => &programs.secondary,
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// `None`: killed.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    was_killed: bool,
}

impl Ended {
    /// One line on standard error that holds `words`, and this exit code.
    pub fn fails_with(&self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.err.trim_end().lines().count(), 1, "one line: {self:?}");
        assert!(self.err.contains(words), "{words}: {self:?}");
    }

    pub fn ok(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self
    }

    /// What it printed, whatever its exit code.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn was_killed(&self) -> bool {
        self.was_killed
    }
}

/// A data folder, and the database to it.
pub struct Home {
    role: ServerRole,
    pub dir: PathBuf,
    /// As the operator gives it; `None`: the file in the folder.
    database: Option<String>,
    _folder: tempfile::TempDir,
}

impl Home {
    /// One for each kind of database.
    pub fn each(test: &str, role: ServerRole) -> Vec<Self> {
        let postgres = tests::postgres::require_or_list(test).map(|cluster| cluster.schema_url().unwrap());
        let home = |database: Option<String>| {
            let folder = tempfile::tempdir().unwrap();
            Self { role, dir: folder.path().join("data"), database, _folder: folder }
        };
        std::iter::once(home(None)).chain(postgres.map(|url| home(Some(url)))).collect()
    }

    /// On SQLite.
    pub fn sqlite(role: ServerRole) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { role, dir: folder.path().join("data"), database: None, _folder: folder }
    }

    /// On this database.
    pub fn on(role: ServerRole, database: &str) -> Self {
        Self { database: Some(database.to_owned()), ..Self::sqlite(role) }
    }

    fn command(&self, args: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program(self.role));
        for (name, _value) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"SANDPIPER_")
                || name.as_encoded_bytes().starts_with(b"PG")
            {
                command.env_remove(name);
            }
        }
        command.env_remove("APIKEY_SECRET").env_remove("JWT_SECRET");
        command.envs(environment.iter().copied()).args(args).arg("--data-dir").arg(&self.dir);
        // Settings remember it once they are there.
        if let (Some(url), false) = (&self.database, self.dir.join("config.toml").exists()) {
            command.args(["--database", url]);
        }
        command.stdin(Stdio::null());
        command
    }

    pub fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Ended {
        let output = self.command(args, environment).output().unwrap();
        Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            was_killed: output.status.signal() == Some(9),
        }
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, &[])
    }

    /// `import` with the secrets of the source, and what else is given.
    pub fn import_with(&self, source: &Source, args: &[&str], environment: &[(&str, &str)]) -> Ended {
        let secrets = source.secrets();
        let mut all: Vec<(&str, &str)> = secrets.iter().map(|(name, text)| (*name, text.as_str())).collect();
        all.extend(environment);
        self.run_with(&[&["import", "--json", "--from", &source.url], args].concat(), &all)
    }

    pub fn import(&self, source: &Source) -> Ended {
        self.import_with(source, &[], &[])
    }

    /// An import that is going on.
    pub fn spawn_import(&self, source: &Source) -> Child {
        let secrets = source.secrets();
        let all: Vec<(&str, &str)> = secrets.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let mut command = self.command(&["import", "--json", "--from", &source.url], &all);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Its database.
    pub fn url(&self) -> DatabaseUrl {
        match &self.database {
            Some(url) => url.parse().unwrap(),
            None => DatabaseUrl::Sqlite(self.dir.join("sandpiper.db")),
        }
    }

    pub fn store(&self) -> Store {
        Store::open(self.url()).unwrap()
    }

    pub fn serve(&self) -> Server {
        let log = File::create(self.dir.with_extension("log")).unwrap();
        let mut child = self
            .command(&["serve", "--listen", "127.0.0.1:0"], &[])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http"));
        let url = url.unwrap_or_else(|| panic!("it does not serve: {line:?}")).to_owned();
        Server { child, url }
    }
}

/// A running `serve`; killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
