//! Answers that are made while they are sent: a reader that is slow holds back whoever makes them, and memory holds a few pieces.

use bytes::Bytes;
use shared::node::Error;
use shared::store::grain::GrainRow;
use shared::wire::sync::{FeedLine, PIECE_BYTES};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Payload in one chunk.
pub(super) const CHUNK_BYTES: i64 = 1024 * 1024;
/// What a line has around its payload, about.
pub(super) const LINE_BYTES: i64 = 256;
/// Chunks waiting for a slow reader: what a stream may hold in memory.
const CHUNKS_AHEAD: usize = 2;

/// A body that is being made.
pub type Chunks = Receiver<std::io::Result<Bytes>>;

/// Whether a payload text is too long for a line.
pub(super) fn is_large(row: &GrainRow) -> bool {
    usize::try_from(row.payload_bytes).is_ok_and(|bytes| bytes > PIECE_BYTES)
}

/// The first rows that fit into a chunk; at least one.
pub(super) fn one_chunk(mut rows: Vec<GrainRow>) -> Vec<GrainRow> {
    let mut bytes = 0_i64;
    let fit = rows.iter().take_while(|row| {
        let first = bytes == 0;
        bytes = bytes.saturating_add(if is_large(row) { LINE_BYTES } else { row.payload_bytes.max(1) });
        first || bytes <= CHUNK_BYTES
    });
    let count = fit.count();
    rows.truncate(count);
    rows
}

/// Runs `produce` beside the answer it fills. When it fails the stream breaks off, so that nobody takes half for all.
pub(super) fn spawn<F, P>(produce: F) -> Chunks
where
    F: FnOnce(Output) -> P + Send + 'static,
    P: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (sender, receiver) = channel(CHUNKS_AHEAD);
    tokio::spawn(async move {
        let failed = match produce(Output(sender.clone())).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if !sender.is_closed() {
            let text = failed.private_text().unwrap_or_else(|| failed.to_string());
            tracing::error!(error = %text, "a stream broke off");
            drop(sender.send(Err(std::io::Error::other("the stream broke off"))).await);
        }
    });
    receiver
}

/// Where a stream goes.
pub(super) struct Output(Sender<std::io::Result<Bytes>>);

impl Output {
    pub async fn send(&self, text: String) -> Result<(), Error> {
        // The reader is gone: nothing more to do.
        self.0
            .send(Ok(Bytes::from(text)))
            .await
            .map_err(|_gone| Error::BadRequest("the reader went away".to_owned()))
    }

    pub async fn send_line(&self, line: &impl serde::Serialize) -> Result<(), Error> {
        self.send(json_line(line)?).await
    }

    pub async fn send_lines(&self, lines: impl IntoIterator<Item = FeedLine>) -> Result<(), Error> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&json_line(&line)?);
        }
        self.send(text).await
    }
}

pub(super) fn json_line(line: &impl serde::Serialize) -> Result<String, Error> {
    let mut text = serde_json::to_string(line).map_err(|error| Error::Internal(error.to_string()))?;
    text.push('\n');
    Ok(text)
}
