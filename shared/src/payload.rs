//! Payload encodings: how the bytes of a grain become the text that is stored and sent.
//!
//! Spec source: "reference payload encodings". The five names are part of the wire format, so they
//! never change. Writing is strict and deterministic (equal bytes give equal text, which lets peers
//! compare texts instead of decoding them); reading is tolerant of what other peers really send:
//!
//! | name  | written as                                    | also read                                    |
//! |-------|-----------------------------------------------|----------------------------------------------|
//! | `raw` | the bytes themselves, UTF-8 without NUL       | any text                                     |
//! | `b64` | RFC 4648 standard alphabet without padding    | padding, url alphabet, CR and LF             |
//! | `z64` | gzip level 9, then `b64`                      | only the first gzip member is used           |
//! | `a85` | ASCII85 with `z` for four zero bytes          | white space and control characters (skipped) |
//! | `z85` | gzip level 9, then `a85` (*not* `ZeroMQ` Z85) | anything after the first gzip member         |
//!
//! The older peers write the last, partial ASCII85 group as five characters and leave NULs behind it.
//! The true length of such an `a85` text cannot be known, so it decodes to one to three extra bytes;
//! `z85` is safe, because a gzip member carries its own end.

pub mod stream;

use std::fmt;
use std::io::{self, Read, Write};
use std::iter::{Enumerate, Take};
use std::str::{Bytes, FromStr};

use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};

/// The "unknown" value of the gzip header's operating system field: the same text on every platform.
const GZIP_OS_UNKNOWN: u8 = 255;

/// Bytes of a grain, unpacked, that anybody takes.
pub const MAX_UNPACKED_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// How a payload is written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The bytes as they are; they must be UTF-8 without NUL.
    Raw,
    /// Base64, standard alphabet, no padding.
    B64,
    /// gzip, then base64.
    Z64,
    /// ASCII85 as Adobe and btoa know it, without `<~` and `~>`.
    A85,
    /// gzip, then ASCII85.
    Z85,
}

/// A name that is none of the five encodings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown payload encoding {name:?}: use raw, b64, z64, a85 or z85")]
pub struct UnknownEncoding {
    /// The name that was given.
    pub name: String,
}

/// Why a payload could not be written as text or read back.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// `raw` was asked for bytes that are not text.
    #[error("a raw payload must be UTF-8 text: the byte at offset {offset} is not; use b64 or z64")]
    NotUtf8 {
        /// Where the first wrong byte stands.
        offset: usize,
    },
    /// `raw` was asked for a text with a NUL, which no store and few peers can keep.
    #[error("a raw payload must not hold NUL: there is one at offset {offset}; use b64 or z64")]
    Nul {
        /// Where the first NUL stands.
        offset: usize,
    },
    /// The text is not base64.
    #[error("not valid base64 text: {problem}")]
    Base64 {
        /// What is wrong, and where.
        problem: String,
    },
    /// The text is not ASCII85.
    #[error("not valid ASCII85 text at offset {offset}: {problem}")]
    Ascii85 {
        /// Where the wrong character stands, in bytes of the text.
        offset: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// The decoded bytes are not a complete, undamaged gzip member.
    #[error("not valid gzip data: {0}")]
    Gzip(io::Error),
    /// The compressor failed, which only a lack of resources can cause.
    #[error("could not compress the payload: {0}")]
    Compress(io::Error),
    /// The decoded payload would be larger than the caller allows.
    #[error("the decoded payload is larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The limit that was given.
        limit_bytes: u64,
    },
}

impl Encoding {
    /// Every encoding, in the order the documentation lists them.
    pub const ALL: [Self; 5] = [Self::Raw, Self::B64, Self::Z64, Self::A85, Self::Z85];

    /// The name used on the wire, in the store and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::B64 => "b64",
            Self::Z64 => "z64",
            Self::A85 => "a85",
            Self::Z85 => "z85",
        }
    }

    /// Writes `bytes` as payload text. Equal bytes always give equal text.
    ///
    /// # Errors
    ///
    /// Only [`Encoding::Raw`] refuses content: bytes that are not UTF-8, or that hold a NUL.
    pub fn encode(self, bytes: &[u8]) -> Result<String, PayloadError> {
        match self {
            Self::Raw => encode_raw(bytes),
            Self::B64 => Ok(encode_base64(bytes)),
            Self::Z64 => gzip(bytes).map(|packed| encode_base64(&packed)),
            Self::A85 => Ok(encode_ascii85(bytes)),
            Self::Z85 => gzip(bytes).map(|packed| encode_ascii85(&packed)),
        }
    }

    /// Reads payload text back into bytes; the result is never longer than `limit_bytes`.
    ///
    /// The limit is enforced while decompressing, so a small text that unpacks to gigabytes costs
    /// no more memory than about twice the limit plus the length of the text.
    ///
    /// # Errors
    ///
    /// The text is not valid in this encoding, or holds more than `limit_bytes`.
    pub fn decode(self, text: &str, limit_bytes: u64) -> Result<Vec<u8>, PayloadError> {
        let mut bytes = Vec::new();
        self.unpack(text, limit_bytes, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether [`Encoding::decode`] would succeed; keeps nothing of what it unpacks.
    ///
    /// # Errors
    ///
    /// As [`Encoding::decode`].
    pub fn check(self, text: &str, limit_bytes: u64) -> Result<(), PayloadError> {
        self.unpack(text, limit_bytes, &mut io::sink())
    }

    fn unpack(self, text: &str, limit_bytes: u64, out: &mut impl Write) -> Result<(), PayloadError> {
        match self {
            Self::Raw => copy_limited(text.as_bytes(), limit_bytes, out),
            Self::B64 => copy_limited(decode_base64(text)?.as_slice(), limit_bytes, out),
            Self::Z64 => {
                let packed = decode_base64(text)?;
                copy_limited(flate2::bufread::GzDecoder::new(packed.as_slice()), limit_bytes, out)
            }
            Self::A85 => copy_limited(Ascii85Reader::new(text), limit_bytes, out),
            // A `GzDecoder` (unlike a `MultiGzDecoder`) stops at the end of the first member, and
            // `Ascii85Reader` reports an error only when a byte behind it is asked for: so nothing
            // that follows the member can spoil the result.
            Self::Z85 => {
                copy_limited(flate2::read::GzDecoder::new(Ascii85Reader::new(text)), limit_bytes, out)
            }
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` rather than `write_str`, so that tables may ask for a width.
        f.pad(self.as_str())
    }
}

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|encoding| encoding.as_str() == name)
            .ok_or_else(|| UnknownEncoding { name: name.to_owned() })
    }
}

fn encode_raw(bytes: &[u8]) -> Result<String, PayloadError> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| PayloadError::NotUtf8 { offset: error.valid_up_to() })?;
    match text.find('\0') {
        Some(offset) => Err(PayloadError::Nul { offset }),
        None => Ok(text.to_owned()),
    }
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, PayloadError> {
    // Time and operating system are pinned: they would make equal content differ.
    let mut packer =
        GzBuilder::new().mtime(0).operating_system(GZIP_OS_UNKNOWN).write(Vec::new(), Compression::best());
    packer.write_all(bytes).map_err(PayloadError::Compress)?;
    packer.finish().map_err(PayloadError::Compress)
}

fn encode_base64(bytes: &[u8]) -> String {
    data_encoding::BASE64_NOPAD.encode(bytes)
}

fn decode_base64(text: &str) -> Result<Vec<u8>, PayloadError> {
    // The padding says nothing the length does not say, so it is dropped whether right or not.
    let unpadded = text.trim_end_matches(['=', '\r', '\n']);
    let padding = text.bytes().skip(unpadded.len()).filter(|byte| *byte == b'=').count();
    if padding > 2 {
        return Err(PayloadError::Base64 {
            problem: format!("{padding} padding characters at the end, at most 2 make sense"),
        });
    }
    tolerant_base64()?
        .decode(unpadded.as_bytes())
        .map_err(|error| PayloadError::Base64 { problem: error.to_string() })
}

/// Base64 that also reads the url alphabet, line ends and left-over bits, as the older peers do.
fn tolerant_base64() -> Result<data_encoding::Encoding, PayloadError> {
    let mut specification = data_encoding::BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.ignore.push_str("\r\n");
    specification.translate.from.push_str("-_");
    specification.translate.to.push_str("+/");
    // The specification is constant and valid; handing the error on costs less than a panic would.
    specification.encoding().map_err(|error| PayloadError::Base64 { problem: error.to_string() })
}

fn encode_ascii85(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() / 4).saturating_add(1).saturating_mul(5));
    for chunk in bytes.chunks(4) {
        let mut group = [0; 4];
        for (to, from) in group.iter_mut().zip(chunk) {
            *to = *from;
        }
        let mut value = u32::from_be_bytes(group);
        if value == 0 && chunk.len() == 4 {
            text.push('z');
            continue;
        }
        let mut digits = ['!'; 5];
        for digit in digits.iter_mut().rev() {
            // A remainder below 85 is the lowest of its four bytes.
            let [.., low] = (value % 85).to_be_bytes();
            *digit = char::from(b'!'.saturating_add(low));
            value /= 85;
        }
        // A partial group of n bytes is told by its first n + 1 digits.
        text.extend(digits.iter().take(chunk.len() + 1));
    }
    text
}

/// Reads the bytes an ASCII85 text stands for, without ever holding them all.
///
/// An error is reported only after every byte before it was handed out, and a partial group may be
/// ended by a wrong character: a reader that has what it needs never meets the error.
struct Ascii85Reader<'a> {
    characters: Enumerate<Bytes<'a>>,
    /// Decoded bytes not yet handed out.
    ready: Take<std::array::IntoIter<u8, 4>>,
    failed: Option<PayloadError>,
    text_len: usize,
    ended: bool,
}

impl<'a> Ascii85Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            characters: text.bytes().enumerate(),
            ready: [0; 4].into_iter().take(0),
            failed: None,
            text_len: text.len(),
            ended: false,
        }
    }

    /// Decodes one more group, or notes the end.
    fn fill(&mut self) {
        let mut value: u32 = 0;
        let mut digits: usize = 0;
        while digits < 5 {
            let Some((offset, character)) = self.characters.next() else {
                self.end(value, digits, None);
                return;
            };
            let problem = match character {
                // White space, and the NULs older peers leave behind.
                0..=b' ' => continue,
                b'z' if digits == 0 => {
                    self.ready = [0; 4].into_iter().take(4);
                    return;
                }
                b'z' => "z inside a group",
                b'!'..=b'u' => {
                    let digit = u32::from(character.saturating_sub(b'!'));
                    if let Some(next) = value.checked_mul(85).and_then(|v| v.checked_add(digit)) {
                        value = next;
                        digits += 1;
                        continue;
                    }
                    // Four digits always fit, so this is a complete but impossible group, of
                    // which nothing can be kept.
                    digits = 0;
                    "a group above 2^32 - 1"
                }
                _ => "a character outside ! to u",
            };
            self.end(value, digits, Some(PayloadError::Ascii85 { offset, problem }));
            return;
        }
        self.ready = value.to_be_bytes().into_iter().take(4);
    }

    /// Hands out the partial group of `digits` characters, after which there is only `failed`.
    fn end(&mut self, value: u32, digits: usize, failed: Option<PayloadError>) {
        self.ended = true;
        self.failed = failed;
        if digits == 0 {
            return;
        }
        // The digits that were left out count as the highest, since the writer rounded down.
        let full = (digits..5).try_fold(value, |v, _| v.checked_mul(85)?.checked_add(84));
        let problem = match full {
            _ if digits == 1 => "the last group has only one character",
            Some(full) => {
                self.ready = full.to_be_bytes().into_iter().take(digits.saturating_sub(1));
                return;
            }
            None => "a group above 2^32 - 1",
        };
        self.failed.get_or_insert(PayloadError::Ascii85 { offset: self.text_len, problem });
    }

    fn next_byte(&mut self) -> Option<u8> {
        loop {
            if let Some(byte) = self.ready.next() {
                return Some(byte);
            }
            if self.ended {
                return None;
            }
            self.fill();
        }
    }
}

impl Read for Ascii85Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut written: usize = 0;
        for slot in buffer {
            let Some(byte) = self.next_byte() else {
                break;
            };
            *slot = byte;
            written += 1;
        }
        if written == 0
            && self.ready.len() == 0
            && let Some(error) = self.failed.take()
        {
            return Err(io::Error::other(error));
        }
        Ok(written)
    }
}

/// Reads everything, but stops as soon as there is more than `limit_bytes`.
fn copy_limited(reader: impl Read, limit_bytes: u64, out: &mut impl Write) -> Result<(), PayloadError> {
    // One byte more than allowed tells "just fits" from "too large"; when it fits, reading on to
    // the end also makes the decompressor check its checksum.
    let copied = io::copy(&mut reader.take(limit_bytes.saturating_add(1)), out)
        // Our own errors travel through `io::Error`; any other comes from the decompressor.
        .map_err(|error| error.downcast().unwrap_or_else(PayloadError::Gzip))?;
    if copied <= limit_bytes { Ok(()) } else { Err(PayloadError::TooLarge { limit_bytes }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Outcome = Result<(), PayloadError>;

    const NO_LIMIT: u64 = u64::MAX;

    /// Compresses as the older peers do: a flush before the end, which adds an empty block.
    fn gzip_with_flush(bytes: &[u8]) -> Result<Vec<u8>, PayloadError> {
        let mut packer = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::best());
        packer.write_all(bytes).map_err(PayloadError::Compress)?;
        packer.flush().map_err(PayloadError::Compress)?;
        packer.finish().map_err(PayloadError::Compress)
    }

    /// Writes ASCII85 as the older peers do: a full last group, then the buffer's unused NULs.
    fn faulty_ascii85(bytes: &[u8]) -> String {
        let (whole, rest) = bytes.split_at(bytes.len() / 4 * 4);
        let mut text = encode_ascii85(whole);
        if !rest.is_empty() {
            let mut last = rest.to_vec();
            last.resize(4, 0);
            text.push_str(&encode_ascii85(&last).replace('z', "!!!!!"));
        }
        let buffer_len = bytes.len().div_ceil(4) * 5;
        while text.len() < buffer_len {
            text.push('\0');
        }
        text
    }

    #[test]
    fn names() -> Result<(), serde_json::Error> {
        for encoding in Encoding::ALL {
            assert_eq!(encoding.as_str().parse(), Ok(encoding));
            assert_eq!(encoding.to_string(), encoding.as_str());
            let json = serde_json::to_string(&encoding)?;
            assert_eq!(json, format!("\"{encoding}\""));
            assert_eq!(serde_json::from_str::<Encoding>(&json)?, encoding);
        }
        assert_eq!(format!("[{:<5}]", Encoding::Z64), "[z64  ]");
        let error = "Z64".parse::<Encoding>().err().map(|error| error.to_string());
        let wanted = "unknown payload encoding \"Z64\": use raw, b64, z64, a85 or z85";
        assert_eq!(error.as_deref(), Some(wanted));
        Ok(())
    }

    #[test]
    fn raw() -> Outcome {
        assert_eq!(Encoding::Raw.encode("<Ä/>\n".as_bytes())?, "<Ä/>\n");
        assert_eq!(Encoding::Raw.decode("<Ä/>\n", 6)?, "<Ä/>\n".as_bytes());
        assert!(matches!(Encoding::Raw.decode("<Ä/>\n", 5), Err(PayloadError::TooLarge { limit_bytes: 5 })));
        assert!(matches!(Encoding::Raw.encode(b"a\0"), Err(PayloadError::Nul { offset: 1 })));
        assert!(matches!(Encoding::Raw.encode(b"ab\xff"), Err(PayloadError::NotUtf8 { offset: 2 })));
        Ok(())
    }

    #[test]
    fn base64_is_written_without_padding_and_read_tolerantly() -> Outcome {
        assert_eq!(Encoding::B64.encode(b"hello sandpiper")?, "aGVsbG8gc2FuZHBpcGVy");
        assert_eq!(Encoding::B64.encode(b"a")?, "YQ");
        assert_eq!(Encoding::B64.encode(b"\xfb\xff\xfe")?, "+//+");
        for text in ["YQ", "YQ==", "Y\r\nQ=\r\n=\r\n", "\nYQ=", "YR"] {
            assert_eq!(Encoding::B64.decode(text, 1)?, b"a", "{text:?}");
        }
        for text in ["+//+", "-__-", "-/_+"] {
            assert_eq!(Encoding::B64.decode(text, NO_LIMIT)?, b"\xfb\xff\xfe", "{text:?}");
        }
        assert_eq!(Encoding::B64.decode("", 0)?, b"");
        for text in ["Y", "Y Q", "YQ===", "YQ==YQ==", "Y*==", "YÄ", "\0"] {
            let result = Encoding::B64.decode(text, NO_LIMIT);
            assert!(matches!(result, Err(PayloadError::Base64 { .. })), "{text:?}");
        }
        assert!(matches!(Encoding::B64.decode("YWI", 1), Err(PayloadError::TooLarge { limit_bytes: 1 })));
        Ok(())
    }

    #[test]
    fn ascii85_vectors() -> Outcome {
        for (bytes, text) in [
            (b"".as_slice(), ""),
            (b"abcd", "@:E_W"),
            (b"hello sandpiper", "BOu!rD]j+0DId^#E+O%"),
            (b"\0\0\0\0", "z"),
            (b"\0", "!!"),
            (b"\0\0\0", "!!!!"),
            (b"\0\0\0\0\0", "z!!"),
            (b"\xff\xff\xff\xff", "s8W-!"),
            (b"\xff", "rr"),
        ] {
            assert_eq!(Encoding::A85.encode(bytes)?, text);
            assert_eq!(Encoding::A85.decode(text, NO_LIMIT)?, bytes);
        }
        assert_eq!(Encoding::A85.decode(" @:\r\nE\t_\0W ", NO_LIMIT)?, b"abcd");
        // What an older peer makes of 15 bytes is 16 bytes long: nothing tells the true length.
        assert_eq!(faulty_ascii85(b"hello sandpiper"), "BOu!rD]j+0DId^#E+O%i");
        assert_eq!(Encoding::A85.decode("BOu!rD]j+0DId^#E+O%i", 16)?, b"hello sandpiper\0");
        Ok(())
    }

    #[test]
    fn ascii85_refusals() {
        for (text, wanted) in [
            ("@:E_W@", 6),  // one character left over
            ("@:z_W", 2),   // z inside a group
            ("@:E_v", 4),   // v is above u
            ("<~@:E_W", 1), // no <~ ~>
            ("s8W-\"", 4),  // 2^32
            ("uuuuu", 4),
            ("uu", 2),
            ("@:EÄ", 3),
        ] {
            match Encoding::A85.decode(text, NO_LIMIT) {
                Err(PayloadError::Ascii85 { offset, .. }) => assert_eq!(offset, wanted, "{text:?}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn gzip_of_older_peers_is_read() -> Outcome {
        let z64 = "H4sIAAAAAAAC/7JxdHYN1rcDAAAA//8BAAD//yj2tTgHAAAA";
        assert_eq!(Encoding::Z64.decode(z64, 7)?, b"<ACES/>");
        let z85 = "+,^C)z!rkkd8koBe!!*'!!rrqXK'`[@!!!!!\0\0\0\0";
        assert_eq!(Encoding::Z85.decode(z85, 4)?, b"abcd");
        assert_eq!(Encoding::Z85.decode(z85.trim_end_matches('\0'), 4)?, b"abcd");
        Ok(())
    }

    #[test]
    fn gzip_is_deterministic_and_plain() -> Outcome {
        assert!(Encoding::Z64.encode(b"<ACES/>")?.starts_with("H4sIAAAAAAAC/"));
        assert!(Encoding::Z85.encode(b"<ACES/>")?.starts_with("+,^C)z!"));
        assert!(!Encoding::Z64.encode(b"a")?.ends_with('='));
        let bytes = "<App/>".repeat(9_999);
        let text = Encoding::Z64.encode(bytes.as_bytes())?;
        assert_eq!(text, Encoding::Z64.encode(bytes.as_bytes())?);
        assert!(text.len() < 500);
        Ok(())
    }

    #[test]
    fn only_the_first_member_counts() -> Outcome {
        let mut packed = gzip(b"first")?;
        packed.extend(gzip(b"second")?);
        packed.extend(b"junk");
        assert_eq!(Encoding::Z64.decode(&encode_base64(&packed), 5)?, b"first");
        assert_eq!(Encoding::Z85.decode(&encode_ascii85(&packed), 5)?, b"first");
        // Whatever the length of the member, junk that is no ASCII85 at all does no harm.
        for len in 0..9 {
            let bytes = b"x".repeat(len);
            let text = Encoding::Z85.encode(&bytes)? + "\0\0~> {Ä}";
            assert_eq!(Encoding::Z85.decode(&text, 9)?, bytes);
        }
        Ok(())
    }

    #[test]
    fn damaged_gzip_is_refused() -> Outcome {
        let packed = gzip(&b"0123456789".repeat(50))?;
        for keep in 0..packed.len() {
            let part: Vec<u8> = packed.iter().copied().take(keep).collect();
            let result = Encoding::Z64.decode(&encode_base64(&part), NO_LIMIT);
            assert!(matches!(result, Err(PayloadError::Gzip(_))), "{keep}: {result:?}");
        }
        let mut flipped = packed.clone();
        if let Some(checksum) = flipped.iter_mut().rev().nth(6) {
            *checksum ^= 1;
        }
        let result = Encoding::Z64.decode(&encode_base64(&flipped), 500);
        assert!(matches!(result, Err(PayloadError::Gzip(_))), "{result:?}");
        // A wrong character before the end of the member is named as such.
        let result = Encoding::Z85.decode("+,^C)z!rk~kd", NO_LIMIT);
        assert!(matches!(result, Err(PayloadError::Ascii85 { offset: 9, .. })), "{result:?}");
        Ok(())
    }

    #[test]
    fn limit_is_exact_and_stops_early() -> Outcome {
        let zeros = vec![0; 3_000_000];
        for encoding in [Encoding::B64, Encoding::Z64, Encoding::A85, Encoding::Z85] {
            let text = encoding.encode(&zeros)?;
            assert_eq!(encoding.decode(&text, 3_000_000)?, zeros);
            for limit in [0, 1, 2_999_999] {
                let result = encoding.decode(&text, limit);
                assert!(
                    matches!(result, Err(PayloadError::TooLarge { limit_bytes }) if limit_bytes == limit),
                    "{encoding}"
                );
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn round_trip(bytes in proptest::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..300)) {
            for encoding in [Encoding::B64, Encoding::Z64, Encoding::A85, Encoding::Z85] {
                let text = encoding.encode(&bytes)?;
                prop_assert!(text.is_ascii() && !text.contains('\0'));
                let limit = u64::try_from(bytes.len())?;
                prop_assert_eq!(&encoding.decode(&text, limit)?, &bytes);
            }
        }

        #[test]
        fn round_trip_raw(text in "[^\0]{0,200}") {
            let encoded = Encoding::Raw.encode(text.as_bytes())?;
            prop_assert_eq!(Encoding::Raw.decode(&encoded, NO_LIMIT)?, text.as_bytes());
        }

        #[test]
        fn faulty_z85_of_older_peers_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = faulty_ascii85(&gzip_with_flush(&bytes)?);
            prop_assert_eq!(Encoding::Z85.decode(&text, NO_LIMIT)?, bytes);
        }

        #[test]
        fn base64_survives_line_ends_padding_and_the_url_alphabet(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            width in 1_usize..80,
        ) {
            let padded = data_encoding::BASE64URL.encode(&bytes);
            let mut text = String::new();
            for (position, character) in padded.chars().enumerate() {
                if position % width == 0 {
                    text.push_str("\r\n");
                }
                text.push(character);
            }
            prop_assert_eq!(Encoding::B64.decode(&text, NO_LIMIT)?, bytes);
        }

        #[test]
        fn any_string_decodes_or_errs(
            text in prop_oneof![any::<String>(), "[!-uz\0 ]{0,60}", "H4sIAAAAAAAC/[A-Za-z0-9+/]{0,90}"],
            limit in prop_oneof![0..100_u64, Just(NO_LIMIT)],
        ) {
            for encoding in Encoding::ALL {
                if let Ok(bytes) = encoding.decode(&text, limit) {
                    prop_assert!(u64::try_from(bytes.len())? <= limit);
                }
            }
        }
    }
}
