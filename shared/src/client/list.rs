//! Reading a JSON list element by element: memory holds one text at a time, however long the list is.

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::Response;
use serde::de::DeserializeOwned;

use super::unpack::{Pieces, unpacked};
use super::{Client, ClientError};

/// The text of one element: a subscription with its slice has about 900 bytes.
const MAX_ELEMENT: usize = 256 * 1024;

/// The elements of an answer.
pub(super) struct Elements {
    client: Client,
    pieces: Pieces,
    /// What of the last piece was not looked at.
    piece: Bytes,
    splitter: Splitter,
}

impl Elements {
    pub fn new(client: Client, response: Response) -> Self {
        let pieces = unpacked(&client, response);
        Self { client, pieces, piece: Bytes::new(), splitter: Splitter::default() }
    }

    /// The next element; `None` behind the last. No list, or `null`, which is the reference's way to say so, is an empty one.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when the answer breaks off, [`ClientError::Unexpected`] for what is no such list.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            for at in 0..self.piece.len() {
                let byte = self.piece.get(at).copied().unwrap_or_default();
                if self.splitter.take(byte).map_err(|what| self.client.unexpected(what))? {
                    drop(self.piece.split_to(at + 1));
                    let text = std::mem::take(&mut self.splitter.text);
                    let element = serde_json::from_slice(&text);
                    return element.map(Some).map_err(|error| self.client.unexpected(error.to_string()));
                }
            }
            match self.pieces.next().await {
                Some(piece) => self.piece = piece?,
                None if self.splitter.is_over() => return Ok(None),
                None => return Err(self.client.unexpected("a list that breaks off")),
            }
        }
    }
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Place {
    #[default]
    Before,
    Null,
    /// Behind the bracket.
    First,
    Element,
    Behind,
}

/// Finds where elements end. What an element is, is not its affair.
#[derive(Default)]
struct Splitter {
    place: Place,
    text: Vec<u8>,
    depth: usize,
    is_string: bool,
    is_escaped: bool,
}

impl Splitter {
    /// Whether `byte` ends an element, which is in `text` then.
    fn take(&mut self, byte: u8) -> Result<bool, &'static str> {
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.place {
            Place::Before | Place::First | Place::Behind if is_space => Ok(false),
            Place::Before if byte == b'[' => {
                self.place = Place::First;
                Ok(false)
            }
            Place::Null if is_space && self.text == b"null" => Ok(false),
            Place::Before | Place::Null => {
                self.place = Place::Null;
                self.text.push(byte);
                if b"null".starts_with(&self.text) { Ok(false) } else { Err("no list") }
            }
            Place::First if byte == b']' => {
                self.place = Place::Behind;
                Ok(false)
            }
            Place::First => {
                self.place = Place::Element;
                self.element(byte)
            }
            Place::Element => self.element(byte),
            Place::Behind => Err("something behind a list"),
        }
    }

    fn element(&mut self, byte: u8) -> Result<bool, &'static str> {
        if self.is_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.is_string = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => self.is_string = true,
                b'[' | b'{' => self.depth += 1,
                b',' if self.depth == 0 => return Ok(true),
                b']' if self.depth == 0 => {
                    self.place = Place::Behind;
                    return Ok(true);
                }
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        if self.text.len() == MAX_ELEMENT {
            return Err("an element of a list that is too long");
        }
        self.text.push(byte);
        Ok(false)
    }

    fn is_over(&self) -> bool {
        match self.place {
            Place::Before | Place::Behind => true,
            Place::Null => self.text == b"null",
            Place::First | Place::Element => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_ELEMENT, Splitter};

    fn split(text: &str) -> Result<Vec<String>, &'static str> {
        let (mut splitter, mut found) = (Splitter::default(), Vec::new());
        for byte in text.bytes() {
            if splitter.take(byte)? {
                found.push(String::from_utf8(std::mem::take(&mut splitter.text)).unwrap());
            }
        }
        if splitter.is_over() { Ok(found) } else { Err("it breaks off") }
    }

    #[test]
    fn elements_end_where_json_says_so() {
        for (text, elements) in [
            ("", vec![]),
            (" null\n", vec![]),
            ("[ ]", vec![]),
            ("[1, 2 ]\n", vec!["1", " 2 "]),
            (r#"[{"a":[1,{"b":"],}\"[\\"}]},"x,]"]"#, vec![r#"{"a":[1,{"b":"],}\"[\\"}]}"#, r#""x,]""#]),
        ] {
            assert_eq!(split(text).unwrap(), elements, "{text}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let long = format!("[\"{}\"]", "x".repeat(MAX_ELEMENT));
        for text in ["{}", "nul", "nulls", "null null", "[", "[1", "[1,", "[\"", "[1] 2", &long] {
            assert!(split(text).is_err(), "{text:.40}");
        }
        // What stands for an element is refused by whoever reads it.
        assert_eq!(split("[1,]").unwrap(), ["1", ""]);
    }
}
