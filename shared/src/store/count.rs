//! How many rows a table has, kept by triggers.

use diesel::prelude::*;

use super::schema::row_counts;
use super::{Connection, StoreError};

/// A table whose rows are counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counted {
    Companies,
    Users,
    Slices,
    Subscriptions,
    Activity,
}

impl Counted {
    fn table(self) -> &'static str {
        match self {
            Self::Companies => "companies",
            Self::Users => "users",
            Self::Slices => "slices",
            Self::Subscriptions => "subscriptions",
            Self::Activity => "activity",
        }
    }
}

/// Rows of a table. There are few shards: adding them up is cheap.
pub(super) fn of(conn: &mut Connection, table: Counted) -> Result<i64, StoreError> {
    let shards: Vec<i64> =
        row_counts::table.filter(row_counts::name.eq(table.table())).select(row_counts::total).load(conn)?;
    Ok(shards.iter().sum())
}
