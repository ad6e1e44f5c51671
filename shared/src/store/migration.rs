//! The text of the migrations, for whoever wants to read it.

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its folder.
    pub name: &'static str,
    /// What it does.
    pub sql: &'static str,
}

// Made by build.rs from the folder `migrations`.
include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// Those of SQLite or of PostgreSQL, in the order in which they run.
pub fn migrations(is_postgres: bool) -> &'static [Migration] {
    if is_postgres { POSTGRES } else { SQLITE }
}
