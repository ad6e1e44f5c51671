//! Printing results: text for people, one JSON document for machines.

use std::io::Write as _;

use serde::Serialize;

use super::Failure;

/// Characters of a table's cell.
const MAX_CELL: usize = 120;

/// Prints `text`, or `value` as JSON.
///
/// # Errors
/// A closed or full standard output.
pub fn print(as_json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let line = if as_json {
        let json = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(error.to_string()))?;
        json_escaped(&json)
    } else {
        text()
    };
    write_line(&line)
}

/// One JSON array, written element by element: it may be longer than should be held.
#[derive(Default)]
pub struct Array {
    is_begun: bool,
}

impl Array {
    /// Prints an element.
    ///
    /// # Errors
    /// A closed or full standard output.
    pub fn add(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let value = serde_json::to_string(value).map_err(|error| Failure::failed(error.to_string()))?;
        let before = if self.is_begun { ',' } else { '[' };
        self.is_begun = true;
        write_line(&format!("{before}{}", json_escaped(&value)))
    }

    /// Ends it.
    ///
    /// # Errors
    /// A closed or full standard output.
    pub fn end(self) -> Result<(), Failure> {
        write_line(if self.is_begun { "]" } else { "[]" })
    }
}

/// JSON may hold DEL and the control characters behind it as they are: a terminal must not get them, and a program must.
fn json_escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            text.push_str("\\u");
            let code = u32::from(c);
            for shift in [12, 8, 4, 0] {
                text.extend(char::from_digit((code >> shift) & 15, 16));
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// Prints one line or block.
///
/// # Errors
/// A closed or full standard output.
pub fn write_line(text: &str) -> Result<(), Failure> {
    write_verbatim(&format!("{}\n", printable(text)))
}

/// Prints a text of our own as it is, tabs and all.
///
/// # Errors
/// A closed or full standard output.
pub fn write_verbatim(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `… | head` closed it: what was asked for was printed.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Names and messages come from other companies: what could move a cursor or ring a bell becomes visible.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{FFFD}' } else { c }).collect()
}

/// A name, key or text of another company on one line: what a terminal would act on, or would show in another order, is
/// written out as an escape.
pub fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || reorders || matches!(c, '\u{2028}' | '\u{2029}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Rows under a heading, columns as wide as their widest cell.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| short(cell)).collect()).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .chain(heading.get(column).map(|cell| cell.chars().count()))
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut heading.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// One line of a table's cell.
fn short(text: &str) -> String {
    let mut line = printable(text).replace('\n', " ");
    if let Some((at, _char)) = line.char_indices().nth(MAX_CELL) {
        line.truncate(at);
        line.push('…');
    }
    line
}

/// `1.5 MB`, for people.
pub fn size(bytes: i64) -> String {
    let bytes = u64::try_from(bytes).unwrap_or_default();
    indicatif::HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::{escaped, json_escaped};

    #[test]
    fn json_comes_through_a_terminal_as_it_was() {
        let text = "a\u{7f}\u{9b}31m\u{85}\u{1b}\nü";
        let json = serde_json::to_string(text).unwrap();
        let shown = json_escaped(&json);
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }

    #[test]
    fn what_a_terminal_acts_on_is_written_out() {
        assert_eq!(escaped("a\u{1b}[31m\r\n\tb"), "a\\u{1b}[31m\\r\\n\\tb");
        assert_eq!(escaped("x\u{202e}y\u{9b}"), "x\\u{202e}y\\u{9b}");
        assert_eq!(escaped("Größe \u{1F697} \"q\""), "Größe \u{1F697} \"q\"");
    }
}
