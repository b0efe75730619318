//! Bodies: of a response that went through the layer, and of a request whose upload is watched.

mod call;
mod frames;
mod head;
mod peek;
mod reasons;
mod request;
mod upload;

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

pub use self::request::RequestBody;
pub(crate) use self::{
    call::Call,
    frames::Broken,
    head::{Forward, Rejected},
    peek::Peeked,
    upload::{Turn, Upload},
};
pub use crate::failure::BodyError;
use crate::{
    caught::caught,
    classify::already_reported,
    failure::{BoxError, Failure},
};

pin_project! {
    /// The upstream's body, passed on frame by frame, or the content of an answer of our own.
    ///
    /// Frames, size hints and the end of the stream are those of the upstream, and so are trailers, but for fields that may
    /// not stand there ([RFC 9110, section 6.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1)). When the upstream's
    /// body breaks, stays silent for too long, or ends before all that was promised has come, this one ends in a
    /// [`BodyError`], never in a clean end, and the server that sends it aborts the message: HTTP/1 without the last chunk,
    /// HTTP/2 by `RST_STREAM`. The error comes a few wakes after it was met, and over HTTP/2 20 ms after that, so that a server
    /// which has not sent the head yet does so first: otherwise the client would get an empty reply.
    ///
    /// The first error is the last word: the upstream's body is dropped at once, and what follows is the end. Dropped before
    /// its end, it tells [`on_abandoned`](crate::BadGatewayLayer::on_abandoned).
    ///
    /// What is promised is `Content-Length`, or the exact length that the upstream's body has announced. A response without
    /// either tells whether it was complete by its framing alone, which the client library has to check: all of them do for
    /// chunks, and hyper's does not for HTTP/2; see
    /// [`trust_end_of_stream`](crate::BadGatewayLayer::trust_end_of_stream). The end of an HTTP/1 connection, where that is
    /// the end of the body, looks the same either way.
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
        Upstream { #[pin] body: B, peeked: Peeked, call: Option<Call> },
        Own { content: Bytes },
        Absent { hint: SizeHint },
        Held { error: BodyError, hint: SizeHint, turns: u8, pause: Option<Pin<Box<Sleep>>> },
        Ended,
    }
}

impl<B> ResponseBody<B> {
    #[inline(always)] // otherwise it is moved once more
    pub(crate) fn upstream(body: B, peeked: Peeked, call: Option<Call>) -> Self {
        Self { state: State::Upstream { body, peeked, call } }
    }

    pub(crate) fn own(content: Bytes) -> Self {
        Self { state: State::Own { content } }
    }

    /// No content, in answer to a HEAD: servers tell its length all the same, if it is known.
    pub(crate) fn absent(hint: SizeHint) -> Self {
        Self { state: State::Absent { hint } }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    #[inline(always)] // a server asks in one place, and what is not the next frame is out of line
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.project().state;
        let next = match state.as_mut().project() {
            StateProj::Upstream { mut body, peeked, call: Some(call) } if peeked.is_taken() => {
                match call.ask(body.as_mut(), cx) {
                    // Nearly every frame, without a detour, and moved as a whole.
                    Poll::Ready(Some(Ok(frame))) if call.accepts_data(&frame, &*body) => {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Poll::Ready(next) => call.judge_other(next, &*body),
                    Poll::Pending => Some(Err(ready!(call.wait(cx)))),
                }
            }
            _ => return state.poll_other(cx),
        };
        state.pass(next, cx)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.state {
            // A body that says it has ended although bytes are missing has to be asked once more.
            State::Upstream { body, peeked, call } => {
                peeked.is_taken() && body.is_end_stream() && !call.as_ref().is_some_and(Call::is_short)
            }
            State::Own { content } => content.is_empty(),
            State::Absent { .. } | State::Held { .. } => false,
            State::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Upstream { body, peeked, .. } if peeked.is_taken() => body.size_hint(),
            State::Upstream { peeked, .. } => peeked.size_hint,
            State::Own { content } => SizeHint::with_exact(u64::try_from(content.len()).unwrap_or(u64::MAX)),
            State::Absent { hint } | State::Held { hint, .. } => *hint,
            State::Ended => SizeHint::with_exact(0),
        }
    }
}

impl<B> State<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Whatever is not the next frame of an upstream's body that is watched.
    #[inline(never)]
    fn poll_other(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.as_mut().project() {
            StateProj::Upstream { mut body, peeked, call } => {
                let Some(call) = call.as_mut() else {
                    let next = ready!(unwatched(body.as_mut(), cx));
                    return self.pass(next, cx);
                };
                let next = peeked.take();
                call.peeked_frame_taken(&*body, next.as_ref().is_none_or(Frame::is_trailers));
                if next.is_none() {
                    self.set(Self::Ended);
                }
                Poll::Ready(next.map(Ok))
            }
            StateProj::Own { content } => {
                let content = mem::take(content);
                self.set(Self::Ended);
                Poll::Ready((!content.is_empty()).then(|| Ok(Frame::data(content))))
            }
            StateProj::Held { turns: turns @ 1.., .. } => {
                *turns -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            StateProj::Held { pause, .. } => {
                if let Some(pause) = pause {
                    ready!(pause.as_mut().poll(cx));
                }
                Poll::Ready(match self.project_replace(Self::Ended) {
                    StateReplaced::Held { error, .. } => Some(Err(error)),
                    _ => None,
                })
            }
            StateProj::Absent { .. } => {
                self.set(Self::Ended);
                Poll::Ready(None)
            }
            StateProj::Ended => Poll::Ready(None),
        }
    }

    /// Passes on what has come, or ends with it.
    #[inline(never)]
    fn pass(
        mut self: Pin<&mut Self>,
        next: Option<Result<Frame<Bytes>, Broken>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let broken = match next {
            Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
            None => {
                self.set(Self::Ended);
                return Poll::Ready(None);
            }
            Some(Err(broken)) => broken,
        };
        let StateProj::Upstream { body, call, .. } = self.as_mut().project() else { return Poll::Ready(None) };
        let hint = body.size_hint();
        let pause = call.as_ref().is_some_and(Call::is_one_of_many).then(pause).flatten();
        let error = match (broken, call.as_mut()) {
            (broken, Some(call)) => call.fail(broken),
            (Broken::Reported(error), None) => error,
            (Broken::Unreported(failure), None) => failure.into(),
        };
        // The upstream's body goes now: its connection is of no use to anyone.
        self.set(Self::Held { error, hint, turns: TURNS - 1, pause });
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A body that no call brought is read all the same.
fn unwatched<B>(body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    body.poll_frame(cx).map(|next| {
        next.map(|frame| {
            frame.map_err(|error| match already_reported(error.into()) {
                Ok(error) => Broken::Reported(error),
                Err(error) => Broken::Unreported(Failure::from_body_error(error)),
            })
        })
    })
}

/// An unwatched default body of the upstream's type; `CorsLayer` and others ask for it.
impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { state: State::Upstream { body: B::default(), peeked: Peeked::default(), call: None } }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Upstream { .. } => "ResponseBody(upstream)",
            State::Own { .. } => "ResponseBody(own)",
            State::Absent { .. } => "ResponseBody(absent)",
            State::Held { .. } => "ResponseBody(broken)",
            State::Ended => "ResponseBody(ended)",
        })
    }
}

/// Time for a head that another task has to send. Whoever has no timer goes without.
fn pause() -> Option<Pin<Box<Sleep>>> {
    caught(|| Box::pin(sleep(PAUSE)))
}

/// How often a server hears "not yet" before it is given an error. Once would do for hyper over HTTP/1, which sends the head
/// then; but compression answers the first with what it has gathered, so that its server is none the wiser.
const TURNS: u8 = 8;
/// And how long after that over HTTP/2, where the head is sent by another task, on another thread, and a reset takes what has not
/// been sent with it. Turns take microseconds: with them alone one head in a hundred was lost on a busy machine.
const PAUSE: Duration = Duration::from_millis(20);
