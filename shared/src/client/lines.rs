//! Reading an NDJSON stream line by line.

use bytes::BytesMut;
use futures_util::StreamExt as _;
use reqwest::Response;
use serde::de::DeserializeOwned;

use super::unpack::{Pieces, unpacked};
use super::{Client, ClientError};

/// A grain with a payload text of 1 MiB, escaped: control characters take six bytes each.
const MAX_LINE: usize = 8 * 1024 * 1024;

/// The header of a feed: it holds the slice's metadata, which are made by one request of at most 1 MiB.
const MAX_HEADER: usize = 4 * 1024 * 1024;

/// The lines of an answer, one at a time: memory holds one line, whatever the stream's length.
pub struct Lines {
    client: Client,
    pieces: Pieces,
    buffer: BytesMut,
    /// Bytes of the buffer known to hold no line end.
    scanned: usize,
}

impl Lines {
    pub(super) fn new(client: Client, response: Response) -> Self {
        let pieces = unpacked(&client, response);
        Self { client, pieces, buffer: BytesMut::new(), scanned: 0 }
    }

    /// The next line; `None` at the end of the stream. A protocol says by a line of its own that nothing is missing.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when the stream breaks, [`ClientError::Unexpected`] for a line that is too long or
    /// not a `T`.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        self.next_within(MAX_LINE).await
    }

    /// The first line of a feed.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn header<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        self.next_within(MAX_HEADER).await
    }

    async fn next_within<T: DeserializeOwned>(&mut self, limit: usize) -> Result<Option<T>, ClientError> {
        let Some(line) = self.next_bytes(limit).await? else { return Ok(None) };
        serde_json::from_slice(&line).map(Some).map_err(|error| self.client.unexpected(error.to_string()))
    }

    async fn next_bytes(&mut self, limit: usize) -> Result<Option<BytesMut>, ClientError> {
        loop {
            let unread = self.buffer.get(self.scanned..).unwrap_or_default();
            if let Some(at) = unread.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.scanned + at + 1);
                self.scanned = 0;
                if line.len() > limit {
                    return Err(self.client.unexpected(format!("a line of more than {limit} bytes")));
                }
                return Ok(Some(line));
            }
            self.scanned = self.buffer.len();
            if self.buffer.len() > limit {
                return Err(self.client.unexpected(format!("a line of more than {limit} bytes")));
            }
            match self.pieces.next().await {
                Some(piece) => self.buffer.extend_from_slice(&piece?),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(self.client.unexpected("a stream that ends in the middle of a line")),
            }
        }
    }
}
