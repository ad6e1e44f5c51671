//! Connections kept open between uses. A database that is away says so at once: nobody waits for it to come back, and
//! the first use after it did gets a fresh connection.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use diesel::RunQueryDsl as _;
use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager as _};

use super::connection::{Connection, DatabaseUrl, open};
use super::error::StoreError;
use super::memory::Memory;

/// A connection that answered this short a time ago is taken to be alive; a longer silence costs a question.
const TRUSTED_FOR: Duration = Duration::from_millis(500);

/// Idle connections of one database. How many are in use at a time is the caller's to bound.
pub(super) struct Pool {
    url: DatabaseUrl,
    idle: Mutex<Vec<Idle>>,
    /// What the node remembers of its database, if it has a data folder.
    pub memory: OnceLock<Memory>,
}

struct Idle {
    conn: Connection,
    /// When it last did what it was asked; `None` if the last thing failed.
    answered: Option<Instant>,
}

impl Pool {
    pub fn new(url: DatabaseUrl) -> Self {
        Self { url, idle: Mutex::default(), memory: OnceLock::new() }
    }

    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Lends a connection to `work`. One that breaks, or that `work` panics with, is closed: its transaction is undone.
    pub fn with<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut conn = self.take()?;
        let result = work(&mut conn);
        if !is_broken(&mut conn) {
            let answered = result.is_ok().then(Instant::now);
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(Idle { conn, answered });
        }
        result
    }

    fn take(&self) -> Result<Connection, StoreError> {
        while let Some(mut idle) = self.pop() {
            let is_trusted = idle.answered.is_some_and(|at| at.elapsed() < TRUSTED_FOR);
            if is_trusted || is_alive(&mut idle.conn) {
                return Ok(idle.conn);
            }
        }
        self.open()
    }

    fn pop(&self) -> Option<Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let mut conn = open(&self.url)?;
        if let Connection::Postgres(conn) = &mut conn {
            // As long as SQLite waits for its writer; and whoever stops in the middle of a transaction holds its locks
            // no longer than a minute.
            conn.batch_execute("SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'")?;
        }
        // Behind the same URL there may be another database by now.
        if let Some(memory) = self.memory.get() {
            memory.meet(&mut conn)?;
        }
        Ok(conn)
    }
}

fn is_alive(conn: &mut Connection) -> bool {
    match conn {
        // An embedded database has no connection to lose.
        Connection::Sqlite(_) => true,
        Connection::Postgres(conn) => diesel::sql_query("SELECT 1").execute(conn).is_ok(),
    }
}

fn is_broken(conn: &mut Connection) -> bool {
    match conn {
        Connection::Sqlite(conn) => AnsiTransactionManager::is_broken_transaction_manager(conn),
        Connection::Postgres(conn) => AnsiTransactionManager::is_broken_transaction_manager(conn),
    }
}
