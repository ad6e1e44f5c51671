//! Bodies that are worked on while they arrive.

use std::io;

use actix_web::web;
use bytes::Bytes;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc::{Receiver, channel};

/// Chunks that wait for whoever works on them.
const CHUNKS_AHEAD: usize = 4;

/// A body for a task of its own, and what has to be awaited meanwhile, where the connection is. A connection that breaks ends the
/// stream with an error, never as if the body were whole.
pub fn piped(
    mut payload: web::Payload,
) -> (impl Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static, impl Future<Output = ()>) {
    // `None` is the end; a channel that closes without it is none.
    let (sender, receiver) = channel::<io::Result<Option<Bytes>>>(CHUNKS_AHEAD);
    let pump = async move {
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map(Some).map_err(io::Error::other);
            let is_broken = chunk.is_err();
            // Nobody wants the rest: there is an answer already.
            if sender.send(chunk).await.is_err() || is_broken {
                return;
            }
        }
        // As above.
        drop(sender.send(Ok(None)).await);
    };
    (Box::pin(unfold(Some(receiver), next).fuse()), pump)
}

type Rest = Option<Receiver<io::Result<Option<Bytes>>>>;

async fn next(rest: Rest) -> Option<(io::Result<Bytes>, Rest)> {
    let mut receiver = rest?;
    match receiver.recv().await {
        Some(Ok(Some(chunk))) => Some((Ok(chunk), Some(receiver))),
        Some(Ok(None)) => None,
        Some(Err(error)) => Some((Err(error), None)),
        None => Some((Err(io::Error::other("the connection was closed")), None)),
    }
}
