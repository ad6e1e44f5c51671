//! The recorded installation: databases of a reference pair, their secrets and their partners' keys.

use std::io::Read as _;

use serde_json::Value;
use shared::wire::server::ServerRole;
use tests::postgres::Cluster;

/// Password of the recorded admins.
pub const ADMIN: (&str, &str) = ("admin", "Adm1nPassw0rd");
/// Password of every recorded company admin.
pub const COMPANY_ADMIN_PASSWORD: &str = "passw0rd-long";

const PRIMARY: &[u8] = include_bytes!("../fixtures/sandpiper/installation/primary.sql.gz");
const SECONDARY: &[u8] = include_bytes!("../fixtures/sandpiper/installation/secondary.sql.gz");

/// What the recording says of itself: secrets, partners, keys.
pub fn installation() -> Value {
    serde_json::from_str(include_str!("../fixtures/sandpiper/installation/installation.json")).unwrap()
}

/// A database of the reference, restored for one test.
pub struct Source {
    cluster: &'static Cluster,
    pub url: String,
    pub role: ServerRole,
}

impl Source {
    /// `None` (and a printed line) where there is no PostgreSQL.
    pub fn restore(test: &str, role: ServerRole) -> Option<Self> {
        let cluster = tests::postgres::require_or_list(test)?;
        let source = Self { cluster, url: cluster.database_url().unwrap(), role };
        let dump = match role {
            ServerRole::Primary => PRIMARY,
            ServerRole::Secondary => SECONDARY,
        };
        let mut text = String::new();
        flate2::read::GzDecoder::new(dump).read_to_string(&mut text).unwrap();
        // An older psql does not know these two.
        let script: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .collect();
        source.sql(&script.join("\n"));
        Some(source)
    }

    /// Runs SQL on it, as whoever had the run of that database.
    pub fn sql(&self, script: &str) -> String {
        let script = format!("SET client_min_messages = warning;\n{script}\n");
        self.cluster.script(&self.url, &script).unwrap_or_else(|error| panic!("{error}"))
    }

    /// One number.
    pub fn count(&self, sql: &str) -> i64 {
        self.sql(sql).trim().parse().unwrap()
    }

    /// One row a line, as JSON.
    pub fn rows(&self, query: &str) -> Vec<Value> {
        let text = self.sql(&format!("SELECT row_to_json(row) FROM ({query}) AS row;"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The secrets of its settings file.
    pub fn secrets(&self) -> [(&'static str, String); 2] {
        let of = |name: &str| installation()[self.role.as_str()][name].as_str().unwrap().to_owned();
        [("APIKEY_SECRET", of("api_key_secret")), ("JWT_SECRET", of("jwt_secret"))]
    }
}
