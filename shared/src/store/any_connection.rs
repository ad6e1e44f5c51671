//! The connection enum, alone in its file: the derive's glob imports clash with the name `Connection`.

use diesel::{PgConnection, SqliteConnection};

/// A connection to either database. Queries of the common subset run on it as it is; what differs goes
/// through [`on_backend!`](crate::on_backend).
#[derive(diesel::MultiConnection)]
pub enum AnyConnection {
    /// The embedded default.
    Sqlite(SqliteConnection),
    /// For several primaries behind a load balancer.
    Postgres(PgConnection),
}
