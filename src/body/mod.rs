//! Bodies: of a response that went through the layer, and of a request whose upload is watched.
//!
//! | type | whose content | made by | when it fails |
//! | --- | --- | --- | --- |
//! | [`ResponseBody`] | the upstream's, or an answer of the layer | [`BadGateway`](crate::BadGateway) | the server aborts the message |
//! | [`RequestBody`] | the client's | [`RequestBodyTap`](crate::RequestBodyTap) | the client is answered 400, 408 or 413 |
//!
//! Both fail with a [`BodyError`]. Middleware outside of the layer finds the [`Failure`](crate::Failure) in that error:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::{BodyExt, Full};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_bad_gateway::{BadGatewayLayer, FailureKind};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // The upstream announces nine bytes and sends five.
//! let upstream = service_fn(|_: Request<String>| async {
//!     Response::builder().header("content-length", "9").body(Full::<Bytes>::from("hello"))
//! });
//! let Ok(response) = BadGatewayLayer::new().layer(upstream).oneshot(Request::new(String::new())).await;
//! assert_eq!(response.status(), StatusCode::OK); // the head was sent before the end of the body was known
//!
//! let error = response.into_body().collect().await.unwrap_err();
//! assert_eq!(error.failure().kind(), FailureKind::HttpResponseIncomplete);
//! # }
//! ```
//!
//! Neither body reads ahead, but for the first frame of a response (see [`peek`](crate::BadGatewayLayer::peek)), and
//! neither collects content: a body of any length needs the memory of one frame, or of what a layer was told to
//! [hold](crate::BadGatewayLayer::hold_body).

mod call;
mod delay;
mod fallback;
mod frames;
mod head;
mod held;
mod peek;
mod reasons;
mod request;
mod unwatched;
mod upload;

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;

pub use self::request::RequestBody;
pub(crate) use self::{
    call::Call,
    fallback::{FailedHead, FallbackCall},
    frames::BrokenBody,
    head::{Forward, Rejection},
    held::HeldBody,
    peek::PeekedBody,
    upload::{Turn, Upload},
};
use self::{
    delay::{ERROR_DELAY_POLLS, error_delay},
    fallback::{FallbackContent, OwnContent},
    unwatched::poll_unwatched,
};
pub use crate::failure::BodyError;
use crate::failure::BoxError;

pin_project! {
    /// The upstream's body, forwarded frame by frame, or the content of an answer of the layer.
    ///
    /// Frames, size hints and the end of the stream are those of the upstream, and so are trailers, but for fields that
    /// may not stand there ([RFC 9110, section 6.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1)). A frame is
    /// forwarded in the poll in which the upstream's body gives it; but what was [held](crate::BadGatewayLayer::hold_body) is one frame, with an
    /// exact size hint if it is all of the body.
    ///
    /// When the upstream's body breaks, stays silent for too long, or ends before all promised bytes have come, this body
    /// ends in a [`BodyError`], never in a clean end, and the server that sends it aborts the message (but see gRPC below): HTTP/1 without the
    /// last chunk ([RFC 9112, section 8](https://www.rfc-editor.org/rfc/rfc9112#section-8)), HTTP/2 by `RST_STREAM`
    /// ([RFC 9113, section 5.4.2](https://www.rfc-editor.org/rfc/rfc9113#section-5.4.2)).
    ///
    /// The promised length is `Content-Length`, or the exact length that the upstream's body has announced. A response
    /// without either tells whether it was complete by its framing alone, which the client library has to check: all of
    /// them do for chunks, and hyper's does not for HTTP/2; see
    /// [`trust_end_of_stream`](crate::BadGatewayLayer::trust_end_of_stream). The end of an HTTP/1 connection, where that
    /// is the end of the body, looks the same either way.
    ///
    /// # Errors
    ///
    /// | what the upstream's body does | [`FailureKind`](crate::FailureKind) |
    /// | --- | --- |
    /// | returns an error | as the [readers](crate::classify) say |
    /// | ends, or sends trailers, before the promised length | `HttpResponseIncomplete` |
    /// | sends more than the promised length | `HttpProtocolError` |
    /// | ends because its HTTP/2 stream was reset without an error | `HttpResponseIncomplete` |
    /// | sends nothing for the [idle timeout](crate::BadGatewayLayer::idle_timeout) | `ConnectionReadTimeout` |
    /// | is not complete within the [total timeout](crate::BadGatewayLayer::total_timeout) | `HttpResponseTimeout` |
    /// | sends trailers beyond the [size limits](crate::BadGatewayLayer::limit_fields) | `HttpResponseTrailerSize`, `...SectionSize` |
    ///
    /// The body of a [gRPC](crate::BadGatewayLayer::grpc) call that fails between two messages ends in trailers with a status instead, if the
    /// client gets them; inside of a message it is aborted as any other. It also fails when it ends without a valid `grpc-status`
    /// (`HttpProtocolError`), or with success inside of a message (`HttpResponseIncomplete`), and says that it has not ended until the status is
    /// out.
    ///
    /// In a [router](crate::BadGatewayLayer::for_router) lengths are not enforced, and time and size limits are those
    /// that were set. Outside of one, the failure of the client's upload is the one that is reported if the upload has failed by then.
    ///
    /// [`on_body_failure`](crate::BadGatewayLayer::on_body_failure) runs when the failure is met, once, and the
    /// upstream's body is dropped at once. The error itself is returned after eight polls that are pending, each of which
    /// wakes the task, and to a client of HTTP/2 or HTTP/3 not before 20 ms have passed: a server that has not sent the head yet does so
    /// first. Otherwise the client would get an empty reply. Every poll after the error returns the end of the stream.
    ///
    /// # Panics
    ///
    /// `poll_frame` panics when the upstream's body has to be waited for with a time limit outside a tokio runtime with
    /// its timer enabled.
    ///
    /// # Cancel safety
    ///
    /// A poll that is pending loses no frame: a future that reads one, such as that of `http_body_util::BodyExt::frame`,
    /// may be dropped and made again. A body that is dropped before its end drops the upstream's body, and
    /// [`on_abandoned`](crate::BadGatewayLayer::on_abandoned) runs; not if this body had given all promised bytes and, of a gRPC
    /// call, the status.
    ///
    /// # Examples
    ///
    /// ```
    /// use http_body::Body;
    /// use tower_bad_gateway::body::ResponseBody;
    ///
    /// let body: ResponseBody<String> = ResponseBody::default();
    /// assert!(body.is_end_stream());
    /// ```
    ///
    /// The [module](self) shows how the failure of a body is read.
    pub struct ResponseBody<B> {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    /// The states of a [`ResponseBody`].
    ///
    /// | state | what `poll_frame` does | next state |
    /// | --- | --- | --- |
    /// | `Upstream` with a call | gives the peeked frame, then checks and forwards frames | `Ended` at the end, `Failing` after a failure |
    /// | `Upstream` without a call | forwards the frames of a default body: nothing is counted, limited or reported | as in the row above |
    /// | `Own` with content | gives the content as one frame; the end, if the content is empty | `Ended` |
    /// | `Own` of a fallback | forwards the frames of its body, which the layer around it has checked | `Ended` at its end, `Failing` after an error |
    /// | `Absent` | ends at once: the answer to a HEAD, whose size hint is kept | `Ended` |
    /// | `Failing` | is pending until `polls_left` is 0 and `delay` is over, then gives the error | `Ended` |
    /// | `Ended` | ends, at every poll | none |
    #[project = StateProj]
    #[project_replace = StateReplaced]
    enum State<B> {
        Upstream { #[pin] body: B, peeked: PeekedBody, call: Option<Call> },
        Own { content: OwnContent },
        Absent { hint: SizeHint },
        Failing { error: BodyError, hint: SizeHint, polls_left: u8, delay: Option<Pin<Box<Sleep>>> },
        Ended,
    }
}

impl<B> ResponseBody<B> {
    /// The body of a forwarded response. `call` is `None` for a body that no call has brought: such a body is not
    /// checked.
    #[inline(always)] // out of line the call would be copied once more
    pub(crate) fn upstream(body: B, peeked: PeekedBody, call: Option<Call>) -> Self {
        Self { state: State::Upstream { body, peeked, call } }
    }

    /// The content of an answer of the layer, as one frame. Its exact length is the size hint.
    pub(crate) fn own(content: Bytes) -> Self {
        Self { state: State::Own { content: OwnContent::Bytes(content) } }
    }

    /// The content of an answer that comes from a fallback. Boxed, since it would make every body larger.
    fn of_fallback(content: FallbackContent) -> Self {
        Self { state: State::Own { content: OwnContent::Fallback(Box::new(content)) } }
    }

    /// No content, in answer to a HEAD. The hint is that of the upstream's body: a server makes a `Content-Length` of it
    /// ([RFC 9110, section 9.3.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2)).
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

    #[inline(always)] // a server polls in one place, and the rare states are out of line
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.project().state;
        let next = match state.as_mut().project() {
            StateProj::Upstream { mut body, peeked, call: Some(call) } if peeked.is_empty() => {
                match call.poll_body(body.as_mut(), cx) {
                    // Nearly every frame takes this way: the frame is returned as it came, since taking it apart would
                    // copy it twice.
                    Poll::Ready(Some(Ok(frame))) if call.accepts_data(&frame, &*body) => {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Poll::Ready(next) => call.judge_uncommon(next, &*body),
                    Poll::Pending => Some(Err(ready!(call.poll_body_limits(cx)))),
                }
            }
            _ => return state.poll_uncommon_state(cx),
        };
        state.forward_or_fail(next, cx)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.state {
            // A body that calls itself ended although bytes are missing, or the status of a gRPC call, has to be polled once
            // more. Otherwise a server would end the message cleanly.
            State::Upstream { body, peeked, call } => {
                peeked.is_empty() && body.is_end_stream() && !call.as_ref().is_some_and(Call::owes_more)
            }
            State::Own { content } => content.is_end_stream(),
            State::Absent { .. } | State::Failing { .. } => false,
            State::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Upstream { body, peeked, .. } if peeked.is_empty() => body.size_hint(),
            State::Upstream { peeked, .. } => peeked.size_hint,
            State::Own { content } => content.size_hint(),
            State::Absent { hint } | State::Failing { hint, .. } => *hint,
            State::Ended => SizeHint::with_exact(0),
        }
    }
}

impl<B> State<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Every poll that does not ask the upstream's body of a call for its next frame: the peeked frame, a default body,
    /// own content, an error that is delayed, and the end.
    ///
    /// Out of line, because most bodies come here once or never.
    #[inline(never)]
    fn poll_uncommon_state(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.as_mut().project() {
            StateProj::Upstream { mut body, peeked, call } => {
                let Some(call) = call.as_mut() else {
                    let next = ready!(poll_unwatched(body.as_mut(), cx));
                    return self.forward_or_fail(next, cx);
                };
                let is_last = peeked.is_last();
                let next = peeked.take();
                call.peeked_frame_taken(&*body, is_last);
                if is_last {
                    self.set(Self::Ended);
                }
                Poll::Ready(next.map(Ok))
            }
            StateProj::Own { content: OwnContent::Bytes(content) } => {
                let content = mem::take(content);
                self.set(Self::Ended);
                Poll::Ready((!content.is_empty()).then(|| Ok(Frame::data(content))))
            }
            StateProj::Own { content: OwnContent::Fallback(_) } => self.poll_fallback(cx),
            StateProj::Failing { polls_left: polls_left @ 1.., .. } => {
                *polls_left -= 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            StateProj::Failing { delay, .. } => {
                if let Some(delay) = delay {
                    ready!(delay.as_mut().poll(cx));
                }
                Poll::Ready(match self.project_replace(Self::Ended) {
                    StateReplaced::Failing { error, .. } => Some(Err(error)),
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

    /// Polls the content of a fallback.
    fn poll_fallback(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let StateProj::Own { content: OwnContent::Fallback(content) } = self.as_mut().project() else {
            return Poll::Ready(None);
        };
        // Asked before the poll: a body that has broken announces nothing more.
        let hint = content.size_hint();
        match ready!(content.poll_frame(cx)) {
            Some(Err(error)) => {
                let error = content.report(&error);
                let delay = content.is_multiplexed().then(error_delay).flatten();
                self.return_later(error, hint, delay, cx)
            }
            next => {
                if next.is_none() || content.is_end_stream() {
                    // A server need not ask once more, and the call is at its end.
                    self.set(Self::Ended);
                }
                Poll::Ready(next)
            }
        }
    }

    /// Ends a poll of the upstream's body: returns the frame, ends, ends a gRPC call in trailers of ours, or enters `Failing`.
    ///
    /// After a failure the order is: the size hint is kept, the failure is reported, the upstream's body is dropped, the
    /// task is woken. The size hint stays what the upstream has promised, so that a server which has not sent the head
    /// yet does not announce less. Before the head the body is dropped first and the failure reported after it; here the call, which
    /// reports, stands in one state with the body.
    #[inline(never)]
    fn forward_or_fail(
        mut self: Pin<&mut Self>,
        next: Option<Result<Frame<Bytes>, BrokenBody>>,
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
        if let Some(trailers) = call.as_mut().and_then(|call| call.end_in_trailers(&broken)) {
            self.set(Self::Ended);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let hint = body.size_hint();
        let delay = call.as_ref().is_some_and(Call::is_multiplexed).then(error_delay).flatten();
        let error = match (broken, call.as_mut()) {
            (broken, Some(call)) => call.fail(broken),
            (BrokenBody::ReportedInside(error), None) => error,
            (BrokenBody::New(failure), None) => failure.into(),
        };
        self.return_later(error, hint, delay, cx)
    }

    /// Enters `Failing`: the error is returned later.
    fn return_later(
        mut self: Pin<&mut Self>,
        error: BodyError,
        hint: SizeHint,
        delay: Option<Pin<Box<Sleep>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // Drops the upstream's body, and with it the connection, now. Otherwise a server that is slow to poll again would
        // keep both open.
        // Of the polls that are pending this one is the first.
        self.set(Self::Failing { error, hint, polls_left: ERROR_DELAY_POLLS - 1, delay });
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A default body of the upstream's type, with no call behind it. `CorsLayer` of tower-http and others ask for it.
impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { state: State::Upstream { body: B::default(), peeked: PeekedBody::default(), call: None } }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Upstream { .. } => "ResponseBody(upstream)",
            State::Own { .. } => "ResponseBody(own)",
            State::Absent { .. } => "ResponseBody(absent)",
            State::Failing { .. } => "ResponseBody(broken)",
            State::Ended => "ResponseBody(ended)",
        })
    }
}
