//! The body of an answer, unpacked as it arrives. A little data may unpack to gigabytes, so what comes out is limited by what
//! came in, and what the unpacking itself needs is limited too.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::{Client, ClientError};

/// What requests accept.
pub(super) const CODINGS: &str = "zstd, gzip";
/// Bytes that may come out for each that came in. Product data give 40, and what repeats itself a few hundred.
const MOST_RATIO: u64 = 1_000;
/// So much may come out in any case: nobody is refused for a few payloads that are nothing but spaces.
const FREE_BYTES: u64 = 64 * 1024 * 1024;
/// What a zstd stream may look back on: 8 MiB, which RFC 8878 asks everybody to support, and no more.
const WINDOW_LOG: u32 = 23;
/// Unpacked at a time.
const PIECE: usize = 64 * 1024;

/// Pieces of an unpacked body.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, ClientError>> + Send>>;

/// The body of `response`, piece by piece.
pub(super) fn unpacked(client: &Client, response: Response) -> Pieces {
    let coding = response.headers().get(CONTENT_ENCODING).cloned();
    let arrived = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&arrived);
    let packed = response.bytes_stream().inspect_ok(move |chunk| {
        counter.fetch_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
    });
    let client = client.clone();
    let Some(coding) = coding else {
        return Box::pin(packed.map_err(move |error| client.unreachable(error)));
    };
    let packed = StreamReader::new(packed.map_err(io::Error::other));
    let reader: Pin<Box<dyn AsyncRead + Send>> = match coding.as_bytes() {
        b"zstd" => Box::pin(ZstdDecoder::with_params(packed, &[DParameter::window_log_max(WINDOW_LOG)])),
        b"gzip" => Box::pin(GzipDecoder::new(packed)),
        _ => {
            let refused = client.unexpected(format!("a content coding that nobody asked for: {coding:?}"));
            return Box::pin(futures_util::stream::once(async { Err(refused) }));
        }
    };
    let mut came_out = 0_u64;
    Box::pin(ReaderStream::with_capacity(reader, PIECE).map(move |piece| {
        let piece = piece.map_err(|error| broken(&client, error))?;
        came_out = came_out.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        let most = arrived.load(Ordering::Relaxed).saturating_mul(MOST_RATIO).max(FREE_BYTES);
        if came_out > most {
            return Err(
                client.unexpected(format!("a body that unpacks to more than {MOST_RATIO} times its size"))
            );
        }
        Ok(piece)
    }))
}

/// A stream that broke, or one that is no such stream.
fn broken(client: &Client, error: io::Error) -> ClientError {
    match error.downcast::<reqwest::Error>() {
        Ok(network) => client.unreachable(network),
        Err(error) => client.unexpected(format!("a body that cannot be unpacked: {error}")),
    }
}
