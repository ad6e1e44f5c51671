//! One connection type for both databases, and how a URL chooses between them.

use std::path::{Path, PathBuf};

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager as _};
use diesel::r2d2::ManageConnection;
use diesel::{Connection as _, PgConnection, RunQueryDsl as _, SqliteConnection};

pub use super::any_connection::AnyConnection;
use super::error::StoreError;

/// The connection that queries take.
pub type Connection = AnyConnection;

/// Runs the same tokens against the concrete connection: for batches and upserts, which the common subset lacks.
#[macro_export]
macro_rules! on_backend {
    ($conn:expr, |$c:ident| $body:expr) => {
        match $conn {
            $crate::store::AnyConnection::Sqlite($c) => $body,
            $crate::store::AnyConnection::Postgres($c) => $body,
        }
    };
}
pub use on_backend;

/// Where the data lives. Parsed from a URL; an unknown scheme is an error, never a new file.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `sqlite:PATH` or `sqlite://PATH`.
    Sqlite(PathBuf),
    /// `postgres://…` or `postgresql://…`, handed to libpq as it is.
    Postgres(String),
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for DatabaseUrl {
    /// Without the password: URLs reach logs and error messages.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(text) => match url::Url::parse(text) {
                Ok(url) => write!(
                    f,
                    "postgres://{}{}{}",
                    url.host_str().unwrap_or_default(),
                    url.port().map(|port| format!(":{port}")).unwrap_or_default(),
                    url.path()
                ),
                Err(_unparsed) => write!(f, "postgres://…"),
            },
        }
    }
}

/// What is wrong with a database URL; each message names the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither `sqlite:` nor `postgres:`.
    #[error("database URL starts with `{0}`: write sqlite:///path/to/file.db or postgres://user@host/name")]
    Scheme(String),
    /// `sqlite:` without a path.
    #[error("database URL names no file: write sqlite:///path/to/file.db")]
    NoPath,
    /// Not a URL that libpq could read.
    #[error("database URL cannot be read: write postgres://user:password@host:5432/name")]
    Malformed,
    /// A remote PostgreSQL in a build that cannot encrypt (design D7).
    #[error(
        "PostgreSQL at {0} is not on this machine and this build cannot encrypt: use a tunnel or a Unix socket, or write \
         sslmode=disable into the URL to accept plain text"
    )]
    Unencrypted(String),
}

impl std::str::FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once(':').ok_or_else(|| UrlError::Scheme(first_chars(text)))?;
        match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() { Err(UrlError::NoPath) } else { Ok(Self::Sqlite(PathBuf::from(path))) }
            }
            "postgres" | "postgresql" => {
                let url = url::Url::parse(text).map_err(|_invalid| UrlError::Malformed)?;
                refuse_plain_remote(&url)?;
                Ok(Self::Postgres(text.to_owned()))
            }
            other => Err(UrlError::Scheme(first_chars(other))),
        }
    }
}

/// At most 20 characters: a mistyped URL may hold a password further on.
fn first_chars(text: &str) -> String {
    text.chars().take(20).collect()
}

fn refuse_plain_remote(url: &url::Url) -> Result<(), UrlError> {
    let mut hosts = vec![url.host_str().unwrap_or_default().to_owned()];
    let mut plain_accepted = false;
    for (name, value) in url.query_pairs() {
        match &*name {
            // libpq prefers `hostaddr` and `host` of the query over the authority.
            "host" | "hostaddr" => hosts.extend(value.split(',').map(str::to_owned)),
            "sslmode" => plain_accepted = value == "disable",
            _ => {}
        }
    }
    let is_local = |host: &String| {
        host.is_empty()
            || host.starts_with('/')
            || host.starts_with('%')
            || host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    match hosts.iter().find(|host| !is_local(host)) {
        Some(remote) if !plain_accepted => Err(UrlError::Unencrypted(remote.clone())),
        _ => Ok(()),
    }
}

/// Opens connections for the pool.
#[derive(Debug)]
pub(super) struct Manager {
    url: DatabaseUrl,
}

impl Manager {
    pub(super) fn new(url: DatabaseUrl) -> Self {
        Self { url }
    }
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = StoreError;

    fn connect(&self) -> Result<Connection, StoreError> {
        open(&self.url)
    }

    fn is_valid(&self, conn: &mut Connection) -> Result<(), StoreError> {
        match conn {
            // An embedded database has no connection to lose.
            Connection::Sqlite(_) => Ok(()),
            Connection::Postgres(conn) => Ok(diesel::sql_query("SELECT 1").execute(conn).map(|_one| ())?),
        }
    }

    fn has_broken(&self, conn: &mut Connection) -> bool {
        // A panic inside a transaction leaves it open: such a connection must not go back.
        if std::thread::panicking() {
            return true;
        }
        match conn {
            Connection::Sqlite(conn) => AnsiTransactionManager::is_broken_transaction_manager(conn),
            Connection::Postgres(conn) => AnsiTransactionManager::is_broken_transaction_manager(conn),
        }
    }
}

/// Opens one connection outside any pool. A missing SQLite file is an error here: only
/// [`create_file`] makes one.
pub(super) fn open(url: &DatabaseUrl) -> Result<Connection, StoreError> {
    match url {
        DatabaseUrl::Sqlite(path) => {
            if !path.is_file() {
                return Err(StoreError::Missing(format!("there is no database file {}", path.display())));
            }
            let mut conn =
                SqliteConnection::establish(&sqlite_uri(path)).map_err(|error| cannot_open(url, &error))?;
            // synchronous=FULL: an acknowledged commit survives a power cut, also in WAL mode.
            conn.batch_execute(
                "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -8192;",
            )?;
            Ok(Connection::Sqlite(conn))
        }
        DatabaseUrl::Postgres(text) => {
            PgConnection::establish(text).map(Connection::Postgres).map_err(|error| cannot_open(url, &error))
        }
    }
}

/// Makes an empty SQLite file that only its owner can read; WAL and shared-memory files inherit the mode.
///
/// # Errors
/// The file system's.
pub fn create_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(|_file| ())
}

/// `mode=rw`: never creates a file.
fn sqlite_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                uri.push(char::from(*byte));
            }
            other => uri.extend(['%', hex_digit(other >> 4), hex_digit(other & 15)]),
        }
    }
    uri.push_str("?mode=rw");
    uri
}

fn hex_digit(half: u8) -> char {
    char::from_digit(u32::from(half), 16).unwrap_or('0')
}

fn cannot_open(url: &DatabaseUrl, error: &diesel::ConnectionError) -> StoreError {
    let text = error.to_string();
    // libpq may quote the connection string; keep the first line, which says why.
    let reason = text.lines().next().unwrap_or_default().trim();
    let message = format!("cannot open {url}: {reason}");
    // These stay wrong however often one tries.
    let permanent =
        ["does not exist", "authentication failed", "no pg_hba.conf entry", "no password supplied"];
    if permanent.iter().any(|words| reason.contains(words)) {
        StoreError::Missing(message)
    } else {
        StoreError::Unavailable(message)
    }
}

#[cfg(test)]
mod tests {
    use super::{DatabaseUrl, UrlError};

    #[test]
    fn a_mistyped_url_is_an_error() {
        for text in ["postgress://x/y", "data.db", "file:x", "mysql://h/d", ""] {
            assert!(matches!(text.parse::<DatabaseUrl>(), Err(UrlError::Scheme(_))), "{text}");
        }
        assert_eq!("sqlite://".parse::<DatabaseUrl>(), Err(UrlError::NoPath));
    }

    #[test]
    fn a_remote_postgresql_is_refused_without_encryption() {
        for text in [
            "postgres://db.example/x",
            "postgres:///x?host=db.example",
            "postgres://localhost/x?hostaddr=10.0.0.1",
        ] {
            assert!(matches!(text.parse::<DatabaseUrl>(), Err(UrlError::Unencrypted(_))), "{text}");
        }
        for text in [
            "postgres://localhost/x",
            "postgres://[::1]:5432/x",
            "postgres:///x?host=/run/postgresql",
            "postgres://db.example/x?sslmode=disable",
        ] {
            assert!(text.parse::<DatabaseUrl>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url: DatabaseUrl = "postgres://me:canary@localhost:5433/x".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "postgres://localhost:5433/x postgres://localhost:5433/x");
    }
}
