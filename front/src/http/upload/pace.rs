//! A body that gives one piece at a time.
//!
//! The multipart reader takes pieces for as long as some are ready, and keeps what it
//! does not need yet: a client faster than the disk would fill the memory. A pause after
//! each piece makes it hand that piece on first.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::Stream;

/// The body, with a pause after each piece.
pub(super) fn paced(body: Body) -> Body {
    Body::from_stream(Paced { pieces: body.into_data_stream(), pause: false })
}

struct Paced {
    pieces: BodyDataStream,
    pause: bool,
}

impl Stream for Paced {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.pause) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = Pin::new(&mut self.pieces).poll_next(cx);
        self.pause = matches!(piece, Poll::Ready(Some(_)));
        piece
    }
}
