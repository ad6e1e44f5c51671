//! `migrate`: brings the database's schema up to date. Every other command does so by itself; this one says what it did.

use serde::Serialize;

use super::{Failure, Global, output};
use crate::server::data_dir::DataDir;
use crate::store::{StoreError, migrate};

#[derive(Serialize)]
struct Migrated {
    database: String,
    applied: Vec<String>,
}

/// Runs pending migrations.
///
/// # Errors
/// Configuration (78), or what the database met.
pub async fn run(global: &Global) -> Result<(), Failure> {
    let dir = DataDir::open(global.data_dir()?)?;
    let url = dir.database(global.database.as_deref(), &dir.config()?)?;
    let database = url.to_string();
    let applied = tokio::task::spawn_blocking(move || migrate(&url))
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))??;
    output::print(global.json, &Migrated { database: database.clone(), applied: applied.clone() }, || {
        if applied.is_empty() {
            format!("{database} is up to date")
        } else {
            format!("{database}: applied {}", applied.join(", "))
        }
    })
}
