//! The only place that names diesel: rows and queries, one file a table, behind [`Store::read`] and [`Store::write`].

pub mod activity;
mod any_connection;
pub mod api_key;
mod backup;
pub mod company;
mod connection;
mod conninfo;
mod count;
mod error;
pub mod grain;
mod high_water;
mod high_water_file;
pub mod history;
pub mod import;
pub mod keyring;
pub mod list;
pub mod login_failure;
pub mod login_source;
mod memory;
pub mod metadata;
mod migrate;
mod migration;
pub mod mint_reply;
pub mod outbox;
pub mod partner;
pub mod payload;
mod pool;
pub mod receipt;
pub mod reference;
mod remembered;
pub mod retention;
mod run_lock;
pub mod schedule;
mod schema;
pub mod session;
pub mod setting;
pub mod slice;
pub mod spent_token;
pub mod stage;
pub mod subscription;
pub mod sync_run;
pub mod tag;
mod types;
pub mod user;
pub mod version;

use std::path::Path;
use std::sync::Arc;

use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
use tokio::sync::{Mutex, Semaphore};

pub use connection::{AnyConnection, Connection, DatabaseUrl, UrlError, create_file, on_backend};
pub use conninfo::Conninfo;
pub use error::StoreError;
pub use high_water::Death;
use memory::Memory;
pub use memory::Unknown;
pub use migrate::migrate;
pub use migration::{Migration, migrations};
use pool::Pool;
pub use remembered::{Remembered, stamp};
pub use run_lock::RunLock;

use crate::wire::Id;

/// Connections in use at a time: enough for the async threads' blocking work on a small machine.
const POOL_SIZE: usize = 8;

/// The database of a node. Cheap to clone; the one border between async code and blocking queries.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    /// As many permits as connections: waiting happens here, not on a blocking thread.
    permits: Arc<Semaphore>,
    /// SQLite has one writer; queueing here is fair, its busy handler is not.
    writer: Option<Arc<Mutex<()>>>,
}

impl Store {
    /// Opens the database and brings its schema up to date. The file must exist (see [`create_file`]).
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Unavailable`], [`StoreError::NewerSchema`] or what a migration met.
    pub fn open(url: DatabaseUrl) -> Result<Self, StoreError> {
        migrate(&url)?;
        let writer = matches!(url, DatabaseUrl::Sqlite(_)).then(Arc::default);
        let permits = Arc::new(Semaphore::new(POOL_SIZE));
        Ok(Self { inner: Arc::new(Inner { pool: Pool::new(url), permits, writer }) })
    }

    /// Lets the folder of the node `server_id` remember what ends in the database, and looks whether the database still knows
    /// all that the folder remembers. A store without a folder remembers nothing.
    ///
    /// # Errors
    /// [`StoreError::HighWater`] for a file of another node or a damaged one; what SQL or the file system reports.
    pub async fn remember_in(&self, folder: &Path, server_id: Id) -> Result<(), StoreError> {
        let (folder, inner) = (folder.to_owned(), Arc::clone(&self.inner));
        self.run(move |conn| {
            let memory = Memory::open(&folder, server_id, conn)?;
            // One store has one folder: whoever came first has named the same.
            drop(inner.pool.memory.set(memory));
            Ok(())
        })
        .await
    }

    /// Refuses a database that is older than what the node remembers.
    ///
    /// # Errors
    /// [`StoreError::RolledBack`].
    pub fn require_current(&self) -> Result<(), StoreError> {
        self.inner.pool.memory.get().map_or(Ok(()), Memory::require_current)
    }

    /// As [`read`](Self::read), for what decides who is let in: what ended may be alive in a database that was restored from a
    /// backup.
    ///
    /// # Errors
    /// [`StoreError::RolledBack`]; as [`read`](Self::read).
    pub async fn read_current<T, E, F>(&self, query: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        let found = self.run(query).await?;
        // Afterwards: it may have been this very read that met another database.
        self.require_current()?;
        Ok(found)
    }

    /// Brings to death again what a database that was restored from a backup does not know, by `change`, which is told
    /// what that is, in one transaction that begins the lineage `lineage`. `None` when there is nothing to recover.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn recover<T, E, F>(&self, lineage: i64, change: F) -> Result<Option<T>, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Connection, &Unknown) -> Result<T, E> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        self.run(move |conn| match inner.pool.memory.get() {
            Some(memory) => memory.recover(conn, lineage, change),
            None => Ok(None),
        })
        .await
    }

    /// Where the data lives.
    pub fn url(&self) -> &DatabaseUrl {
        self.inner.pool.url()
    }

    /// Runs queries that change nothing. Each statement sees the newest commit; read what must agree in one
    /// statement, or by version.
    ///
    /// # Errors
    /// What `query` returns, or [`StoreError::Unavailable`] without a connection.
    pub async fn read<T, E, F>(&self, query: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        self.run(query).await
    }

    /// Runs `change` in one transaction: committed when it returns `Ok`, undone when it returns `Err` or panics.
    /// It runs to its end even if the caller is dropped. Keep it under 4 MiB of rows or 100 ms (design D7).
    ///
    /// # Errors
    /// What `change` returns; [`StoreError::Busy`], [`StoreError::Full`], [`StoreError::Unavailable`],
    /// [`StoreError::RolledBack`], or [`StoreError::OutcomeUnknown`] when the connection was lost while committing.
    pub async fn write<T, E, F>(&self, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        let turn = match &self.inner.writer {
            Some(writer) => Some(Arc::clone(writer).lock_owned().await),
            None => None,
        };
        let inner = Arc::clone(&self.inner);
        self.run(move |conn| {
            let _turn = turn;
            let memory = inner.pool.memory.get();
            memory.map_or(Ok(()), Memory::require_current)?;
            let (value, mark) = in_transaction(conn, |conn| -> Result<_, E> {
                let value = change(conn)?;
                Ok((value, memory::note_deaths(conn, memory)?))
            })?;
            if let (Some(memory), Some(mark)) = (memory, mark) {
                memory.raise(mark);
            }
            Ok(value)
        })
        .await
    }

    async fn run<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        let closed = || StoreError::Unavailable("the store is closed".to_owned());
        let permit = Arc::clone(&self.inner.permits).acquire_owned().await.map_err(|_closed| closed())?;
        let inner = Arc::clone(&self.inner);
        let outcome = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            inner.pool.with(work)
        })
        .await;
        match outcome {
            Ok(result) => result,
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            Err(_cancelled) => Err(closed().into()),
        }
    }
}

/// `BEGIN IMMEDIATE` on SQLite: a deferred transaction that later writes fails at once when another writer was faster.
fn in_transaction<T, E: From<StoreError>>(
    conn: &mut Connection,
    change: impl FnOnce(&mut Connection) -> Result<T, E>,
) -> Result<T, E> {
    let begin = match conn {
        Connection::Sqlite(conn) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE"),
        Connection::Postgres(conn) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN"),
    };
    begin.map_err(StoreError::from)?;
    // A panic leaves the transaction open; the connection is closed then, which rolls back.
    match change(conn) {
        Ok(value) => {
            on_backend!(conn, |c| AnsiTransactionManager::commit_transaction(c))
                .map_err(|error| StoreError::from(error).of_commit())?;
            Ok(value)
        }
        Err(error) => {
            // The first error is the one to tell; a failed rollback ends with the connection.
            // (SQLite has rolled back by itself when the disk is full.)
            if let Err(rollback) = on_backend!(conn, |c| AnsiTransactionManager::rollback_transaction(c)) {
                tracing::debug!(error = %rollback, "rolling back failed");
            }
            Err(error)
        }
    }
}
