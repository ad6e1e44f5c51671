//! The table of docs/api.md about recorded exchanges, read as a reader reads it.

use super::recording::Exchange;

const API: &str = include_str!("../../docs/api.md");
/// Its heading.
pub const DIFFERENCES: &str = "## Recorded exchanges that are answered differently";

/// A row: how one recorded exchange is answered here.
#[derive(Debug)]
pub struct Row {
    /// `P`, `S` or `both`.
    pub server: String,
    pub name: String,
    pub method: String,
    /// `:x` stands for any segment of the path, `…` for the rest of the query.
    pub pattern: String,
    pub reference: u16,
    pub status: u16,
    pub code: Option<String>,
    pub reason: String,
}

/// The section of a heading, without the heading.
pub fn section(heading: &str) -> &'static str {
    let (_before, after) =
        API.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    after.split("\n#").next().unwrap()
}

/// The rows of the table.
pub fn rows() -> Vec<Row> {
    let lines = section(DIFFERENCES).lines().filter(|line| line.starts_with('|'));
    // Without the head and the rule below it.
    lines.skip(2).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [server, name, request, reference, here, reason] = cells[..] else {
        panic!("not six columns: {line}")
    };
    let (method, pattern) = request.trim_matches('`').split_once(' ').unwrap_or_else(|| panic!("{line}"));
    let (status, code) = here.split_once(' ').map_or((here, None), |(status, code)| (status, Some(code)));
    Row {
        server: server.to_owned(),
        name: name.to_owned(),
        method: method.to_owned(),
        pattern: pattern.to_owned(),
        reference: reference.parse().unwrap_or_else(|_| panic!("{line}")),
        status: status.parse().unwrap_or_else(|_| panic!("{line}")),
        code: code.map(|code| code.trim_matches('`').to_owned()),
        reason: reason.to_owned(),
    }
}

impl Row {
    /// Whether it is about exchanges with this server, `P` or `S`.
    pub fn is_about(&self, server: &str) -> bool {
        self.server == server || self.server == "both"
    }

    /// Whether method, path and recorded status are those of the exchange.
    pub fn describes(&self, exchange: &Exchange) -> bool {
        let split = |path: &str| {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            (path.split('/').map(str::to_owned).collect::<Vec<_>>(), query.to_owned())
        };
        let (pattern, wanted_query) = split(&self.pattern);
        let (path, query) = split(&exchange.path);
        self.name == exchange.name
            && self.method == exchange.method
            && self.reference == exchange.status
            && query == wanted_query
            && pattern.len() == path.len()
            && pattern.iter().zip(&path).all(|(one, other)| one.starts_with(':') || one == other)
    }
}

#[test]
fn the_table_speaks_of_recorded_exchanges_only_and_of_each_once() {
    let rows = rows();
    assert!(!rows.is_empty());
    for (server, text) in super::recorded::RECORDINGS {
        let exchanges = super::recording::exchanges(text);
        for row in rows.iter().filter(|row| row.is_about(server)) {
            let count = exchanges.iter().filter(|exchange| row.describes(exchange)).count();
            assert_eq!(count, 1, "server {server}: {row:?}");
        }
        for exchange in &exchanges {
            let count = rows.iter().filter(|row| row.is_about(server) && row.describes(exchange)).count();
            assert!(count <= 1, "server {server}: {} is listed {count} times", exchange.name);
        }
    }
    for row in &rows {
        assert!(["P", "S", "both"].contains(&row.server.as_str()), "{row:?}");
        assert!(row.reason.len() > 3, "a reader wants to know why: {row:?}");
    }
}

#[test]
fn the_member_that_no_answer_has_is_named_beside_the_table_and_was_recorded() {
    assert!(section(DIFFERENCES).contains(&format!("`{}`", super::shape::NEVER_SHOWN)));
    let [with_primary, with_secondary] =
        super::recorded::RECORDINGS.map(|(_server, text)| super::recording::exchanges(text));
    assert!(with_secondary.iter().any(|exchange| super::shape::shows_a_key(&exchange.answer)));
    let counts = format!("{} with a primary and {} with a", with_primary.len(), with_secondary.len());
    assert!(
        section(DIFFERENCES).contains(&counts),
        "the text counts other exchanges than {counts} secondary"
    );
}
