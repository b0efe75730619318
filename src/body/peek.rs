//! The start of a body, read before its head is forwarded.
//!
//! A body that is broken from the start can become a real 502 only while its head is here. So [`PeekedBody::poll`] polls
//! the body for its first byte: once when the response is accepted ([`peek`](crate::BadGatewayLayer::peek)), and again
//! and again while the head is held ([`hold_head`](crate::BadGatewayLayer::hold_head)), with more of the body or all of it
//! (`held`). What was read goes into the [`ResponseBody`](super::ResponseBody), which gives it at its first polls. gRPC, tunnels and responses without content
//! are not peeked; the policy decides.
//!
//! This file must not know how long a head may be held, or what becomes of a failure.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{BrokenBody, Call, call::Stage};
use crate::failure::BoxError;

/// What was read of a body ahead of the server, and the size hint from before: with the frame gone, the body's own hint
/// is too small.
///
/// The default is a body of which nothing was read.
#[derive(Debug, Default)]
pub(crate) struct PeekedBody {
    /// The frame, until the server takes it.
    pub(super) frame: PeekedFrame,
    /// The hint of the body before that frame was read. It counts as long as the frame is here.
    pub(super) size_hint: SizeHint,
}

/// The frame that was read.
///
/// | value | what the body has given | what the server gets |
/// | --- | --- | --- |
/// | `Nothing` | no frame with a byte, or the server has taken the frame | what the body gives next |
/// | `Data` | content, at least one byte where a head is held | the content, then what the body gives next |
/// | `Trailers` | trailers, which are the last frame of a body | the trailers, then the end |
/// | `End` | its end, or trailers of which nothing was left | the end |
/// | `Whole` | all of its content and its end, with trailers or without, while the body was held | the content, then the trailers or the end |
///
/// Boxed trailers: they are rare at the start of a body, and a map would make every response larger.
#[derive(Debug, Default)]
pub(super) enum PeekedFrame {
    /// No frame is kept.
    #[default]
    Nothing,
    /// Content; where a head is held, at least one byte.
    Data(Bytes),
    /// Trailers, as the rules of the layer have left them.
    Trailers(Box<HeaderMap>),
    /// The end of the body.
    End,
    /// The whole body.
    Whole(Box<WholeBody>),
}

/// A body that was held until its end.
#[derive(Debug)]
pub(super) struct WholeBody {
    /// Its content, at least one byte.
    pub(super) content: Bytes,
    /// Its trailers, as the rules of the layer have left them.
    pub(super) trailers: Option<Box<HeaderMap>>,
}

impl PeekedBody {
    /// Polls the body for its first byte, for trailers, or for the end. With `skips_empty`, while a head is held, frames
    /// without a byte are dropped; a single look at the body forwards them as they are.
    ///
    /// The frame is counted and judged as any other. `Pending` means that nothing has come yet; the task is woken when
    /// there is more, and this function may be called again. It looks at no time limit.
    ///
    /// # Errors
    ///
    /// The body is broken from the start. Its head has not been forwarded, so the caller makes an answer of the failure.
    #[inline]
    pub(crate) fn poll<B>(
        body: &mut B,
        call: &mut Call,
        skips_empty: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self, BrokenBody>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        // A body that panics in any of its methods must not be reported as abandoned by its client.
        let stage = mem::replace(&mut call.stage, Stage::ReportsNothing);
        let peeked = Self::poll_frames(body, call, skips_empty, cx);
        call.stage = stage;
        peeked
    }

    #[inline]
    fn poll_frames<B>(
        body: &mut B,
        call: &mut Call,
        skips_empty: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self, BrokenBody>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        for _ in 0..MAX_EMPTY_FRAMES {
            // A body that has ended may panic when it is polled again. And it goes out as it is: with a kept `End` a
            // server would not know of the end before it polls, and over HTTP/2 sends two frames instead of one.
            if call.has_ended(body) {
                return Poll::Ready(Ok(Self::default()));
            }
            let size_hint = body.size_hint();
            let next = match ready!(call.poll_body(Pin::new(body), cx)) {
                Some(Ok(frame)) if call.accepts_data(&frame, body) => match frame.into_data() {
                    // Nearly every body takes this way. `Frame` is larger than `Bytes`, and would make every response
                    // larger.
                    Ok(data) if skips_empty && data.is_empty() => continue,
                    Ok(data) => return Poll::Ready(Ok(Self { frame: PeekedFrame::Data(data), size_hint })),
                    Err(frame) => Some(Ok(frame)),
                },
                next => call.judge_uncommon(next, body),
            };
            return Poll::Ready(next.transpose().map(|next| Self { frame: PeekedFrame::of(next), size_hint }));
        }
        // A body with endless empty frames would keep the thread from other tasks, and its own limits from being looked
        // at.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether no frame is kept, so that the body itself is polled next.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.frame, PeekedFrame::Nothing)
    }

    /// Whether the next frame that is [taken](Self::take) is the last one, or there is none.
    #[inline]
    pub(super) fn is_last(&self) -> bool {
        match &self.frame {
            PeekedFrame::Data(_) => false,
            PeekedFrame::Trailers(_) | PeekedFrame::Nothing | PeekedFrame::End => true,
            PeekedFrame::Whole(whole) => whole.trailers.is_none(),
        }
    }

    /// Takes the next frame out; `None` if the body has ended.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Frame<Bytes>> {
        match mem::take(&mut self.frame) {
            PeekedFrame::Data(data) => Some(Frame::data(data)),
            PeekedFrame::Trailers(trailers) => Some(Frame::trailers(*trailers)),
            PeekedFrame::Nothing | PeekedFrame::End => None,
            PeekedFrame::Whole(whole) => Some(self.take_content(*whole)),
        }
    }

    /// Takes the content of a whole body, and leaves its trailers for the next time.
    #[cold]
    fn take_content(&mut self, whole: WholeBody) -> Frame<Bytes> {
        if let Some(trailers) = whole.trailers {
            *self = Self { frame: PeekedFrame::Trailers(trailers), size_hint: SizeHint::with_exact(0) };
        }
        Frame::data(whole.content)
    }
}

impl PeekedFrame {
    /// What is kept of an accepted frame or of the end (`None`).
    fn of(next: Option<Frame<Bytes>>) -> Self {
        let Some(frame) = next else { return Self::End };
        match frame.into_data() {
            Ok(data) => Self::Data(data),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Self::Trailers(Box::new(trailers)),
                // http-body has no third kind of frame.
                Err(_) => Self::Nothing,
            },
        }
    }
}

/// How many empty frames one poll drops before it gives the thread back.
const MAX_EMPTY_FRAMES: usize = 32;
