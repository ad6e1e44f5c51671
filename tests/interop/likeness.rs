//! Recorded answers with placeholders, compared with ours: all that is not a placeholder is equal.

use serde_json::Value;
use shared::wire::{Id, Timestamp};

/// Whether a text of ours may stand in place of a placeholder.
type MayStand = fn(&str) -> bool;

/// Stands in a recorded text for what differs from run to run.
const PLACEHOLDERS: [(&str, MayStand); 3] = [
    ("(time)", |own| Timestamp::parse(own).is_some() && !own.starts_with("0001-")),
    ("(id)", |own| own.parse().is_ok_and(|id: Id| id != Id::NIL)),
    ("(text)", |own| !own.is_empty()),
];
/// The same for a whole number.
const NUMBER: &str = "(number)";

/// What of the recorded answer is not in ours, or is otherwise there: members, their values, the elements of lists and
/// their order. Ours may have more members: decoders of the reference skip what they do not know.
pub fn unlike(recorded: &Value, ours: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(recorded, ours, "answer", &mut found);
    found
}

fn compare(recorded: &Value, ours: &Value, at: &str, found: &mut Vec<String>) {
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            for (name, value) in recorded {
                match ours.get(name) {
                    Some(own) => compare(value, own, &format!("{at}.{name}"), found),
                    None => found.push(format!("{at}.{name} is missing")),
                }
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            if recorded.len() != ours.len() {
                found.push(format!("{at} has {} elements, recorded {}", ours.len(), recorded.len()));
            }
            for (n, (value, own)) in recorded.iter().zip(ours).enumerate() {
                compare(value, own, &format!("{at}[{n}]"), found);
            }
        }
        (Value::String(recorded), Value::String(ours)) if fits(recorded, ours) => {}
        (Value::String(recorded), Value::Number(ours)) if recorded == NUMBER && ours.is_i64() => {}
        _ if recorded == ours => {}
        _ => found.push(format!("{at} is {ours}, recorded {recorded}")),
    }
}

/// A text holds one placeholder at most.
fn fits(recorded: &str, ours: &str) -> bool {
    for (placeholder, may_stand) in PLACEHOLDERS {
        if let Some((before, after)) = recorded.split_once(placeholder) {
            let own = ours.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            return own.is_some_and(may_stand);
        }
    }
    recorded == ours
}

#[test]
fn what_is_missing_or_otherwise_is_named_and_placeholders_take_their_kind_only() {
    use serde_json::json;
    let recorded = json!({ "a": [{ "id": "(number)", "until": "until (time)" }, { "n": 1 }], "e": null });
    let time = "until 2026-11-22T06:13:33Z";
    let like = json!({ "a": [{ "id": 3, "until": time, "more": 1 }, { "n": 1 }], "e": null });
    assert_eq!(unlike(&recorded, &like), [""; 0]);
    for (other, complaint) in [
        (json!({ "a": [{ "id": 3, "until": time }], "e": null }), "answer.a has 1 elements, recorded 2"),
        (json!({ "a": [{ "id": 3, "until": time }, { "n": 1 }] }), "answer.e is missing"),
        (json!({ "a": [{ "id": "3", "until": time }, { "n": 1 }], "e": null }), "answer.a[0].id is \"3\""),
        (json!({ "a": [{ "id": 3, "until": "until" }, { "n": 1 }], "e": null }), "answer.a[0].until is"),
        (
            json!({ "a": [{ "id": 3, "until": time }, { "n": 2 }], "e": null }),
            "answer.a[1].n is 2, recorded 1",
        ),
        (json!({ "a": [{ "id": 3, "until": time }, { "n": 1 }], "e": [] }), "answer.e is [], recorded null"),
        (json!([]), "answer is [], recorded"),
    ] {
        let found = unlike(&recorded, &other);
        assert!(found.len() == 1 && found[0].starts_with(complaint), "{found:?}, expected {complaint}");
    }
}
