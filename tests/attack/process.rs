//! A real secondary: its own process, its own folder.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use tests::binaries::Programs;

/// Of its admin.
pub(super) const PASSWORD: &str = "violet-otter-marble-42";

/// A data folder with a name and a key.
pub(super) struct Secondary {
    pub folder: tempfile::TempDir,
}

impl Secondary {
    pub fn new() -> Self {
        let secondary = Self { folder: tempfile::tempdir().unwrap() };
        secondary.ok(&["init", "--admin-password-stdin", "--name", "Retail Parts"], PASSWORD);
        secondary
    }

    /// A path in the folder that also holds the data folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        static PROGRAMS: OnceLock<Programs> = OnceLock::new();
        let program = &PROGRAMS.get_or_init(|| Programs::build().unwrap()).secondary;
        let mut command = Command::new(program);
        for name in ["SANDPIPER_DATABASE", "SANDPIPER_LOG", "APIKEY_SECRET", "JWT_SECRET"] {
            command.env_remove(name);
        }
        command.env("SANDPIPER_DATA_DIR", self.path("data")).args(args);
        command
    }

    /// Runs a command.
    pub fn run(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that does not read its input may be gone already.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    }

    /// Runs a command that must succeed.
    pub fn ok(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts serving.
    pub fn serve(&self) -> Server {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--log", "error"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(self.path("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned();
        Server { child, url }
    }
}

/// A running `serve`; killed when dropped.
pub(super) struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// The most memory it ever had, in MiB.
    pub fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Forgets that peak.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Every file, folder and link below `folder`, with what is in it, but for what is below `except`.
pub(super) fn tree(folder: &Path, except: &[&Path]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if except.contains(&path.as_path()) {
                continue;
            }
            if path.is_symlink() || path.is_dir() {
                found.push((path.clone(), Vec::new()));
            } else {
                found.push((path.clone(), std::fs::read(&path).unwrap()));
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}
