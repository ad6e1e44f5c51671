//! Reading request bodies as the reference does: members matched ignoring case, unknown ones ignored, `null` as absent
//! but in a PATCH. Repeated members are refused, and whatever does not say that it is JSON.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::error::Error;
use crate::wire::patch::Patch;

/// For everything but grains.
pub const SMALL: usize = 64 * 1024;
/// For slices, whose metadata may be long.
pub const MEDIUM: usize = 1024 * 1024;
/// For a grain: 64 MiB of payload and what escaping adds.
pub const GRAIN: usize = 80 * 1024 * 1024;

/// A body that stops arriving holds a connection for this long.
const STALL_LIMIT: Duration = Duration::from_secs(10);
/// And one that drips, for this long: 64 MiB at 1 MBit/s.
const READ_LIMIT: Duration = Duration::from_mins(10);
/// Small ones, of which a login is one: anybody may send them.
const SMALL_READ_LIMIT: Duration = Duration::from_secs(30);

/// Reads the body as `T`; no body is an empty one, which fails validation where something is required.
///
/// # Errors
/// [`Error::BodyTooLarge`], [`Error::EncodedBody`], [`Error::NotJson`], or [`Error::BadRequest`] naming what is
/// malformed.
pub async fn read<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
) -> Result<T, Error> {
    decode(without_nulls(members(request, payload, limit).await?))
}

/// Reads the body of a PATCH (RFC 7396): a member that is `null` arrives as [`Patch::Null`].
///
/// # Errors
/// As [`read`].
pub async fn read_patch<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
) -> Result<T, Error> {
    decode(members(request, payload, limit).await?)
}

/// Without the members that are `null`, but for those that come in another spelling too: `decode` is to refuse these.
fn without_nulls(mut members: Map<String, Value>) -> Map<String, Value> {
    let mut spellings: HashMap<String, usize> = HashMap::new();
    for name in members.keys() {
        *spellings.entry(name.to_lowercase()).or_default() += 1;
    }
    members.retain(|name, value| {
        !value.is_null() || spellings.get(&name.to_lowercase()).is_some_and(|count| *count > 1)
    });
    members
}

/// All wire names are lower case, so folding the names is matching them ignoring case. Two spellings of one member are refused,
/// two of an unknown one are not.
fn decode<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, Error> {
    let folded = members.into_iter().map(|(name, value)| (name.to_lowercase(), value));
    let folded = MapDeserializer::<_, serde_json::Error>::new(folded);
    serde_path_to_error::deserialize(folded).map_err(|error| {
        let reason = error.inner().to_string();
        if let Some(name) = reason.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`')) {
            return Error::BadRequest(format!("malformed JSON: member \"{name}\" is repeated"));
        }
        // Callers know JSON's types, not ours.
        let reason = ["i64", "u32", "u64"].iter().fold(reason, |reason, kind| {
            reason.replace(&format!("expected {kind}"), "expected a whole number")
        });
        Error::BadRequest(format!("malformed request: {}: {reason}", error.path()))
    })
}

async fn members(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
) -> Result<Map<String, Value>, Error> {
    let header =
        |name| request.headers().get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    if header(header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Error::EncodedBody);
    }
    let is_json = header(header::CONTENT_TYPE).is_some_and(is_json);
    let read_limit = if limit <= SMALL { SMALL_READ_LIMIT } else { READ_LIMIT };
    let bytes = match tokio::time::timeout(read_limit, read_bytes(payload, limit)).await {
        Ok(bytes) => bytes?,
        Err(_elapsed) => return Err(Error::BodyStalled("did not arrive in time")),
    };
    match (bytes.is_empty(), is_json) {
        (true, _) => Ok(Map::new()),
        (false, true) => parse(&bytes),
        // The reference takes it for an empty one: an `overlap_seconds` would be lost without a word.
        (false, false) => Err(Error::NotJson),
    }
}

/// `application/json`, or a type that is JSON by its suffix (RFC 6839), as that of a PATCH (RFC 7396).
fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
}

async fn read_bytes(mut payload: web::Payload, limit: usize) -> Result<web::BytesMut, Error> {
    let mut bytes = web::BytesMut::new();
    while let Some(chunk) = tokio::time::timeout(STALL_LIMIT, payload.next())
        .await
        .map_err(|_elapsed| Error::BodyStalled("stopped arriving"))?
    {
        let chunk = chunk.map_err(|error| Error::BadRequest(format!("the body broke off: {error}")))?;
        if bytes.len().saturating_add(chunk.len()) > limit {
            return Err(Error::BodyTooLarge(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let malformed = |error: serde_json::Error| Error::BadRequest(format!("malformed JSON: {error}"));
    let members = json.deserialize_map(Members).map_err(malformed)?;
    json.end().map_err(malformed)?;
    Ok(members)
}

/// The members of one object, under the names that they were sent with.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
        distinct(access)
    }
}

/// A value whose objects repeat no member. A number without a fraction is an integer, however it is written (JSON
/// Schema 2020-12, core 4.2.3): 62.0 is 62.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // Beyond 2^53 it is no longer the number that was written.
        let is_exact = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
        let whole = if is_exact { format!("{value:.0}").parse::<i64>().ok() } else { None };
        Ok(whole.map_or_else(|| value.into(), Value::from))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        distinct(access).map(Value::Object)
    }
}

fn distinct<'de, A: MapAccess<'de>>(mut access: A) -> Result<Map<String, Value>, A::Error> {
    let mut members = Map::new();
    while let Some((key, Strict(value))) = access.next_entry::<String, Strict>()? {
        match members.entry(key) {
            Entry::Occupied(taken) => {
                return Err(serde::de::Error::custom(format!("member {:?} is repeated", taken.key())));
            }
            Entry::Vacant(free) => free.insert(value),
        };
    }
    Ok(members)
}

/// Collects what is wrong with a body, in the reference's words.
#[derive(Default)]
pub struct Rules(Vec<String>);

impl Rules {
    /// Names the Go field of a member that must not be empty; returns whether it is given.
    pub fn required(&mut self, field: &str, given: bool) -> bool {
        if !given {
            self.0.push(format!("{field} is required, but was not received"));
        }
        given
    }

    /// At least `least` characters, if given at all.
    pub fn min(&mut self, field: &str, text: &str, least: usize) {
        if text.chars().count() < least {
            self.0.push(format!("{field}'s value or length is less than allowed"));
        }
    }

    /// Required and at least `least` characters.
    pub fn name(&mut self, field: &str, text: &str, least: usize) {
        if self.required(field, !text.is_empty()) {
            self.min(field, text, least);
            // Receivers refuse them: they can act on a terminal.
            self.holds(
                !text.contains(char::is_control),
                &format!("{field} must not hold control characters"),
            );
            if text.chars().count() > 255 {
                self.0.push(format!("{field}'s value or length is bigger than allowed"));
            }
        }
    }

    /// A member of a PATCH that cannot be empty: neither `null` nor, as a text, shorter than `least`.
    pub fn patched_name(&mut self, field: &str, patch: &Patch<String>, least: usize) {
        self.not_null(field, patch);
        if let Some(text) = patch.value() {
            self.name(field, text.trim(), least);
        }
    }

    /// A member of a PATCH that cannot be empty.
    pub fn not_null<T>(&mut self, field: &str, patch: &Patch<T>) {
        if matches!(patch, Patch::Null) {
            self.0.push(format!("{field} must not be null"));
        }
    }

    /// Adds a sentence unless `holds`.
    pub fn holds(&mut self, holds: bool, otherwise: &str) {
        if !holds {
            self.0.push(otherwise.to_owned());
        }
    }

    /// What was found.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every sentence.
    pub fn check(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

/// What is indexed must fit into a page of PostgreSQL's index.
pub const MAX_KEY_BYTES: usize = 1_000;

/// Text that both databases can keep and index.
///
/// # Errors
/// [`Error::BadRequest`] for a NUL and for more than [`MAX_KEY_BYTES`].
pub fn indexable(field: &str, text: &str) -> Result<(), Error> {
    no_nul(field, text)?;
    if text.len() > MAX_KEY_BYTES {
        return Err(Error::BadRequest(format!("{field} must have at most {MAX_KEY_BYTES} bytes")));
    }
    Ok(())
}

/// Text that both databases can keep.
///
/// # Errors
/// [`Error::BadRequest`] for a NUL, which PostgreSQL has no way to store.
pub fn no_nul(field: &str, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        Err(Error::BadRequest(format!("{field} must not hold a NUL character")))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{decode, parse};
    use crate::node::Error;

    #[derive(Debug, Deserialize)]
    struct Known {
        payload_len: Option<i64>,
    }

    fn known(text: &str) -> Result<Known, Error> {
        decode(parse(text.as_bytes())?)
    }

    #[test]
    fn members_match_ignoring_case_and_unknown_ones_are_ignored_however_they_are_spelt() {
        for text in [r#"{"Payload_Len": 3, "unknown": [1]}"#, r#"{"x": 1, "payload_len": 3, "X": null}"#] {
            assert_eq!(known(text).unwrap().payload_len, Some(3), "{text}");
        }
        assert_eq!(known(r#"{"Payload_Len": null}"#).unwrap().payload_len, None);
    }

    #[test]
    fn one_member_in_two_spellings_is_refused() {
        for other in ["4", "3", "null"] {
            let text = format!(r#"{{"payload_len": 3, "PAYLOAD_LEN": {other}}}"#);
            let members = super::without_nulls(parse(text.as_bytes()).unwrap());
            let refused = decode::<Known>(members).unwrap_err();
            assert_eq!(refused.to_string(), r#"malformed JSON: member "payload_len" is repeated"#);
        }
    }

    #[test]
    fn only_types_that_are_json_are_read() {
        for kind in ["application/json", "Application/JSON; charset=UTF-8", "application/merge-patch+json"] {
            assert!(super::is_json(kind), "{kind}");
        }
        for kind in ["", "application/jsonfoo", "text/json", "text/plain", "application/json-seq", "+json"] {
            assert!(!super::is_json(kind), "{kind}");
        }
    }

    #[test]
    fn numbers_without_a_fraction_are_integers() {
        let members = parse(
            br#"{"a": 62.0, "b": [1e3, {"c": -0.0}], "d": 0.5, "e": 1e300, "f": 9007199254740993,
                "g": 9007199254740993.0}"#,
        )
        .unwrap();
        assert_eq!(members["a"].as_i64(), Some(62));
        assert_eq!(members["b"][0].as_i64(), Some(1000));
        assert_eq!(members["b"][1]["c"].as_i64(), Some(0));
        assert_eq!(members["d"].as_f64(), Some(0.5));
        assert!(members["e"].is_f64());
        assert_eq!(members["f"].as_i64(), Some(9_007_199_254_740_993));
        assert!(members["g"].is_f64(), "its neighbour would be taken for it");
    }

    #[test]
    fn repeated_members_and_anything_but_one_object_are_refused() {
        for text in [
            r#"{"a":null,"a":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"k":1,"k":2}}"#,
            r#"{"a":[{"k":{},"k":{}}]}"#,
            "[]",
            "{",
            r#"{"username":"#,
            "{} {}",
            "\"x\"",
            "{\"a\":1}x",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
