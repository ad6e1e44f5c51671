//! Processes of the real binaries, and their ends.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::binaries::Programs;

/// More than anything here takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_mins(1);
const SIGKILL: i32 = 9;

/// The binaries, built once.
pub fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| Programs::build().unwrap())
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(SIGKILL)
    }

    pub fn ok(self) -> Self {
        assert_eq!((self.status.code(), self.err.as_str()), (Some(0), ""), "{self:?}");
        self
    }

    pub fn json(self) -> Value {
        serde_json::from_str(&self.ok().out).unwrap()
    }
}

/// A program and the data folder it works on.
#[derive(Clone, Debug)]
pub struct Home {
    pub program: &'static Path,
    pub folder: PathBuf,
}

impl Home {
    /// Without a terminal and without the caller's settings.
    fn command(&self, args: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(self.program);
        for (name, _value) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"SANDPIPER_") {
                command.env_remove(name);
            }
        }
        command.env_remove("APIKEY_SECRET").env_remove("JWT_SECRET");
        command.envs(environment.iter().copied()).args(args).arg("--data-dir").arg(&self.folder);
        command
    }

    fn spawn(&self, args: &[&str], input: &str, environment: &[(&str, &str)]) -> Child {
        let mut command = self.command(args, environment);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read its input may be gone already.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child
    }

    /// Adds lines to the settings file, once.
    pub fn add_settings(&self, lines: &str) {
        if fs::read_to_string(self.folder.join("config.toml")).is_ok_and(|text| text.contains(lines)) {
            return;
        }
        let file = File::options().create(true).append(true).open(self.folder.join("config.toml"));
        file.unwrap().write_all(lines.as_bytes()).unwrap();
    }

    /// Runs a command to its end, however that comes.
    pub fn run_with(&self, args: &[&str], input: &str, environment: &[(&str, &str)]) -> Ended {
        ended(self.spawn(args, input, environment))
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, "", &[])
    }

    /// Runs a command and kills it after `delay`, if it has not ended by then.
    pub fn run_killed(&self, args: &[&str], input: &str, delay: Duration) -> Ended {
        let start = Instant::now();
        let mut child = self.spawn(args, input, &[]);
        while child.try_wait().unwrap().is_none() {
            let Some(left) = delay.checked_sub(start.elapsed()) else {
                child.kill().unwrap();
                break;
            };
            thread::sleep(left.min(Duration::from_millis(1)));
        }
        ended(child)
    }
}

fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    Ended {
        status: output.status,
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running `serve` that is killed and started again on the same port. Killed when dropped.
pub struct Server {
    pub home: Home,
    pub url: String,
    listen: String,
    log: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// On a port of its own.
    pub fn start(home: Home) -> Self {
        let listen = format!("127.0.0.1:{}", own_port());
        let log = home.folder.with_extension("log");
        let mut server = Self { home, url: format!("http://{listen}"), listen, log, child: None };
        server.start_again(&[]);
        server
    }

    /// Returns when it serves.
    pub fn start_again(&mut self, environment: &[(&str, &str)]) {
        let line = self.launch(environment);
        assert!(line.contains(&self.url), "{:?} does not serve: {line:?}", self.home);
    }

    /// Starts one that dies by what it does when it starts, and returns when it is dead.
    pub fn start_and_die(&mut self, environment: &[(&str, &str)]) {
        self.launch(environment);
        self.await_death();
    }

    /// Returns its first line, which is empty if it died before.
    fn launch(&mut self, environment: &[(&str, &str)]) -> String {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut child = self
            .home
            .command(&["serve", "--listen", &self.listen], environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let (sender, receiver) = mpsc::channel();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            let mut line = String::new();
            drop(out.read_line(&mut line));
            drop(sender.send(line));
        });
        let line = receiver.recv_timeout(DEADLINE).unwrap_or_default();
        self.child = Some(child);
        line
    }

    /// `kill -9`. It must have run until then: a server that died by itself is a finding.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        assert_eq!(child.try_wait().unwrap(), None, "{:?} died by itself", self.home);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL));
    }

    /// Waits until it has died as by `kill -9`, without our doing.
    pub fn await_death(&mut self) {
        let mut child = self.child.take().unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() && start.elapsed() < DEADLINE {
            thread::sleep(Duration::from_millis(2));
        }
        let status = child.try_wait().unwrap();
        drop(child.kill());
        drop(child.wait());
        let signal = status.and_then(|status| status.signal());
        assert_eq!(signal, Some(SIGKILL), "it did not come by that point: {}", self.last_words());
    }

    /// Kills it after `delay`, from another thread.
    pub fn kill_after(&mut self, delay: Duration) -> thread::JoinHandle<()> {
        let mut child = self.child.take().unwrap();
        thread::spawn(move || {
            thread::sleep(delay);
            assert_eq!(child.try_wait().unwrap(), None, "a server died by itself");
            child.kill().unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL));
        })
    }

    /// The last lines of its log.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if thread::panicking() {
            crate::seed::say(&format!(
                "last log lines of {}:\n{}",
                self.home.folder.display(),
                self.last_words()
            ));
        }
    }
}

/// A port that nothing else takes while its server is dead: not one of those that the system gives to outgoing
/// connections. (A client that calls a dead port of that range may even reach itself.)
fn own_port() -> u16 {
    static TAKEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    let first_given = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse::<u16>().ok())
        .unwrap_or(32_768);
    let mut taken = TAKEN.lock().unwrap();
    loop {
        let draw = u16::from_le_bytes(shared::clock::Random::System.bytes());
        let port = 10_000 + draw % first_given.saturating_sub(10_000).max(1_000);
        if !taken.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            taken.insert(port);
            return port;
        }
    }
}
