//! A copy of a SQLite database while others use it.

use std::path::Path;

use diesel::RunQueryDsl as _;
use diesel::sql_types::Text;

use super::{Connection, Store, StoreError};

impl Store {
    /// Writes the whole database as of now into `file`, which must be empty. Readers and writers go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there is no room; [`StoreError::Unavailable`] on PostgreSQL, which has tools of its own, and for a
    /// path that is no text.
    pub async fn back_up(&self, file: &Path) -> Result<(), StoreError> {
        let path = file.to_str().ok_or_else(|| unavailable("the path is no text"))?.to_owned();
        self.read(move |conn| match conn {
            Connection::Sqlite(conn) => {
                diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(path).execute(conn)?;
                Ok(())
            }
            Connection::Postgres(_) => Err(unavailable("PostgreSQL is copied by pg_dump")),
        })
        .await
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}
