//! More servers and the real command line on the database of a primary that runs already.

use shared::server::data_dir::{CONFIG, DataDir, ROOT_KEY};
use shared::server::serve::ServeOptions;

use crate::node::{ADMIN, TestPrimary, another_node, login, quick};

impl TestPrimary {
    /// Another server on the same database, with connections of its own: as a second process would be.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn beside(&self) -> Self {
        let node = another_node(&self.database, &self.root_key, quick()).await;
        let cli = another_node(&self.database, &self.root_key, quick()).await;
        let running = primary::start(node, ServeOptions::loopback()).expect("a free port");
        let url = running.url();
        let admin = login(&url, ADMIN.0, ADMIN.1).await;
        Self {
            url,
            server_id: self.server_id,
            admin,
            node: cli,
            root_key: self.root_key.clone(),
            running,
            database: self.database.same(),
        }
    }

    /// A data folder with which the real command line works on this primary's database.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn data_dir(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = self.database.text();
        let dir = DataDir::create(folder.path()).expect("a data folder");
        dir.write_new(ROOT_KEY, self.root_key.to_hex().as_bytes()).expect("a root key");
        dir.write_new(CONFIG, format!("database = {database:?}\n").as_bytes()).expect("settings");
        folder
    }
}
