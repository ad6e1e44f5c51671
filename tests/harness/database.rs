//! A database per test: SQLite always, PostgreSQL where it can be had (see [`crate::postgres`]).

use crate::postgres::Cluster;
use shared::store::{DatabaseUrl, Store, create_file};

/// An empty database that vanishes with the test.
pub struct TestDatabase {
    url: DatabaseUrl,
    _folder: Option<tempfile::TempDir>,
}

impl TestDatabase {
    /// A fresh SQLite file.
    ///
    /// # Panics
    /// Without a temporary folder.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("test.db");
        create_file(&file).expect("a new file");
        Self { url: DatabaseUrl::Sqlite(file), _folder: Some(folder) }
    }

    /// A fresh schema on PostgreSQL; `None` (and a printed line) where there is none.
    ///
    /// # Panics
    /// When PostgreSQL is required and missing.
    pub fn postgres(test: &str) -> Option<Self> {
        crate::postgres::require_or_list(test).map(Self::on)
    }

    /// A fresh schema on `cluster`.
    ///
    /// # Panics
    /// When it does not take one.
    pub fn on(cluster: &Cluster) -> Self {
        let url = cluster.schema_url().expect("a new schema");
        Self { url: url.parse().expect("the harness writes good URLs"), _folder: None }
    }

    /// As [`postgres`](Self::postgres), but a database of its own: where advisory locks must not meet those of other
    /// tests.
    ///
    /// # Panics
    /// When PostgreSQL is required and missing.
    pub fn postgres_alone(test: &str) -> Option<Self> {
        let cluster = crate::postgres::require_or_list(test)?;
        let url = cluster.database_url().expect("a new database");
        Some(Self { url: url.parse().expect("the harness writes good URLs"), _folder: None })
    }

    /// One of each kind that can be had.
    pub fn each(test: &str) -> Vec<Self> {
        std::iter::once(Self::sqlite()).chain(Self::postgres(test)).collect()
    }

    /// The same database once more; it vanishes with the original.
    #[must_use]
    pub fn same(&self) -> Self {
        Self { url: self.url.clone(), _folder: None }
    }

    /// Where it is.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Opened and migrated.
    ///
    /// # Panics
    /// When it does not open.
    pub fn store(&self) -> Store {
        Store::open(self.url.clone()).expect("a database that opens")
    }
}
