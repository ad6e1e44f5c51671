//! One sync run per primary at a time, over all processes: a lock that its holder's death releases.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use diesel::RunQueryDsl as _;
use diesel::sql_types::Bool;

use super::connection::{Connection, DatabaseUrl, open};
use super::{Store, StoreError};
use crate::wire::Id;

/// PostgreSQL may take a moment to notice that the holder of a lock is dead; so long it is asked again.
const DEATH_NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// Held while a run lasts; dropping it lets the next one start.
pub struct RunLock {
    _held: Held,
}

enum Held {
    File { _file: File },
    Session { _conn: Box<Connection> },
}

#[derive(diesel::QueryableByName)]
struct Locked {
    #[diesel(sql_type = Bool)]
    locked: bool,
}

impl Store {
    /// The run lock of `primary_id`; `None` while another run holds it. On SQLite a lock on a file beside the
    /// database, on PostgreSQL a session advisory lock: both end with the process, however it ends.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the lock file or the database cannot be opened.
    pub async fn try_run_lock(&self, primary_id: Id) -> Result<Option<RunLock>, StoreError> {
        self.run_lock(primary_id, DEATH_NOTICED_WITHIN).await
    }

    /// Whether a run of `primary_id` holds its lock at this moment. Neither kind of lock can be looked at without being
    /// taken: a run that begins in the very moment of a `false` is told that another one is under way. So ask only where
    /// a record says that one runs.
    ///
    /// # Errors
    /// As [`try_run_lock`](Self::try_run_lock).
    pub async fn is_run_locked(&self, primary_id: Id) -> Result<bool, StoreError> {
        Ok(self.run_lock(primary_id, Duration::ZERO).await?.is_none())
    }

    async fn run_lock(&self, primary_id: Id, patience: Duration) -> Result<Option<RunLock>, StoreError> {
        let url = self.url().clone();
        tokio::task::spawn_blocking(move || match &url {
            DatabaseUrl::Sqlite(path) => {
                let mut name = path.as_os_str().to_owned();
                name.push(format!(".sync-{primary_id}.lock"));
                lock_file(std::path::Path::new(&name))
            }
            DatabaseUrl::Postgres(_) => lock_session(&url, primary_id, patience),
        })
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))?
    }
}

fn lock_file(path: &std::path::Path) -> Result<Option<RunLock>, StoreError> {
    let failed =
        |error: std::io::Error| StoreError::Unavailable(format!("cannot lock {}: {error}", path.display()));
    let file = File::options().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(RunLock { _held: Held::File { _file: file } })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn lock_session(
    url: &DatabaseUrl,
    primary_id: Id,
    patience: Duration,
) -> Result<Option<RunLock>, StoreError> {
    let mut conn = open(url)?;
    let Connection::Postgres(session) = &mut conn else {
        return Err(StoreError::Internal("backend mismatch".to_owned()));
    };
    let deadline = Instant::now() + patience;
    // Such locks are the whole database's; two nodes may share one, each in its schema.
    let question = format!(
        "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || ' {primary_id}', 0)) AS locked"
    );
    loop {
        let row: Locked = diesel::sql_query(&question).get_result(session)?;
        if row.locked {
            return Ok(Some(RunLock { _held: Held::Session { _conn: Box::new(conn) } }));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
