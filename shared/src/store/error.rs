//! What can go wrong in the database, as questions a service can ask.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// An error of the store. Its text is for the log and the operator, never for a client.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A uniqueness rule was broken.
    #[error("already exists ({0})")]
    Conflict(String),
    /// A row that is referred to is missing, or still referred to.
    #[error("a related row is missing or still in use ({0})")]
    Reference(String),
    /// The database is locked by another writer for too long.
    #[error("the database is busy: try again")]
    Busy,
    /// No space left for the database. SQLite says the same when its disk fails.
    #[error("the database cannot be written: no space is left, or the disk fails; free some and try again")]
    Full,
    /// The database cannot be reached.
    #[error("{0}")]
    Unavailable(String),
    /// The connection was lost while committing: the change may be there or not.
    #[error("{0}: the change may have been made or not")]
    OutcomeUnknown(String),
    /// The database file, database or its user does not exist, or lets nobody in.
    #[error("{0}")]
    Missing(String),
    /// The schema is newer than this program.
    #[error("the database was written by a newer version ({0}): upgrade this program")]
    NewerSchema(String),
    /// The database is older than what this node remembers.
    #[error(
        "the database is older than what this node remembers: keys and logins that ended since may be alive in it; \
         restore a newer copy, or stop the server and run `recover --accept-rollback`"
    )]
    RolledBack,
    /// What this node remembers cannot be used.
    #[error("{0}")]
    HighWater(String),
    /// Anything not foreseen.
    #[error("database error: {0}")]
    Internal(String),
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, info) => {
                let message = info.message().to_owned();
                match kind {
                    DatabaseErrorKind::UniqueViolation => Self::Conflict(message),
                    DatabaseErrorKind::ForeignKeyViolation => Self::Reference(message),
                    DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                        Self::Unavailable(format!("the connection to the database was lost: {message}"))
                    }
                    DatabaseErrorKind::SerializationFailure => Self::Busy,
                    DatabaseErrorKind::ReadOnlyTransaction => {
                        Self::Unavailable(format!("the database cannot be written (a standby?): {message}"))
                    }
                    _ => Self::of_message(message),
                }
            }
            DieselError::BrokenTransactionManager => {
                Self::Unavailable("the connection to the database was lost".to_owned())
            }
            other => Self::Internal(other.to_string()),
        }
    }
}

impl StoreError {
    /// The same, met by a commit: whether it was done is not known.
    pub(super) fn of_commit(self) -> Self {
        match self {
            Self::Unavailable(message) => Self::OutcomeUnknown(message),
            other => other,
        }
    }

    /// Both databases report these as kind "unknown". SQLite's texts are `sqlite3_errstr`'s and stable; PostgreSQL's are
    /// libpq's and the server's, in English whatever the server's language is where libpq itself speaks.
    fn of_message(message: String) -> Self {
        let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
        if says(&["database is locked", "database table is locked", "lock timeout", "deadlock detected"]) {
            Self::Busy
        } else if says(&["disk is full", "No space left", "disk I/O error"]) {
            Self::Full
        } else if says(&[
            "terminating connection",
            "server closed the connection",
            "no connection to the server",
            "could not receive data from server",
            "could not send data to server",
            "SSL connection has been closed",
            "SSL SYSCALL error",
            "Connection reset by peer",
            "connection not open",
            "the database system is",
        ]) {
            Self::Unavailable(message)
        } else if says(&["file is not a database"]) {
            Self::Missing("the database file is damaged or no SQLite database".to_owned())
        } else {
            Self::Internal(message)
        }
    }
}
