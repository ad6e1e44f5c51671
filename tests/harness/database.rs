//! A database per test: SQLite always, PostgreSQL where it can be had (see [`crate::postgres`]).

use crate::postgres::Cluster;
use shared::store::{DatabaseUrl, Store, create_file};

/// An empty database that vanishes with the test.
pub struct TestDatabase {
    url: DatabaseUrl,
    /// The URL as an operator writes it.
    text: String,
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
        Self { _folder: Some(folder), ..Self::at(format!("sqlite://{}", file.display())) }
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
        Self::at(cluster.schema_url().expect("a new schema"))
    }

    /// As [`postgres`](Self::postgres), but a database of its own: where advisory locks must not meet those of other
    /// tests.
    ///
    /// # Panics
    /// When PostgreSQL is required and missing.
    pub fn postgres_alone(test: &str) -> Option<Self> {
        let cluster = crate::postgres::require_or_list(test)?;
        Some(Self::at(cluster.database_url().expect("a new database")))
    }

    /// One of each kind that can be had.
    pub fn each(test: &str) -> Vec<Self> {
        std::iter::once(Self::sqlite()).chain(Self::postgres(test)).collect()
    }

    /// The same database once more; it vanishes with the original.
    #[must_use]
    pub fn same(&self) -> Self {
        Self { url: self.url.clone(), text: self.text.clone(), _folder: None }
    }

    fn at(text: String) -> Self {
        Self { url: text.parse().expect("the harness writes good URLs"), text, _folder: None }
    }

    /// What `--database` takes.
    pub fn text(&self) -> &str {
        &self.text
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
