//! Bodies in chunks that are answered before they end. actix-http goes on reading such a body after its answer, without a limit
//! of time, in the hope of another request on the connection (actix-http 3.20, `h1/dispatcher.rs`, `payload_drainable`). So the
//! answer itself has to close the connection.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::time::{Sleep, sleep};

/// How long what still comes is thrown away, so that the client reads the answer before it finds the connection closed.
const LINGER: Duration = Duration::from_secs(5);

/// Whether a body in chunks was read to its end.
pub struct Watched(Option<Rc<Cell<bool>>>);

/// Watches the body of a request.
pub fn watch(request: &mut ServiceRequest) -> Watched {
    if !request.headers().contains_key(TRANSFER_ENCODING) {
        return Watched(None);
    }
    let has_ended = Rc::new(Cell::new(false));
    let end = Rc::clone(&has_ended);
    let body = request.take_payload().chain(poll_fn(move |_context| {
        end.set(true);
        Poll::Ready(None)
    }));
    request.set_payload(Payload::Stream { payload: Box::pin(body) });
    Watched(Some(has_ended))
}

impl Watched {
    /// The same answer, and after it the end of the connection if the body has not ended.
    pub fn close_if_unread(self, response: ServiceResponse) -> ServiceResponse {
        if self.0.is_none_or(|has_ended| has_ended.get()) {
            return response;
        }
        let mut response = response.map_body(|_head, body| Lingering { body, pause: None }.boxed());
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        response
    }
}

struct Lingering {
    body: BoxBody,
    pause: Option<Pin<Box<Sleep>>>,
}

impl MessageBody for Lingering {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        match self.body.size() {
            // Of such a body no end would be asked for.
            BodySize::None | BodySize::Sized(0) => BodySize::Stream,
            size => size,
        }
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.pause.is_none() {
            if let Some(next) = ready!(Pin::new(&mut self.body).poll_next(context)) {
                return Poll::Ready(Some(next));
            }
            self.pause = Some(Box::pin(sleep(LINGER)));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
        }
        let unread = io::Error::new(io::ErrorKind::TimedOut, "the body of the request did not end");
        Poll::Ready(Some(Err(unread.into())))
    }
}
