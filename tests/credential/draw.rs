//! Random inputs that are good ones with something changed.

use serde_json::Value;

/// A flat JSON object: names, and values as they are written.
pub type Members = Vec<(String, String)>;

/// `SplitMix64`: quick, and each input has a start of its own.
pub struct Draw(u64);

impl Draw {
    /// The start of one input of a run.
    pub fn new(seed: u64, input: u64) -> Self {
        Self(seed.wrapping_add(input.wrapping_mul(0xd134_2543_de82_ef95)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }

    pub fn hex(&mut self, digits: usize) -> String {
        let bytes = self.bytes(digits.div_ceil(2));
        data_encoding::HEXLOWER.encode(&bytes)[..digits].to_owned()
    }

    /// Something changed, up to four times; now and then nothing.
    pub fn mutate(&mut self, good: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..self.below(5) {
            let at = self.below(bytes.len());
            let to = at + self.below((bytes.len() - at).min(40));
            match self.below(10) {
                0..3 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                3 if !bytes.is_empty() => bytes[at] = self.bytes(1)[0],
                4 => drop(bytes.drain(at..to)),
                5 => {
                    let again = bytes[at..to].to_vec();
                    bytes.splice(at..at, again);
                }
                6 => {
                    let count = self.below(20);
                    bytes.splice(at..to, self.bytes(count));
                }
                7 => bytes.truncate(at),
                8 => {
                    let part = other.get(at..to.min(other.len())).unwrap_or_default().to_vec();
                    bytes.splice(at..to, part);
                }
                _ => {
                    let piece = self.pick(PIECES).bytes().collect::<Vec<_>>();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes
    }

    pub fn mutate_text(&mut self, good: &str, other: &str) -> String {
        String::from_utf8_lossy(&self.mutate(good.as_bytes(), other.as_bytes())).into_owned()
    }

    /// Members changed by name: another value, none, twice, another order; then perhaps something in the bytes.
    pub fn mutate_json(&mut self, good: &[(String, String)], other: &[(String, String)]) -> Vec<u8> {
        let mut members = good.to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(members.len());
            match self.below(7) {
                0..3 if !members.is_empty() => members[at].1 = (*self.pick(VALUES)).to_owned(),
                3 if !members.is_empty() => drop(members.remove(at)),
                4 => members.insert(at, self.pick(other).clone()),
                5 if !members.is_empty() => {
                    let to = self.below(members.len());
                    members.swap(at, to);
                }
                _ => members.push((
                    (*self.pick(PIECES)).escape_default().to_string(),
                    (*self.pick(VALUES)).to_owned(),
                )),
            }
        }
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let json = match self.below(16) {
            0 => format!("[{{{}}}]", members.join(",")),
            1 => format!(
                "[{}]",
                good.iter().map(|(_name, value)| value.as_str()).collect::<Vec<_>>().join(",")
            ),
            2 => format!(" {{{}}} ", members.join(" , ")),
            _ => format!("{{{}}}", members.join(",")),
        };
        if self.below(4) == 0 { self.mutate(json.as_bytes(), b"{\"x\":[1,2,3]}") } else { json.into_bytes() }
    }
}

/// What parsers stumble over.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "", "\0", ".", "..", "=", "-", "_", "+", "/", " ", "\n", "\"", "\\", "{", "}", "[", "]", ",", ":", "ä",
    "\u{feff}", "\u{1F511}", "null", "true", "1e999", "\\ud800", "\\u0000", "eyJ", "00", "sync_", "\u{80}",
    "v", "kid", "pid", "sid", "nbf", "exp",
];
#[rustfmt::skip]
const VALUES: &[&str] = &[
    "null", "true", "0", "-0", "-1", "1", "1.5", "1e300", "1e999", "-1e-300", "9223372036854775807",
    "-9223372036854775808", "18446744073709551615", "18446744073709551616", "1e", "01", "NaN", "\"\"",
    "\"0\"", "\"sync_\"", "\"\\ud800\"", "\"\\u0000\"", "\"\\ud83d\\udd11\"",
    "\"00000000-0000-0000-0000-000000000000\"", "[]", "[[]]", "{}", "{\"a\":{}}",
    "\"sync_00000000-0000-4000-8000-000000000000\"", "[\"HS256\"]", "\"none\"", "\"", "[", "",
];

/// Members of a flat object, each value as it is written.
pub fn members(json: &str) -> Members {
    let object: serde_json::Map<String, Value> = serde_json::from_str(json).unwrap();
    object.into_iter().map(|(name, value)| (name, value.to_string())).collect()
}

/// The object again.
pub fn joined(members: &[(String, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}
