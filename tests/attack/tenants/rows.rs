//! Every row of a database as it stands, and whose it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::{QueryableByName, RunQueryDsl as _, sql_query};
use serde_json::{Map, Value};
use shared::store::{self, AnyConnection, Connection, Store, StoreError};

/// A row of any table.
pub struct Row {
    pub table: String,
    /// Values as texts.
    columns: BTreeMap<String, String>,
    /// Companies that may read it, as [`normal`] writes their ids.
    readers: BTreeSet<String>,
    /// The company whose own doings may change it; `None` for what only staff changes.
    owner: Option<String>,
}

/// All rows of all tables.
pub struct Rows(pub Vec<Row>);

/// What requests, sessions and counters write beside what they are about, and what mints count.
const NOT_COMPARED: [(&str, &str); 2] = [("sessions", "last_seen_at"), ("keyring", "seals")];

/// Counters of whole tables, of wrong passwords, which cannot be told from each other, and of whatever ends or changes.
const NOT_ROWS: [&str; 4] = ["row_counts", "login_failures", "high_water", "credential_stamp"];

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = diesel::sql_types::Text)]
    text: String,
}

fn texts(conn: &mut Connection, sql: &str) -> Result<Vec<String>, StoreError> {
    let rows: Vec<Text> = store::on_backend!(conn, |c| sql_query(sql).load(c))?;
    Ok(rows.into_iter().map(|row| row.text).collect())
}

/// Straight from the database, by no code of the product.
fn read(conn: &mut Connection) -> Result<Vec<(String, String)>, StoreError> {
    let is_sqlite = matches!(conn, AnyConnection::Sqlite(_));
    let tables = if is_sqlite {
        "SELECT name AS text FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    } else {
        "SELECT table_name::text AS text FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1"
    };
    let mut rows = Vec::new();
    for table in texts(conn, tables)?.into_iter().filter(|table| !table.starts_with("__")) {
        let sql = if is_sqlite {
            let names = texts(conn, &format!("SELECT name AS text FROM pragma_table_info('{table}')"))?;
            let members: Vec<String> = names
                .iter()
                .map(|name| {
                    format!("'{name}', CASE typeof({name}) WHEN 'blob' THEN hex({name}) ELSE {name} END")
                })
                .collect();
            format!("SELECT json_object({}) AS text FROM {table}", members.join(", "))
        } else {
            format!("SELECT to_jsonb(t)::text AS text FROM {table} t")
        };
        rows.extend(texts(conn, &sql)?.into_iter().map(|row| (table.clone(), row)));
    }
    Ok(rows)
}

/// As both databases and the wire agree to write it: ids without hyphens, all in lower case.
pub fn normal(text: &str) -> String {
    text.to_lowercase().replace("+00:00", "z").replace('-', "")
}

impl Rows {
    pub async fn of(store: &Store) -> Self {
        let all = store.read(read).await.unwrap();
        let mut rows: Vec<Row> = all
            .into_iter()
            .filter(|(table, _row)| !NOT_ROWS.contains(&table.as_str()))
            .map(|(table, row)| {
                let members: Map<String, Value> = serde_json::from_str(&row).unwrap();
                let bare = |text: &str| text.strip_prefix("\\x").unwrap_or(text).to_owned();
                let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), bare);
                let columns = members
                    .into_iter()
                    .filter(|(_name, value)| !value.is_null())
                    .map(|(name, value)| (name, text(value)))
                    .collect();
                Row { table, columns, readers: BTreeSet::new(), owner: None }
            })
            .collect();
        assign(&mut rows);
        Self(rows)
    }

    /// What nobody but staff and those other companies can change: it must be the same after what `company` did.
    pub fn beyond(&self, company: &str) -> BTreeSet<String> {
        let company = normal(company);
        let rows = self.0.iter().filter(|row| row.owner.as_ref() != Some(&company));
        rows.map(|row| {
            let compared = row
                .columns
                .iter()
                .filter(|(name, _text)| !NOT_COMPARED.contains(&(row.table.as_str(), name.as_str())));
            format!("{} {:?}", row.table, compared.collect::<Vec<_>>())
        })
        .collect()
    }

    /// Rows that a company may read, or those that it may not.
    pub fn readable(&self, company: &str, wanted: bool) -> impl Iterator<Item = &Row> {
        let company = normal(company);
        self.0.iter().filter(move |row| row.readers.contains(&company) == wanted)
    }

    /// The texts of a column, in rows that a company may read, or in those that it may not.
    pub fn column(&self, company: &str, readable: bool, table: &str, column: &str) -> Vec<String> {
        let rows = self.readable(company, readable).filter(|row| row.table == table);
        rows.filter_map(|row| row.get(column)).map(str::to_owned).collect()
    }

    /// Names of all columns of all tables.
    pub fn columns(&self) -> BTreeSet<String> {
        self.0.iter().flat_map(|row| row.columns.keys().cloned()).collect()
    }
}

impl Row {
    pub fn get(&self, column: &str) -> Option<&str> {
        self.columns.get(column).map(String::as_str)
    }

    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.columns.values().map(String::as_str)
    }
}

/// Says of each row whose it is. A table that is not named here fails the test: somebody has to say whose its rows are.
fn assign(rows: &mut [Row]) {
    let index = |table: &str, from: &str, to: &str| -> HashMap<String, String> {
        let rows = rows.iter().filter(|row| row.table == table);
        rows.filter_map(|row| Some((row.get(from)?.to_owned(), row.get(to)?.to_owned()))).collect()
    };
    let company_of_user = index("users", "id", "company_id");
    let user_of_session = index("sessions", "id", "user_id");
    let company_of_key = index("api_keys", "key_id", "company_id");
    let slice_of_grain = index("grains", "row_id", "slice_id");
    let current = index("slices", "id", "current_version");
    let companies: BTreeSet<String> = rows
        .iter()
        .filter(|row| row.table == "companies")
        .filter_map(|row| row.get("id").map(str::to_owned))
        .collect();
    let subscribers = |slice: Option<&str>, active_only: bool| -> BTreeSet<String> {
        let is_on = |row: &Row, name| matches!(row.get(name), Some("1" | "true"));
        let subs = rows.iter().filter(|row| row.table == "subscriptions" && row.get("slice_id") == slice);
        subs.filter(|sub| !active_only || is_on(sub, "active") && is_on(sub, "offered"))
            .filter_map(|sub| sub.get("company_id").map(str::to_owned))
            .collect()
    };
    let of_user = |user: Option<&str>| user.and_then(|user| company_of_user.get(user)).cloned();
    let is_published = |row: &Row| {
        let version = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
        let current = row.get("slice_id").and_then(|slice| current.get(slice)).map(String::as_str);
        version(row.get("added_in")) <= version(current)
    };
    let mut found = Vec::new();
    for row in rows.iter() {
        let get = |name| row.get(name).map(str::to_owned);
        let (owner, readers) = match row.table.as_str() {
            "companies" => (get("id"), None),
            "users" | "api_keys" | "activity" | "receipts" | "receivers" => (get("company_id"), None),
            "sessions" | "login_sources" => (of_user(row.get("user_id")), None),
            "spent_tokens" => {
                let user = row.get("session_id").and_then(|session| user_of_session.get(session));
                (of_user(user.map(String::as_str)), None)
            }
            "mint_replies" => (row.get("key_id").and_then(|key| company_of_key.get(key)).cloned(), None),
            "subscriptions" => (None, Some(get("company_id").into_iter().collect())),
            // What a company may sync it is told of also while its subscription is off.
            "slices" => (None, Some(subscribers(row.get("id"), false))),
            "slice_versions" => (None, Some(subscribers(row.get("slice_id"), false))),
            "grains" | "slice_metadata" if is_published(row) => {
                (None, Some(subscribers(row.get("slice_id"), true)))
            }
            "grain_chunks" => {
                let slice = row.get("grain_row").and_then(|grain| slice_of_grain.get(grain));
                (None, Some(subscribers(slice.map(String::as_str), true)))
            }
            // Everybody is told which server this is.
            "settings" => (None, Some(companies.clone())),
            // Drafts, and the staff's own.
            "grains" | "slice_metadata" | "tags" | "slice_tags" | "keyring" | "imports" | "partners"
            | "sync_runs" | "outbox" | "schedules" | "stages" | "version_leases" | "recoveries"
            | "deaths" => (None, Some(BTreeSet::new())),
            other => panic!("whose are the rows of {other}?"),
        };
        let readers = readers.unwrap_or_else(|| owner.iter().cloned().collect());
        found.push((owner, readers));
    }
    for (row, (owner, readers)) in rows.iter_mut().zip(found) {
        row.owner = owner.as_deref().map(normal);
        row.readers = readers.iter().map(|id| normal(id)).collect();
    }
}
