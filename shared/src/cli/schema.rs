//! `schema`: the SQL that makes the tables, for whoever wants to read it or has it run by another hand.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Failure, Global, output};
use crate::store::{DatabaseUrl, Migration, UrlError, migrations};

/// Options of `schema`.
#[derive(Args, Clone, Debug)]
pub struct Schema {
    /// For which database [default: that of --database, else sqlite]
    #[arg(long, value_enum, value_name = "KIND")]
    pub backend: Option<Backend>,
}

/// Kinds of databases.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum Backend {
    /// The built-in one
    Sqlite,
    /// A PostgreSQL server
    Postgres,
}

#[derive(Serialize)]
struct Step {
    name: &'static str,
    sql: &'static str,
}

/// Prints the migrations in the order in which they run. Needs no data folder and no database.
///
/// # Errors
/// Configuration (78) for a database URL that is none.
pub fn run(global: &Global, schema: &Schema) -> Result<(), Failure> {
    let is_postgres = match (schema.backend, &global.database) {
        (Some(backend), _) => matches!(backend, Backend::Postgres),
        (None, Some(url)) => {
            let url: DatabaseUrl =
                url.parse().map_err(|error: UrlError| Failure::config(error.to_string()))?;
            matches!(url, DatabaseUrl::Postgres(_))
        }
        (None, None) => false,
    };
    let step = |migration: &Migration| Step { name: migration.name, sql: migration.sql };
    let steps: Vec<Step> = migrations(is_postgres).iter().map(step).collect();
    if global.json {
        return output::print(true, &steps, String::new);
    }
    let texts: Vec<String> =
        steps.iter().map(|step| format!("-- {}\n{}", step.name, step.sql.trim_end())).collect();
    output::write_verbatim(&format!("{}\n", texts.join("\n\n")))
}
