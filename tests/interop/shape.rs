//! Shapes of JSON: what a decoder of the recorded answer can rely on must be there in ours.

use serde_json::{Map, Value};
use shared::wire::{Id, Timestamp};

/// In no answer of ours but that to a mint: a stored key is a credential (docs/api.md says so beside the table of
/// recorded exchanges).
pub const NEVER_SHOWN: &str = "sync_api_key";

/// Members that are equal where both answers speak of the same row, beyond their type.
const EQUAL: [&str; 29] = [
    "active",
    "allow_sync",
    "company_id",
    "description",
    "duration",
    "email",
    "encoding",
    "error",
    "first_name",
    "grain_key",
    "key",
    "last_name",
    "message",
    "name",
    "page_number",
    "page_size",
    "payload",
    "payload_len",
    "phone",
    "role",
    "server-id",
    "server-role",
    "slice_id",
    "slice_name",
    "slice_type",
    "source",
    "sub_id",
    "success",
    "val",
];

/// What our answer lacks: every recorded member is there with the same type, ours may have more. Empty lists stay in the
/// same form, ids stay ids and times stay times.
pub fn lacking(recorded: &Value, ours: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(recorded, ours, "answer", &mut found, false);
    found
}

/// The same, and what is not equal in spite of being the same row.
pub fn differing(recorded: &Value, ours: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(recorded, ours, "answer", &mut found, true);
    found
}

/// Whether a company in it shows a stored key.
pub fn shows_a_key(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            (members.contains_key("sync_addr") && members.contains_key(NEVER_SHOWN))
                || members.values().any(shows_a_key)
        }
        Value::Array(items) => items.iter().any(shows_a_key),
        _ => false,
    }
}

fn compare(recorded: &Value, ours: &Value, at: &str, found: &mut Vec<String>, contents: bool) {
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            for (name, value) in recorded {
                let at = format!("{at}.{name}");
                let Some(own) = ours.get(name) else {
                    if !(name == NEVER_SHOWN && recorded.contains_key("sync_addr")) {
                        found.push(format!("{at} is missing"));
                    }
                    continue;
                };
                compare(value, own, &at, found, contents);
                if contents && is_equal_everywhere(recorded, name) && value != own {
                    found.push(format!("{at} is {own}, recorded {value}"));
                }
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            if recorded.is_empty() != ours.is_empty() {
                found.push(format!("{at} has {} elements, recorded {}", ours.len(), recorded.len()));
                return;
            }
            for (n, item) in recorded.iter().enumerate() {
                found.extend(against_any(item, ours, &format!("{at}[{n}]"), contents));
            }
            if contents && !in_recorded_order(recorded, ours) {
                found.push(format!("{at} has another order"));
            }
        }
        (Value::String(recorded), Value::String(ours)) => {
            if is_id(recorded) && !is_id(ours) {
                found.push(format!("{at} is no id: {ours:?}"));
            }
            if is_time(recorded) && !is_time(ours) {
                found.push(format!("{at} is no time: {ours:?}"));
            }
        }
        (Value::Number(recorded), Value::Number(ours)) => {
            if recorded.is_i64() && !ours.is_i64() {
                found.push(format!("{at} is no whole number: {ours}"));
            }
        }
        (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => {}
        _ => found.push(format!("{at} is {ours}, recorded {recorded}")),
    }
}

/// The element of the same row decides; without one, any element of the same shape will do.
fn against_any(item: &Value, ours: &[Value], at: &str, contents: bool) -> Vec<String> {
    let row = item.as_object().and_then(key);
    let same = ours.iter().find(|own| row.is_some() && own.as_object().and_then(key) == row);
    let candidates: Vec<&Value> = same.map_or_else(|| ours.iter().collect(), |own| vec![own]);
    let mut least: Option<Vec<String>> = None;
    for own in candidates {
        let mut found = Vec::new();
        compare(item, own, at, &mut found, contents && same.is_some());
        if least.as_ref().is_none_or(|least| found.len() < least.len()) {
            least = Some(found);
        }
    }
    least.unwrap_or_default()
}

/// Whether what is in both lists stands in the same order. The reference gives grains no order.
fn in_recorded_order(recorded: &[Value], ours: &[Value]) -> bool {
    let rows = recorded.iter().filter(|item| item.get("grain_key").is_none());
    let keys = rows.filter_map(|item| item.as_object().and_then(key));
    let places = keys.filter_map(|row| {
        ours.iter().position(|own| own.as_object().and_then(key).is_some_and(|own| own == row))
    });
    places.is_sorted()
}

/// What tells rows apart. The numbers of users and activity say nothing about another server's.
fn key(object: &Map<String, Value>) -> Option<&Value> {
    object
        .get("id")
        .filter(|id| id.is_string())
        .or_else(|| object.get("username"))
        .or_else(|| object.get("key"))
}

fn is_equal_everywhere(recorded: &Map<String, Value>, name: &str) -> bool {
    match name {
        "id" => recorded["id"].is_string(),
        // Nobody recorded the thousands of grains of the slices that were there before the first exchange, and a slice
        // without any may have been published.
        "content_hash" | "content_count" => recorded["content_count"] == 1,
        name => EQUAL.contains(&name),
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && text.parse::<Id>().is_ok()
}

fn is_time(text: &str) -> bool {
    Timestamp::parse(text).is_some()
}
