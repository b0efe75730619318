//! The body of the upstream's responses.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

/// A short body or a long one.
pub(crate) enum Content {
    /// One frame of known length.
    Full(Full<Bytes>),
    Frames(Frames),
}

impl Content {
    #[inline]
    pub(crate) fn full(data: impl Into<Bytes>) -> Self {
        Self::Full(Full::new(data.into()))
    }
}

/// tower-http's `Timeout` asks for it.
impl Default for Content {
    fn default() -> Self {
        Self::Full(Full::default())
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Full(full) => Pin::new(full).poll_frame(cx),
            Self::Frames(frames) => frames.poll(),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(full) => full.is_end_stream(),
            Self::Frames(frames) => frames.is_sized && frames.left == 0,
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(full) => full.size_hint(),
            Self::Frames(frames) if frames.is_sized => SizeHint::with_exact(frames.length()),
            Self::Frames(_) => SizeHint::default(),
        }
    }
}

/// A body that comes piece by piece.
pub(crate) struct Frames {
    frame: Bytes,
    left: u8,
    /// Whether its length is known from the start, and with it the end. If not, it has to be asked for its end, as hyper's is
    /// for chunks.
    is_sized: bool,
    /// Whether it is pending once before every frame.
    waits: bool,
    is_waiting: bool,
}

impl Frames {
    /// A mebibyte.
    #[inline]
    pub(crate) fn large(is_sized: bool, waits: bool) -> Self {
        Self { frame: Bytes::from_static(&FRAME), left: FRAMES, is_sized, waits, is_waiting: waits }
    }

    /// Two frames, each of which has to be waited for, as an upstream's content has.
    #[inline]
    pub(crate) fn waited_for() -> Self {
        let frame = Bytes::from_static(FRAME.split_at(SHORT_FRAME).0);
        Self { frame, left: SHORT_FRAMES, is_sized: true, waits: true, is_waiting: true }
    }

    // Whoever wraps the body of a client does not see into it either. Nobody is woken: the drive polls again at once.
    #[inline(never)]
    fn poll(&mut self) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if mem::replace(&mut self.is_waiting, false) {
            return Poll::Pending;
        }
        self.is_waiting = self.waits;
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.frame.clone()))))
    }

    fn length(&self) -> u64 {
        u64::from(self.left).saturating_mul(u64::try_from(self.frame.len()).unwrap_or(u64::MAX))
    }
}

/// How many frames a long body has.
pub(crate) const FRAMES: u8 = 64;
/// How many a short one has that is waited for, of this many bytes.
pub(crate) const SHORT_FRAMES: u8 = 2;
pub(crate) const SHORT_FRAME: usize = 64;

static FRAME: [u8; 16 * 1024] = [b'x'; 16 * 1024];
