//! A request body that can be sent again.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::failure::{BoxError, Failure, FailureKind};

/// The body of a request that may be sent a second time.
///
/// Each clone gives the whole body: first what another clone has read of the client's body, then what the client sends. What is read is
/// kept as long as another clone may need it, up to a limit of bytes; beyond the limit a clone that is behind cannot be sent any more. The
/// body of a request that was never sent was not read, so it can be sent again however long it is.
///
/// Of the first frame a reference is kept, and of the next ones a copy: a small frame may be part of a large buffer.
///
/// # Errors
///
/// The error of the client's body. A [`Failure`] (`proxy_internal_error`) for a clone that is still polled although another one has begun after
/// it, and for one that is behind what was kept: a part of a body never ends as if it were all.
///
/// # Cancel safety
///
/// A poll that is pending loses no frame.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::{BodyExt, Full};
/// use tower_bad_gateway::retry::ReplayBody;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let body = ReplayBody::new(Full::from("order 1")); // or `with_limit(body, bytes)`; 64 KiB by default
/// let again = body.clone();
/// assert_eq!(body.collect().await.unwrap().to_bytes(), "order 1");
/// assert_eq!(again.collect().await.unwrap().to_bytes(), "order 1");
/// # }
/// ```
pub struct ReplayBody<B> {
    shared: Arc<Shared<B>>,
    /// Which of the clones this is; a later one takes the body from an earlier one.
    number: usize,
    /// How many bytes of content this clone has given.
    position: usize,
    /// Whether it has given the trailers or the end.
    is_over: bool,
}

struct Shared<B> {
    clones: AtomicUsize,
    state: Mutex<State<B>>,
}

struct State<B> {
    inner: Pin<Box<B>>,
    /// The first frame of the content that was read, unless it was too much.
    first: Bytes,
    /// What came after it. One buffer, because each slice that a server gives may keep a larger one alive.
    joined: Vec<u8>,
    /// How many bytes were read.
    read: usize,
    trailers: Option<HeaderMap>,
    has_ended: bool,
    /// Whether something is missing in what was kept.
    has_lost: bool,
    /// Whether the client's body has failed.
    has_failed: bool,
    limit: usize,
    /// The clone that reads.
    reader: usize,
}

impl<B> ReplayBody<B> {
    /// Wraps a body, of which up to 64 KiB are kept.
    #[must_use]
    pub fn new(body: B) -> Self {
        Self::with_limit(body, 64 * 1024)
    }

    /// Wraps a body, of which up to so many bytes are kept. With 0, a body can be sent again as long as nothing of it was read.
    #[must_use]
    pub fn with_limit(body: B, bytes: usize) -> Self {
        let state = State {
            inner: Box::pin(body),
            first: Bytes::new(),
            joined: Vec::new(),
            read: 0,
            trailers: None,
            has_ended: false,
            has_lost: false,
            has_failed: false,
            limit: bytes,
            reader: 0,
        };
        let shared = Shared { clones: AtomicUsize::new(1), state: Mutex::new(state) };
        Self { shared: Arc::new(shared), number: 0, position: 0, is_over: false }
    }

    /// Whether this clone can give the whole body. If so, no clone before it reads any more: a client library may hold on to that of the attempt
    /// that has failed, in another task, and what it would read could be too much to be kept.
    pub(super) fn claim(&self) -> bool {
        let mut state = self.shared.state();
        let can_give = state.can_give_rest(self.number, self.position);
        if can_give {
            state.reader = self.number;
        }
        can_give
    }
}

impl<B> Shared<B> {
    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> State<B> {
    /// Whether a copy can give what is left of it after so many bytes: no other has begun after it, and nothing is missing.
    fn can_give_rest(&self, number: usize, position: usize) -> bool {
        number >= self.reader && !self.has_failed && !(self.has_lost && position < self.read)
    }

    /// Counts a frame, and keeps it for other clones if there are any and it is not too much.
    fn note(&mut self, data: &Bytes, has_others: bool) {
        self.read = self.read.saturating_add(data.len());
        self.has_lost |= !has_others || self.read > self.limit;
        if self.has_lost {
            self.first = Bytes::new();
            self.joined = Vec::new();
        } else if self.first.is_empty() {
            self.first = data.clone();
        } else {
            self.joined.extend_from_slice(data);
        }
    }

    /// What was kept behind so many bytes: the rest of the first frame, or of all that came after it.
    fn kept_after(&self, position: usize) -> Option<Bytes> {
        let kept = match position.checked_sub(self.first.len()) {
            None => self.first.slice(position..),
            Some(position) => Bytes::copy_from_slice(self.joined.get(position..)?),
        };
        Some(kept).filter(|kept| !kept.is_empty())
    }
}

impl<B> Clone for ReplayBody<B> {
    /// Another copy, which begins at the beginning.
    fn clone(&self) -> Self {
        let number = self.shared.clones.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared), number, position: 0, is_over: false }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").field("position", &self.position).finish_non_exhaustive()
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { shared, number, position, is_over } = self.get_mut();
        if *is_over {
            return Poll::Ready(None);
        }
        let has_others = Arc::strong_count(shared) > 1;
        let mut state = shared.state();
        if !state.can_give_rest(*number, *position) {
            *is_over = true;
            let failure = Failure::new(FailureKind::ProxyInternalError);
            return Poll::Ready(Some(Err(failure.with_source("a copy of a body that cannot be sent again").into())));
        }
        state.reader = *number;
        if let Some(data) = state.kept_after(*position) {
            *position = position.saturating_add(data.len());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !state.has_ended {
            match ready!(state.inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        state.note(&data, has_others);
                        *position = state.read;
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Err(frame) => state.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => {
                    *is_over = true;
                    state.has_failed = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {}
            }
            state.has_ended = true;
        }
        *is_over = true;
        Poll::Ready(state.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        if self.is_over {
            return true;
        }
        let state = self.shared.state();
        let is_at_end = self.position >= state.read && state.can_give_rest(self.number, self.position);
        is_at_end && state.trailers.is_none() && (state.has_ended || state.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_over {
            return SizeHint::with_exact(0);
        }
        let state = self.shared.state();
        if !state.can_give_rest(self.number, self.position) {
            // It ends in an error. A length of what is here would be taken for that of the whole.
            return SizeHint::default();
        }
        let kept = u64::try_from(state.read.saturating_sub(self.position)).unwrap_or(u64::MAX);
        let rest = if state.has_ended { SizeHint::with_exact(0) } else { state.inner.size_hint() };
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        // Beyond the upper bound this would panic.
        hint.set_lower(rest.lower().saturating_add(kept).min(hint.upper().unwrap_or(u64::MAX)));
        hint
    }
}
