//! The body of a response that went through the layer.

mod watch;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pub(crate) use self::watch::Watch;
pub use crate::failure::BodyError;
use crate::failure::BoxError;

pin_project! {
    /// The upstream's body, passed on frame by frame, or the content of an answer of our own.
    ///
    /// Frames, trailers, size hints and the end of the stream are those of the upstream. When the upstream's body breaks or
    /// stays silent for too long, this one ends in a [`BodyError`], never in a clean end, and the server that sends it aborts
    /// the message: HTTP/1 without the last chunk, HTTP/2 by `RST_STREAM`. The error comes one wake after it was met, so that
    /// a server which has not sent the head yet does so first: otherwise the client would get an empty reply.
    ///
    /// The first error is the last word: the upstream's body is dropped at once, and what follows is the end.
    ///
    /// ```
    /// use http_body::Body;
    /// use tower_bad_gateway::body::ResponseBody;
    ///
    /// let body: ResponseBody<String> = ResponseBody::default();
    /// assert!(body.is_end_stream());
    /// ```
    pub struct ResponseBody<B> {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[project = StateProj]
    #[project_replace = StateReplaced]
    enum State<B> {
        Upstream { #[pin] body: B, watch: Option<Watch> },
        Own { content: Bytes },
        Held { error: BodyError, hint: SizeHint },
        Ended,
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn upstream(body: B, watch: Watch) -> Self {
        Self { state: State::Upstream { body, watch: Some(watch) } }
    }

    pub(crate) fn own(content: Bytes) -> Self {
        Self { state: State::Own { content } }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.project().state;
        let (error, hint) = match state.as_mut().project() {
            StateProj::Upstream { mut body, watch } => match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(watch) = watch {
                        watch.rest();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => (Watch::broken(watch.as_ref(), error.into()), body.size_hint()),
                Poll::Pending => match watch.as_mut().and_then(|watch| watch.poll_late(cx)) {
                    Some(error) => (error, body.size_hint()),
                    None => return Poll::Pending,
                },
            },
            StateProj::Own { content } => {
                let content = std::mem::take(content);
                state.set(State::Ended);
                return Poll::Ready((!content.is_empty()).then(|| Ok(Frame::data(content))));
            }
            StateProj::Held { .. } => {
                return Poll::Ready(match state.project_replace(State::Ended) {
                    StateReplaced::Held { error, .. } => Some(Err(error)),
                    _ => None,
                });
            }
            StateProj::Ended => return Poll::Ready(None),
        };
        // The upstream's body goes now: its connection is of no use to anyone.
        state.set(State::Held { error, hint });
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Upstream { body, .. } => body.is_end_stream(),
            State::Own { content } => content.is_empty(),
            State::Held { .. } => false,
            State::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Upstream { body, .. } => body.size_hint(),
            State::Own { content } => SizeHint::with_exact(u64::try_from(content.len()).unwrap_or(u64::MAX)),
            State::Held { hint, .. } => *hint,
            State::Ended => SizeHint::with_exact(0),
        }
    }
}

/// An unwatched default body of the upstream's type; `CorsLayer` and others ask for it.
impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { state: State::Upstream { body: B::default(), watch: None } }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Upstream { .. } => "ResponseBody(upstream)",
            State::Own { .. } => "ResponseBody(own)",
            State::Held { .. } => "ResponseBody(broken)",
            State::Ended => "ResponseBody(ended)",
        })
    }
}
