//! A private PostgreSQL cluster for tests: started at most once per process, gone when the process ends.
//!
//! [`require_or_list`] is what a test calls; the variable `SANDPIPER_TEST_POSTGRES` decides what happens
//! where PostgreSQL cannot run:
//!
//! | value | meaning |
//! | --- | --- |
//! | `optional`, or unset | such tests are left out, each with a line on standard error |
//! | `required` | such tests fail, with the reason |
//! | `off` | such tests are always left out |

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;
use std::{env, fs, thread};

use crate::left_out;

const SWITCH: &str = "SANDPIPER_TEST_POSTGRES";
const USER: &str = "sandpiper";
const PROGRAMS: [&str; 4] = ["initdb", "pg_ctl", "postgres", "psql"];
const START_DEADLINE: Duration = Duration::from_mins(2);
const PORTS_TO_TRY: usize = 5;

/// The whole life of a cluster, from `initdb` to the removal of its folder.
///
/// Nothing of ours runs when a test process is killed, and statics are never dropped. Therefore a shell owns
/// the server; its standard input is a pipe that the kernel closes with the test process, however that ends.
/// Everything is in sequence here, so a process killed during `initdb` leaves nothing behind either.
const WATCHDOG: &str = r#"
trap '' HUP INT QUIT TERM PIPE
exec 2>&1
bin=$1
shift
# A Unix socket's path has about 100 bytes, and this user may not write where the caller may.
base=${TMPDIR:-/tmp}
case $base in [!/]* | *[!A-Za-z0-9/._-]*) base=/tmp ;; esac
if [ "${#base}" -gt 60 ] || ! [ -w "$base" ]; then base=/tmp; fi
folder=$(mktemp -d "$base/sandpiper-postgres.XXXXXX") || exit 1

start() {
    "$bin/initdb" -D "$folder/data" -U "$user" -A trust --locale="$locale" --encoding=UTF8 --no-sync \
        </dev/null >"$folder/log" 2>&1 || return 1
    : >"$folder/log"
    cat >>"$folder/data/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
unix_socket_directories = '$folder'
max_connections = 200
fsync = off
full_page_writes = off
END
    for port; do
        "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -o "-p $port" -w -t 60 start \
            </dev/null >"$folder/pg_ctl.log" 2>&1 && return 0
        grep -q 'could not bind' "$folder/log" || return 1
    done
    return 1
}

if start "$@"; then
    echo "ready $port $folder"
    exec 2>/dev/null
    while read -r command argument; do
        case $command in
            tls) cp "$argument/server.crt" "$argument/server.key" "$folder/data/" &&
                chmod 600 "$folder/data/server.key" && echo 'ssl = on' >>"$folder/data/postgresql.conf" &&
                echo 'hostssl all all 127.0.0.1/32 trust' >"$folder/data/pg_hba.conf" ;;
            stop) "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1 ;;
            start) "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -o "-p $port" -w -t 60 start \
                </dev/null >/dev/null 2>&1 ;;
            *) false ;;
        esac && echo done || echo failed
    done
else
    tail -n 20 "$folder/log"
fi
exec >/dev/null 2>&1
"$bin/pg_ctl" -D "$folder/data" -m immediate -w stop
rm -rf "$folder"
"#;

/// Whether this process has a PostgreSQL to test with.
#[derive(Debug, Clone)]
pub enum Postgres {
    /// The server runs.
    Available(&'static Cluster),
    /// There is none, and this is why.
    Absent(String),
}

/// A running server of our own, on a loopback port, with trust authentication and without fsync.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    port: u16,
    folder: PathBuf,
    spaces: AtomicU64,
    watchdog: Mutex<Watchdog>,
}

/// The shell that owns a server.
#[derive(Debug)]
struct Watchdog {
    /// Its standard input is the pipe that keeps the server alive.
    process: Child,
    answers: BufReader<ChildStdout>,
}

/// Gives the cluster of this process; the first call starts it.
#[must_use]
pub fn cluster() -> Postgres {
    static CLUSTER: OnceLock<Result<Cluster, String>> = OnceLock::new();
    match wish() {
        Err(why) => Postgres::Absent(why),
        Ok(Wish::Off) => Postgres::Absent(format!("{SWITCH}=off")),
        Ok(Wish::Optional | Wish::Required) => match CLUSTER.get_or_init(start) {
            Ok(cluster) => Postgres::Available(cluster),
            Err(why) => Postgres::Absent(why.clone()),
        },
    }
}

/// Gives the cluster, or says on standard error that `test` leaves PostgreSQL out.
///
/// # Panics
///
/// When there is no cluster although `SANDPIPER_TEST_POSTGRES=required`, or when that variable has a value
/// that nobody defined: a misspelt `required` must not pass as "left out".
#[must_use]
pub fn require_or_list(test: &str) -> Option<&'static Cluster> {
    match (cluster(), wish()) {
        (Postgres::Available(cluster), _) => {
            left_out::clear(test);
            Some(cluster)
        }
        (Postgres::Absent(why), Ok(Wish::Off | Wish::Optional)) => {
            // Not `eprintln!`, which the test runner hides when the test passes.
            let _ = writeln!(io::stderr(), "{test}: PostgreSQL is left out: {why}");
            left_out::note(test, &why);
            None
        }
        (Postgres::Absent(why), Ok(Wish::Required) | Err(_)) => panic!("{test} needs PostgreSQL: {why}"),
    }
}

/// A cluster for one test alone, which may stop it; gone with the value. As [`require_or_list`] otherwise.
///
/// # Panics
///
/// As [`require_or_list`], and when a second server does not start where a first one did.
#[must_use]
pub fn private(test: &str) -> Option<Cluster> {
    require_or_list(test).map(|_first| start().expect("a second server"))
}

impl Cluster {
    /// Stops the server as a crash would: connections break, nothing is flushed.
    ///
    /// # Panics
    ///
    /// When it does not stop.
    pub fn stop(&self) {
        self.command("stop");
    }

    /// Starts it again, on the same port.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(&self) {
        self.command("start");
    }

    /// Waits for the disk at each commit from now on, as a server that people rely on does. For benchmarks: tests have no use
    /// for it.
    ///
    /// # Errors
    ///
    /// When `psql` cannot run or the server refuses.
    pub fn wait_for_disk(&self) -> io::Result<()> {
        self.run_sql("ALTER SYSTEM SET fsync = on")?;
        self.run_sql("ALTER SYSTEM SET full_page_writes = on")?;
        self.run_sql("SELECT pg_reload_conf()")
    }

    /// Takes connections over TLS only from the next start on, with `server.crt` and `server.key` of `folder`, which its
    /// user must be able to read.
    ///
    /// # Panics
    ///
    /// When it cannot be set up.
    pub fn require_tls(&self, folder: &Path) {
        self.command(&format!("tls {}", folder.display()));
    }

    fn command(&self, command: &str) {
        let mut watchdog = self.watchdog.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = String::new();
        let stdin = watchdog.process.stdin.as_mut().expect("a pipe to the watchdog");
        writeln!(stdin, "{command}").expect("a watchdog that listens");
        watchdog.answers.read_line(&mut answer).expect("a watchdog that answers");
        assert_eq!(answer.trim(), "done", "{command}: see {}/log", self.folder.display());
    }

    /// Makes an empty schema and gives a URL that selects it by `search_path`.
    ///
    /// Schemas share one database, so advisory locks and notifications reach across them:
    /// where that matters, use [`Cluster::database_url`].
    ///
    /// # Errors
    ///
    /// When `psql` cannot run or the server refuses.
    pub fn schema_url(&self) -> io::Result<String> {
        let schema = self.next_name("schema");
        self.run_sql(&format!("CREATE SCHEMA {schema}"))?;
        Ok(format!("{}?options=-csearch_path%3D{schema}", self.url("postgres")))
    }

    /// Makes an empty database of its own and gives its URL; slower than a schema, and fully separate.
    ///
    /// # Errors
    ///
    /// When `psql` cannot run or the server refuses.
    pub fn database_url(&self) -> io::Result<String> {
        let database = self.next_name("database");
        self.run_sql(&format!("CREATE DATABASE {database} TEMPLATE template0"))?;
        Ok(self.url(&database))
    }

    /// The cluster's folder: `log` in it is the server's log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a script by `psql` on `url` and gives what it prints: unaligned, without headings.
    ///
    /// # Errors
    ///
    /// When `psql` cannot run, or with the server's words when it refuses a statement.
    pub fn script(&self, url: &str, sql: &str) -> io::Result<String> {
        let mut psql = without_pg_variables(&mut Command::new(self.programs.join("psql")))
            .args(["-X", "-q", "-w", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let Some(mut stdin) = psql.stdin.take() else {
            return Err(io::Error::other("there is no pipe to psql"));
        };
        let sql = sql.to_owned();
        // What it prints may fill its pipe before it has read everything.
        let writer = thread::spawn(move || stdin.write_all(sql.as_bytes()));
        let output = psql.wait_with_output()?;
        // A script that fails is not read to its end.
        let _ = writer.join();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    /// What `pg_dump` writes of a schema, as a script that makes it again.
    ///
    /// # Errors
    ///
    /// When `pg_dump` cannot run or the server refuses.
    pub fn dump(&self, url: &str, schema: &str) -> io::Result<String> {
        let output = without_pg_variables(&mut Command::new(self.programs.join("pg_dump")))
            .args(["-w", "--no-owner", "--schema", schema, "-d", url])
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    fn next_name(&self, kind: &str) -> String {
        format!("{kind}_{}", self.spaces.fetch_add(1, Ordering::Relaxed))
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    fn run_sql(&self, sql: &str) -> io::Result<()> {
        let output = without_pg_variables(&mut Command::new(self.programs.join("psql")))
            .args(["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", &self.url("postgres"), "-c", sql])
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("{sql}: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Off,
    Optional,
    Required,
}

fn wish() -> Result<Wish, String> {
    parse_wish(env::var_os(SWITCH).as_deref())
}

fn parse_wish(value: Option<&OsStr>) -> Result<Wish, String> {
    match value.map(OsStr::to_string_lossy).as_deref() {
        None | Some("" | "optional") => Ok(Wish::Optional),
        Some("required") => Ok(Wish::Required),
        Some("off") => Ok(Wish::Off),
        Some(other) => Err(format!("{SWITCH} is {other:?}, not optional, required or off")),
    }
}

fn start() -> Result<Cluster, String> {
    let programs = find_programs().ok_or_else(|| {
        format!("{} are neither in PATH nor in /usr/lib/postgresql/*/bin", PROGRAMS.join(", "))
    })?;
    let mut watchdog = spawn_watchdog(&programs).map_err(|e| format!("cannot start a cluster: {e}"))?;
    let answers = watchdog.stdout.take().ok_or("the watchdog has no standard output")?;
    let (port, folder, answers) = await_ready(answers)?;
    let watchdog = Mutex::new(Watchdog { process: watchdog, answers });
    Ok(Cluster { programs, port, folder, spaces: AtomicU64::new(1), watchdog })
}

/// The folder with all programs: of the `initdb` in PATH, else of Debian's newest version.
fn find_programs() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // A link in PATH leads to the real folder; Debian's /usr/bin/psql is a wrapper, not the program itself.
    let in_path = env::split_paths(&path)
        .filter_map(|folder| folder.join("initdb").canonicalize().ok())
        .filter_map(|initdb| initdb.parent().map(Path::to_path_buf));
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    debian.sort_unstable_by(|a, b| b.cmp(a));
    in_path
        .chain(debian.into_iter().map(|(_, folder)| folder))
        .find(|folder| PROGRAMS.iter().all(|program| folder.join(program).is_file()))
}

fn spawn_watchdog(programs: &Path) -> io::Result<Child> {
    let mut command = Command::new("/bin/sh");
    without_pg_variables(&mut command)
        .args(["-c", WATCHDOG, "sandpiper-postgres-watchdog"])
        .arg(programs)
        .args(free_ports()?.iter().map(u16::to_string))
        .env("LC_ALL", "C")
        .env("user", USER)
        .env("locale", "C")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Ctrl-C and a runner's timeout signal the test's group: the watchdog has to survive them.
        .process_group(0);
    if is_root() {
        let (uid, gid) = unprivileged_user(&fs::read_to_string("/etc/passwd")?).ok_or_else(|| {
            io::Error::other("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
        })?;
        command.uid(uid).gid(gid);
    }
    command.spawn()
}

/// Ports that were free a moment ago; held together, so that they differ.
fn free_ports() -> io::Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..PORTS_TO_TRY).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// On Linux the owner of `/proc/self` is the effective user; elsewhere nobody tests as root.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn unprivileged_user(passwd: &str) -> Option<(u32, u32)> {
    ["postgres", "nobody"].iter().find_map(|wanted| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            if name == *wanted { Some((uid.parse().ok()?, gid.parse().ok()?)) } else { None }
        })
    })
}

/// PGHOST, PGOPTIONS and the like belong to the developer's own server.
fn without_pg_variables(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    command
}

/// Waits for the watchdog's `ready <port> <folder>`; anything else it says is the reason of a failure.
fn await_ready(answers: ChildStdout) -> Result<(u16, PathBuf, BufReader<ChildStdout>), String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut answers = BufReader::new(answers);
        let mut text = String::new();
        let mut outcome = answers.read_line(&mut text);
        if outcome.is_ok() && !text.starts_with("ready ") {
            outcome = answers.read_to_string(&mut text);
        }
        // Nobody listens any more after the deadline.
        let _ = sender.send(outcome.map(|_| (text, answers)));
    });
    let (text, answers) = receiver
        .recv_timeout(START_DEADLINE)
        .map_err(|e| format!("PostgreSQL did not start within {START_DEADLINE:?}: {e}"))?
        .map_err(|e| format!("cannot read from the watchdog: {e}"))?;
    let (port, folder) =
        parse_ready(&text).ok_or_else(|| format!("PostgreSQL did not start: {}", text.trim()))?;
    Ok((port, folder, answers))
}

fn parse_ready(text: &str) -> Option<(u16, PathBuf)> {
    let (port, folder) = text.trim_end().strip_prefix("ready ")?.split_once(' ')?;
    Some((port.parse().ok()?, PathBuf::from(folder)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;
    use std::time::Instant;

    const HOLD: &str = "SANDPIPER_TEST_HOLD_CLUSTER";

    type Outcome = Result<(), Box<dyn Error>>;

    fn psql(cluster: &Cluster, url: &str, sql: &str) -> io::Result<String> {
        let output = without_pg_variables(&mut Command::new(cluster.programs.join("psql")))
            .args(["-X", "-q", "-At", "-d", url, "-c", sql])
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn wait_until(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !condition() {
            assert!(Instant::now() < deadline, "{what} did not happen");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_misspelt_wish_is_an_error() {
        let parse = |value: &str| parse_wish(Some(OsStr::new(value)));
        assert_eq!(parse_wish(None), Ok(Wish::Optional));
        assert_eq!(parse("optional"), Ok(Wish::Optional));
        assert_eq!(parse("required"), Ok(Wish::Required));
        assert_eq!(parse("off"), Ok(Wish::Off));
        assert!(parse("require").is_err());
    }

    #[test]
    fn the_user_postgres_is_preferred_to_nobody() {
        let nobody = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        assert_eq!(unprivileged_user(nobody), Some((65534, 65533)));
        let both = format!("{nobody}postgres:x:101:104::/:/bin/sh\n");
        assert_eq!(unprivileged_user(&both), Some((101, 104)));
        assert_eq!(unprivileged_user("root:x:0:0::/root:/bin/sh\n"), None);
    }

    #[test]
    fn only_a_complete_ready_line_counts() {
        assert_eq!(parse_ready("ready 5433 /tmp/x\n"), Some((5433, PathBuf::from("/tmp/x"))));
        assert_eq!(parse_ready("ready 5433\n"), None);
        assert_eq!(parse_ready("initdb: error: no space left\n"), None);
    }

    #[test]
    fn schemas_and_databases_are_separate() -> Outcome {
        let Some(cluster) = require_or_list("schemas_and_databases_are_separate") else {
            return Ok(());
        };
        for url in [cluster.schema_url()?, cluster.schema_url()?, cluster.database_url()?] {
            psql(cluster, &url, "CREATE TABLE only_here (id int)")?;
            assert_eq!(psql(cluster, &url, "SELECT count(*) FROM only_here")?, "0");
        }
        assert_eq!(psql(cluster, &cluster.schema_url()?, "SHOW server_encoding")?, "UTF8");
        assert_eq!(psql(cluster, &cluster.schema_url()?, "SHOW max_connections")?, "200");
        Ok(())
    }

    /// Not a test by itself: the process that the next test kills.
    #[test]
    fn hold_a_cluster() -> Outcome {
        if env::var_os(HOLD).is_none() {
            return Ok(());
        }
        let Some(cluster) = require_or_list("hold_a_cluster") else {
            return Ok(());
        };
        let pid_file = fs::read_to_string(cluster.folder().join("data/postmaster.pid"))?;
        let pid = pid_file.lines().next().unwrap_or_default();
        writeln!(io::stdout(), "\nholding {pid} {}", cluster.folder().display())?;
        io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    }

    #[test]
    fn a_killed_test_process_leaves_nothing_behind() -> Outcome {
        let test = "a_killed_test_process_leaves_nothing_behind";
        let Some(_) = require_or_list(test) else {
            return Ok(());
        };
        let module = module_path!().split_once("::").map_or("", |(_, rest)| rest);
        let mut holder = Command::new(env::current_exe()?)
            .args(["--exact", &format!("{module}::hold_a_cluster"), "--nocapture"])
            .env(HOLD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(holder.stdout.take().ok_or("no standard output")?).lines();
        let said =
            lines.map_while(Result::ok).find_map(|line| line.strip_prefix("holding ").map(str::to_owned));
        // `Child::kill` is SIGKILL: no destructor, no handler, no `atexit` runs.
        holder.kill()?;
        holder.wait()?;
        let said = said.ok_or("the holder has no cluster")?;
        let (pid, folder) = said.split_once(' ').ok_or("the holder's line is incomplete")?;
        wait_until("the removal of the folder", || !Path::new(folder).exists());
        // A container whose first process reaps nobody keeps it as a zombie: that has no command line.
        let command_line = Path::new("/proc").join(pid).join("cmdline");
        wait_until("the end of the server", || {
            fs::read(&command_line).is_ok_and(|line| line.is_empty()) || !command_line.exists()
        });
        Ok(())
    }
}
