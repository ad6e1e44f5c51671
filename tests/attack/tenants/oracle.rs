//! What an answer must not hold: anything of what the caller's company may not read.

use std::collections::{BTreeSet, HashMap, HashSet};

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use super::rows::{Row, Rows, normal};

/// Texts are looked up by their first bytes.
const HEAD: usize = 8;

/// What a company must not be told: texts that occur in rows of others only, and what others were answered.
pub struct Canaries {
    by_head: HashMap<Vec<u8>, Vec<String>>,
    /// Numbers of users and of records, which texts cannot tell apart.
    users: HashSet<i64>,
    records: HashSet<i64>,
}

impl Canaries {
    /// For a company.
    pub fn of(rows: &Rows, company: &str, told_others: &[String]) -> Self {
        // Also what stands in a text of one's own, as an address in a URL.
        let visible: Vec<String> = rows.readable(company, true).flat_map(Row::values).map(normal).collect();
        let visible = visible.join("\n");
        let hidden = rows.readable(company, false).flat_map(Row::values).map(normal);
        let told = told_others.iter().cloned();
        let mut by_head: HashMap<Vec<u8>, Vec<String>> = HashMap::new();
        for text in hidden.filter(|text| is_telling(text)).chain(told).collect::<BTreeSet<_>>() {
            if !visible.contains(text.as_str()) {
                by_head.entry(text.as_bytes()[..HEAD].to_vec()).or_default().push(text);
            }
        }
        let numbers = |table| {
            let texts = rows.column(company, false, table, "id");
            texts.iter().filter_map(|text| text.parse().ok()).collect()
        };
        Self { by_head, users: numbers("users"), records: numbers("activity") }
    }

    pub fn count(&self) -> usize {
        self.by_head.values().map(Vec::len).sum()
    }

    /// Those in an answer that were not in the request, nor in what the company has written itself.
    pub fn seen(&self, answer: &str, request: &str, written: &BTreeSet<String>) -> Vec<String> {
        let (answer_texts, request) = (unpacked(answer), unpacked(request));
        let bytes = answer_texts.as_bytes();
        let mut seen = BTreeSet::new();
        for start in 0..bytes.len().saturating_sub(HEAD - 1) {
            for text in self.by_head.get(&bytes[start..start + HEAD]).into_iter().flatten() {
                if bytes[start..].starts_with(text.as_bytes()) && !request.contains(text.as_str()) {
                    seen.insert(text.clone());
                }
            }
        }
        seen.retain(|text| !written.iter().any(|own| own.contains(text.as_str())));
        let body = answer.split_once("\n\n").map_or("", |(_head, body)| body);
        for line in body.lines() {
            if let Ok(value) = serde_json::from_str::<Value>(line) {
                self.numbers_in(&value, &mut seen);
            }
        }
        seen.into_iter().collect()
    }

    fn numbers_in(&self, value: &Value, seen: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.numbers_in(item, seen)),
            Value::Object(members) => {
                for (name, member) in members {
                    let numbers = match name.as_str() {
                        "user_id" | "sync_user_id" => Some(&self.users),
                        "id" if members.contains_key("username") => Some(&self.users),
                        "id" if members.contains_key("message") => Some(&self.records),
                        _ => None,
                    };
                    if let (Some(numbers), Some(number)) = (numbers, member.as_i64())
                        && numbers.contains(&number)
                    {
                        seen.insert(format!("{name}: {number}"));
                    }
                    self.numbers_in(member, seen);
                }
            }
            _ => {}
        }
    }
}

/// Long enough, and no word of ours: those have no digits.
fn is_telling(text: &str) -> bool {
    text.len() >= HEAD && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// With what stands in base64 (tokens, cursors) behind it.
pub fn unpacked(text: &str) -> String {
    let mut all = normal(text);
    let is_packed = |byte: char| byte.is_ascii_alphanumeric() || byte == '_' || byte == '-';
    for word in text.split(|byte| !is_packed(byte)).filter(|word| word.len() >= 16) {
        if let Ok(bytes) = BASE64URL_NOPAD.decode(word.as_bytes())
            && let Ok(inner) = String::from_utf8(bytes)
        {
            all.push('\n');
            all.push_str(&normal(&inner));
        }
    }
    all
}
