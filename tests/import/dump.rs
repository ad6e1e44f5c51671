//! Every row of every table of ours, as text.

use std::collections::BTreeMap;

use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl as _};
use shared::store::{AnyConnection, Store, StoreError};

/// What two imports of one source draw differently: keys, epochs, moments (a stale slice is published now), and numbers
/// of rows that no one sees.
const DRAWN: [(&str, &[&str]); 10] = [
    ("settings", &["root_key_check", "created_at", "updated_at"]),
    ("keyring", &["wrapped", "created_at", "activated_at"]),
    ("slices", &["epoch"]),
    ("slice_versions", &["created_at", "content_date"]),
    ("slice_metadata", &["row_id"]),
    ("grains", &["row_id"]),
    ("grain_chunks", &["grain_row"]),
    ("partners", &["candidate_key", "updated_at"]),
    ("imports", &["started_at", "finished_at"]),
    ("credential_stamp", &["stamp"]),
];

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Tables with their rows in order.
pub type Dump = BTreeMap<String, Vec<String>>;

/// All of it.
pub async fn all(store: &Store) -> Dump {
    dump(store, |_table, _column| true).await
}

/// What every import of one source must have alike.
pub async fn lasting(store: &Store) -> Dump {
    dump(store, |table, column| {
        !DRAWN.iter().any(|(name, columns)| *name == table && columns.contains(&column))
    })
    .await
}

async fn dump(store: &Store, wanted: impl Fn(&str, &str) -> bool + Send + 'static) -> Dump {
    store
        .read(move |conn| -> Result<Dump, StoreError> {
            let is_sqlite = matches!(conn, AnyConnection::Sqlite(_));
            let tables = if is_sqlite {
                "SELECT name AS line FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            } else {
                "SELECT tablename::text AS line FROM pg_tables WHERE schemaname = current_schema()"
            };
            let mut dump = Dump::new();
            for table in load(conn, tables)? {
                if table.starts_with("__diesel") {
                    continue;
                }
                let columns = if is_sqlite {
                    format!("SELECT name AS line FROM pragma_table_info('{table}')")
                } else {
                    format!(
                        "SELECT column_name::text AS line FROM information_schema.columns \
                         WHERE table_schema = current_schema() AND table_name = '{table}' ORDER BY ordinal_position"
                    )
                };
                let cells: Vec<String> = load(conn, &columns)?
                    .into_iter()
                    .filter(|column| wanted(&table, column))
                    .map(|column| {
                        if is_sqlite {
                            format!("quote({column})")
                        } else {
                            format!("coalesce({column}::text, 'NULL')")
                        }
                    })
                    .collect();
                let rows = if table == "row_counts" {
                    // Which connection counted is nobody's business.
                    let total = if is_sqlite { "quote(sum(total))" } else { "sum(total)::text" };
                    format!("SELECT name || ' ' || {total} AS line FROM row_counts GROUP BY name ORDER BY 1")
                } else {
                    format!("SELECT {} AS line FROM {table} ORDER BY 1", cells.join(" || ' ' || "))
                };
                dump.insert(table.clone(), load(conn, &rows)?);
            }
            assert!(dump.len() > 15, "{:?}", dump.keys());
            Ok(dump)
        })
        .await
        .unwrap()
}

fn load(conn: &mut AnyConnection, sql: &str) -> Result<Vec<String>, StoreError> {
    let lines: Vec<Line> = shared::store::on_backend!(conn, |c| diesel::sql_query(sql).load(c))?;
    Ok(lines.into_iter().map(|row| row.line).collect())
}

/// That two are equal, naming the first row that is not.
pub fn assert_equal(one: &Dump, other: &Dump) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (table, rows) in one {
        let others = &other[table];
        let short = |row: Option<&String>| row.map(|row| row.chars().take(400).collect::<String>());
        for at in 0..rows.len().max(others.len()) {
            assert_eq!(short(rows.get(at)), short(others.get(at)), "row {at} of {table}");
        }
        assert_eq!(rows, others, "{table}");
    }
}
