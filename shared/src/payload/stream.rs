//! The same texts written and read piece by piece, for content that is too large to be held.

use std::io::{self, Write};

use flate2::write::{GzDecoder, GzEncoder};
use flate2::{Compression, GzBuilder};

use super::{Encoding, GZIP_OS_UNKNOWN, PayloadError, tolerant_base64};

/// Bytes become `z64` text, the same as [`Encoding::encode`] makes of all at once.
pub struct Z64Writer {
    packer: GzEncoder<Vec<u8>>,
}

impl Default for Z64Writer {
    fn default() -> Self {
        // As `gzip` does it.
        let builder = GzBuilder::new().mtime(0).operating_system(GZIP_OS_UNKNOWN);
        Self { packer: builder.write(Vec::new(), Compression::best()) }
    }
}

impl Z64Writer {
    /// Takes bytes; returns the text that is certain by now, often none.
    ///
    /// # Errors
    /// [`PayloadError::Compress`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<String, PayloadError> {
        self.packer.write_all(bytes).map_err(PayloadError::Compress)?;
        let packed = self.packer.get_mut();
        // Whole groups of three bytes: their four characters do not depend on what follows.
        let whole = packed.len() - packed.len() % 3;
        let ready: Vec<u8> = packed.drain(..whole).collect();
        Ok(super::encode_base64(&ready))
    }

    /// The rest of the text.
    ///
    /// # Errors
    /// [`PayloadError::Compress`].
    pub fn finish(self) -> Result<String, PayloadError> {
        Ok(super::encode_base64(&self.packer.finish().map_err(PayloadError::Compress)?))
    }
}

/// Text becomes bytes, which go to `W` as they come.
pub struct TextReader<W: Write>(Kind<W>);

enum Kind<W: Write> {
    Raw(Limited<W>),
    B64(Base64<Limited<W>>),
    Z64(Box<Base64<GzDecoder<Limited<W>>>>),
    /// No text of these is long but by intent: it is read as one.
    Whole(Encoding, String, Limited<W>),
}

impl<W: Write> TextReader<W> {
    /// Of a text in this encoding, which stands for at most `limit_bytes`.
    ///
    /// # Errors
    /// [`PayloadError::Base64`], which cannot happen.
    pub fn new(encoding: Encoding, limit_bytes: u64, out: W) -> Result<Self, PayloadError> {
        let out = Limited { out, left: limit_bytes };
        Ok(Self(match encoding {
            Encoding::Raw => Kind::Raw(out),
            Encoding::B64 => Kind::B64(Base64::to(out)?),
            Encoding::Z64 => Kind::Z64(Box::new(Base64::to(GzDecoder::new(out))?)),
            Encoding::A85 | Encoding::Z85 => Kind::Whole(encoding, String::new(), out),
        }))
    }

    /// Takes the next bytes of the text.
    ///
    /// # Errors
    /// As [`Encoding::decode`]; [`PayloadError::Gzip`] also when `W` refuses.
    pub fn push(&mut self, text: &[u8]) -> Result<(), PayloadError> {
        match &mut self.0 {
            Kind::Raw(out) => out.write_all(text).map_err(PayloadError::Gzip),
            Kind::B64(base64) => base64.push(text),
            Kind::Z64(base64) => base64.push(text),
            Kind::Whole(_, whole, _) => {
                whole.push_str(&String::from_utf8_lossy(text));
                Ok(())
            }
        }
    }

    /// Ends the text and gives `W` back.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(self) -> Result<W, PayloadError> {
        Ok(match self.0 {
            Kind::Raw(out) => out.out,
            Kind::B64(base64) => base64.finish()?.out,
            Kind::Z64(base64) => base64.finish()?.finish().map_err(PayloadError::Gzip)?.out,
            Kind::Whole(encoding, text, mut out) => {
                encoding.unpack(&text, out.left, &mut out)?;
                out.out
            }
        })
    }
}

/// Base64 text in any portions.
struct Base64<W: Write> {
    encoding: data_encoding::Encoding,
    /// Characters of a group that is not whole yet.
    rest: Vec<u8>,
    out: W,
}

impl<W: Write> Base64<W> {
    fn to(out: W) -> Result<Self, PayloadError> {
        Ok(Self { encoding: tolerant_base64()?, rest: Vec::new(), out })
    }

    fn push(&mut self, text: &[u8]) -> Result<(), PayloadError> {
        self.rest.extend(text.iter().filter(|character| !matches!(character, b'\r' | b'\n')));
        // The last group may be followed by padding, or be the one that is not whole.
        let whole = (self.rest.len() / 4 * 4).saturating_sub(4);
        let ready: Vec<u8> = self.rest.drain(..whole).collect();
        self.decode(&ready)
    }

    fn decode(&mut self, text: &[u8]) -> Result<(), PayloadError> {
        let bytes = self
            .encoding
            .decode(text)
            .map_err(|error| PayloadError::Base64 { problem: error.to_string() })?;
        self.out.write_all(&bytes).map_err(PayloadError::Gzip)
    }

    fn finish(mut self) -> Result<W, PayloadError> {
        let rest = std::mem::take(&mut self.rest);
        let text = std::str::from_utf8(&rest).unwrap_or("\u{fffd}");
        let unpadded = text.trim_end_matches('=');
        if text.len() - unpadded.len() > 2 {
            return Err(PayloadError::Base64 {
                problem: "too many padding characters at the end".to_owned(),
            });
        }
        self.decode(unpadded.as_bytes())?;
        Ok(self.out)
    }
}

/// Refuses what is beyond its limit.
struct Limited<W: Write> {
    out: W,
    left: u64,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.left = self
            .left
            .checked_sub(count)
            .ok_or_else(|| io::Error::other("the decoded payload is larger than allowed"))?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|n| u8::try_from((n * n / 7 + n) % 251).unwrap()).collect()
    }

    #[test]
    fn what_is_written_in_portions_is_what_is_written_at_once() {
        for length in [0, 1, 2, 3, 4, 100, 300_000] {
            let bytes = sample(length);
            for portion in [1_usize, 7, 1_000, 70_000] {
                if length / portion > 100_000 {
                    continue;
                }
                let mut writer = Z64Writer::default();
                let mut text = String::new();
                for part in bytes.chunks(portion) {
                    text.push_str(&writer.push(part).unwrap());
                }
                text.push_str(&writer.finish().unwrap());
                // Compressors may cut blocks where a write ended; the content counts, and one writer always cuts alike.
                assert_eq!(Encoding::Z64.decode(&text, u64::MAX).unwrap(), bytes, "{length} {portion}");
            }
        }
    }

    #[test]
    fn what_is_read_in_portions_is_what_is_read_at_once() {
        for encoding in [Encoding::B64, Encoding::Z64, Encoding::A85, Encoding::Z85] {
            for length in [0, 1, 2, 3, 4, 5, 200_000] {
                let bytes = sample(length);
                let text = encoding.encode(&bytes).unwrap();
                // Texts of other peers have padding and line ends.
                let padded = format!("{text}{}\r\n", "=".repeat(text.len().next_multiple_of(4) - text.len()));
                for text in if encoding == Encoding::A85 || encoding == Encoding::Z85 {
                    vec![text]
                } else {
                    vec![text, padded]
                } {
                    for portion in [1_usize, 3, 4, 1_000] {
                        if text.len() / portion > 100_000 {
                            continue;
                        }
                        let mut reader = TextReader::new(encoding, u64::MAX, Vec::new()).unwrap();
                        for part in text.as_bytes().chunks(portion) {
                            reader.push(part).unwrap();
                        }
                        let read = reader.finish().unwrap();
                        assert_eq!(
                            read.get(..length),
                            Some(bytes.as_slice()),
                            "{encoding} {length} {portion}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_that_is_damaged_cut_or_too_large_is_refused() {
        let text = Encoding::Z64.encode(&sample(10_000)).unwrap();
        let read = |text: &str, limit: u64| {
            let mut reader = TextReader::new(Encoding::Z64, limit, Vec::new())?;
            reader.push(text.as_bytes())?;
            reader.finish()
        };
        assert_eq!(read(&text, 10_000).unwrap().len(), 10_000);
        assert!(read(&text, 9_999).is_err());
        assert!(read(text.get(..text.len() / 2).unwrap(), 10_000).is_err());
        assert!(read(&text.replacen('A', "*", 1), 10_000).is_err());
    }
}
