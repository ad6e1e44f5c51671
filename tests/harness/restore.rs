//! A primary whose database is copied, and whose copy takes its place later, under the same data folder.

use std::path::Path;

use shared::node::Node;
use shared::server::serve::{Running, ServeOptions};
use shared::store::{DatabaseUrl, create_file};

use crate::TestDatabase;
use crate::node::{ADMIN, TestPrimary, another_node, login, quick};
use crate::postgres::{Postgres, cluster};

/// The data folder, keys and database of a primary; servers come and go.
pub struct Home {
    database: TestDatabase,
    root_key: shared::crypto::root_key::RootKey,
    server_id: shared::wire::Id,
    folder: tempfile::TempDir,
}

/// The database as of one moment.
pub enum Backup {
    /// A file.
    Sqlite(tempfile::NamedTempFile),
    /// A script.
    Postgres(String),
}

impl Home {
    /// A new primary, which does not serve yet.
    ///
    /// # Panics
    /// When it cannot be founded.
    pub async fn found(database: TestDatabase) -> Self {
        let primary = TestPrimary::start_on(database, None).await;
        let folder = primary.data_dir();
        let (root_key, server_id) = (primary.root_key.clone(), primary.server_id);
        let database = primary.stop_and_keep().await;
        Self { database, root_key, server_id, folder }
    }

    /// The data folder: the real command line works with it too.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A node as a command of this folder opens it.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn node(&self) -> Node {
        self.node_in(self.folder()).await
    }

    /// The same of another folder.
    ///
    /// # Panics
    /// As [`node`](Self::node).
    pub async fn node_in(&self, folder: &Path) -> Node {
        let node = another_node(&self.database, &self.root_key, quick()).await;
        node.store.remember_in(folder, self.server_id).await.expect("a folder that remembers");
        node
    }

    /// A server of this folder.
    ///
    /// # Panics
    /// When it does not start, or lets its admin not in.
    pub async fn serve(&self) -> TestPrimary {
        self.serve_in(self.folder()).await
    }

    /// A server of another folder on the same database: as on another machine.
    ///
    /// # Panics
    /// As [`serve`](Self::serve).
    pub async fn serve_in(&self, folder: &Path) -> TestPrimary {
        self.serve_with(folder, ServeOptions::loopback()).await
    }

    /// A server of this folder where another one was.
    ///
    /// # Panics
    /// As [`serve`](Self::serve).
    pub async fn serve_at(&self, url: &str) -> TestPrimary {
        let listen = url.trim_start_matches("http://").parse().expect("an address");
        self.serve_with(self.folder(), ServeOptions { listen, ..ServeOptions::loopback() }).await
    }

    async fn serve_with(&self, folder: &Path, options: ServeOptions) -> TestPrimary {
        let (node, cli) = (self.node_in(folder).await, self.node_in(folder).await);
        let running = primary::start(node, options).expect("a free port");
        let url = running.url();
        let admin = login(&url, ADMIN.0, ADMIN.1).await;
        TestPrimary {
            url,
            server_id: self.server_id,
            admin,
            node: cli,
            root_key: self.root_key.clone(),
            running,
            database: self.database.same(),
        }
    }

    /// A server of this folder that may let nobody in.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn serve_strangers(&self) -> Running {
        primary::start(self.node().await, ServeOptions::loopback()).expect("a free port")
    }

    /// The database as of now, while servers use it.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub async fn back_up(&self) -> Backup {
        match self.database.url() {
            DatabaseUrl::Sqlite(_) => {
                let file = tempfile::NamedTempFile::new().expect("a temporary file");
                self.database.store().back_up(file.path()).await.expect("a copy");
                Backup::Sqlite(file)
            }
            DatabaseUrl::Postgres(_) => {
                let Postgres::Available(cluster) = cluster() else { panic!("it was there a moment ago") };
                Backup::Postgres(cluster.dump(self.database.text(), self.schema()).expect("a dump"))
            }
        }
    }

    /// Puts a copy in the place of the database. On SQLite nobody may use it.
    ///
    /// # Panics
    /// When it cannot be put there.
    pub fn restore(&self, backup: &Backup) {
        match (backup, self.database.url()) {
            (Backup::Sqlite(copy), DatabaseUrl::Sqlite(path)) => {
                for beside in ["", "-wal", "-shm"] {
                    let mut name = path.clone().into_os_string();
                    name.push(beside);
                    drop(std::fs::remove_file(name));
                }
                create_file(path).expect("a new file");
                std::fs::write(path, std::fs::read(copy.path()).expect("the copy")).expect("a restored file");
            }
            (Backup::Postgres(script), DatabaseUrl::Postgres(_)) => {
                let Postgres::Available(cluster) = cluster() else { panic!("it was there a moment ago") };
                let script = format!("DROP SCHEMA {} CASCADE;\n{script}", self.schema());
                cluster.script(self.database.text(), &script).expect("a restored schema");
            }
            _ => panic!("a backup of another kind"),
        }
    }

    /// Ends all connections to a PostgreSQL database that is this primary's alone.
    ///
    /// # Panics
    /// When it refuses.
    pub fn cut_connections(&self) {
        let Postgres::Available(cluster) = cluster() else { panic!("it was there a moment ago") };
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        cluster.script(self.database.text(), sql).expect("ended connections");
    }

    fn schema(&self) -> &str {
        self.database.text().split_once("search_path%3D").map_or("public", |(_url, schema)| schema)
    }
}
