//! A body that is looked at before its head is passed on.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{Broken, Call};
use crate::failure::BoxError;

/// What a body has frame ahead, and the length it had size_hint before.
#[derive(Debug, Default)]
pub(crate) struct Peeked {
    pub(super) frame: PeekedFrame,
    pub(super) size_hint: SizeHint,
}

/// Trailers are rare at the start of a body, and large.
#[derive(Debug, Default)]
pub(super) enum PeekedFrame {
    #[default]
    Nothing,
    Data(Bytes),
    Trailers(Box<HeaderMap>),
    End,
}

impl Peeked {
    /// Asks the body for its first byte, for trailers, or for the end; frames without a byte are dropped. It does not wait.
    #[inline]
    pub(crate) fn poll<B>(body: &mut B, call: &mut Call, cx: &mut Context<'_>) -> Poll<Result<Self, Broken>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        for _ in 0..MOST_EMPTY_FRAMES {
            // What has ended says so as it is, and is not to be asked.
            if call.has_ended(body) {
                return Poll::Ready(Ok(Self::default()));
            }
            let size_hint = body.size_hint();
            let next = match ready!(call.ask(Pin::new(body), cx)) {
                Some(Ok(frame)) if call.accepts_data(&frame, body) => match frame.into_data() {
                    // Nearly always, and a whole frame is large.
                    Ok(data) if !data.is_empty() => {
                        return Poll::Ready(Ok(Self { frame: PeekedFrame::Data(data), size_hint }));
                    }
                    Ok(_) => continue,
                    Err(frame) => Some(Ok(frame)),
                },
                next => call.judge_other(next, body),
            };
            return Poll::Ready(next.transpose().map(|next| Self { frame: PeekedFrame::of(next), size_hint }));
        }
        // Somebody else's turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    #[inline]
    pub(super) fn is_taken(&self) -> bool {
        matches!(self.frame, PeekedFrame::Nothing)
    }

    /// What was frame, once; the end, if that was all.
    pub(super) fn take(&mut self) -> Option<Frame<Bytes>> {
        match mem::take(&mut self.frame) {
            PeekedFrame::Data(data) => Some(Frame::data(data)),
            PeekedFrame::Trailers(trailers) => Some(Frame::trailers(*trailers)),
            PeekedFrame::Nothing | PeekedFrame::End => None,
        }
    }
}

impl PeekedFrame {
    fn of(next: Option<Frame<Bytes>>) -> Self {
        let Some(frame) = next else { return Self::End };
        match frame.into_data() {
            Ok(data) => Self::Data(data),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Self::Trailers(Box::new(trailers)),
                // Neither: there is no other kind.
                Err(_) => Self::Nothing,
            },
        }
    }
}

const MOST_EMPTY_FRAMES: usize = 32;
