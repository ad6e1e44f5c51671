//! One connection type for both databases, and how a URL chooses between them.

use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, SqliteConnection};

pub use super::any_connection::AnyConnection;
use super::conninfo::Conninfo;
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
    /// `postgres://…` or `postgresql://…`.
    Postgres(Conninfo),
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
            Self::Postgres(info) => write!(f, "{info}"),
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
    /// A service file may name any server.
    #[error("a PostgreSQL service file is not used: write host and name into the URL, and unset PGSERVICE")]
    Service,
    /// A remote PostgreSQL in a build that cannot encrypt (design D7).
    #[error(
        "PostgreSQL at {0} is not on this machine, and this build cannot encrypt: build with the feature postgres-tls, \
         use a tunnel or a Unix socket, or write sslmode=disable into the URL to accept plain text"
    )]
    Unencrypted(String),
    /// Encryption was asked for, and this build has none.
    #[error("sslmode asks for TLS, which this build does not have: build with the feature postgres-tls")]
    NoTls,
    /// `prefer` and `allow` go on in plain text when somebody on the way says so.
    #[error(
        "with this sslmode the connection to PostgreSQL at {0} may be plain text: write sslmode=verify-full, or disable \
         to accept it"
    )]
    MayBePlain(String),
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
            "postgres" | "postgresql" => Conninfo::parse(text).map(Self::Postgres),
            other => Err(UrlError::Scheme(first_chars(other))),
        }
    }
}

/// At most 20 characters: a mistyped URL may hold a password further on.
fn first_chars(text: &str) -> String {
    text.chars().take(20).collect()
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
        DatabaseUrl::Postgres(info) => PgConnection::establish(info.as_str())
            .map(Connection::Postgres)
            .map_err(|error| cannot_open(url, &error)),
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
    let permanent = [
        "does not exist",
        "authentication failed",
        "no pg_hba.conf entry",
        "no password supplied",
        "certificate verify failed",
        "server certificate for",
        "root certificate file",
        "does not support SSL",
        "invalid connection option",
        "invalid sslmode value",
    ];
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
    fn a_url_is_shown_without_its_password() {
        let url: DatabaseUrl = "postgres://me:canary@localhost:5433/x".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "postgres://localhost:5433/x postgres://localhost:5433/x");
    }
}
