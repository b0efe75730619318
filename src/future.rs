//! The future of a call: polls the wrapped service, and resolves to its response or to an answer.
//!
//! [`BadGateway`](crate::BadGateway) makes it, and the server or a layer outside polls it. In every poll the order is:
//!
//! 1. the wrapped service, or the body of a held head;
//! 2. if that is pending, the client's upload and the time limits (the limits first while a head is held);
//! 3. if anything has come, the response is forwarded or an answer is made, and the wrapped service's future is dropped
//!    before either;
//! 4. where a fallback is asked for the answer, that fallback.
//!
//! This file knows the states, who owns the [`Call`], and how long a head is held. What is asked of a response and which
//! other limit is over is decided in `body`. It must not know why a call has failed.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{
    body::{BrokenBody, Call, FailedHead, FallbackCall, Forward, HeldBody, PeekedBody, Rejection, ResponseBody},
    failure::{BoxError, Failure},
    timer::Timer,
};

pin_project! {
    /// The future of a call through [`BadGateway`](crate::BadGateway). It always resolves to a response.
    ///
    /// It holds the wrapped service's future, without a box, and what the layer keeps of the call. A head that is
    /// [held](crate::BadGatewayLayer::hold_head) costs one heap allocation, and its [body](crate::BadGatewayLayer::hold_body) a few more.
    ///
    /// # Errors
    ///
    /// None: the error type is [`Infallible`]. A failure is an answer, with a [`Failure`] in the extensions of the
    /// response.
    ///
    /// # Panics
    ///
    /// Polling it panics when a call has to be waited for with a time limit outside a tokio runtime with its timer
    /// enabled. Panics of the wrapped service's future go through; tower-http's `CatchPanicLayer`, outside, answers
    /// those.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the upstream call; that is how a client that has left cancels it, and
    /// [`on_abandoned`](crate::BadGatewayLayer::on_abandoned) is called; if the call has failed by then, and a
    /// [fallback](crate::BadGatewayLayer::fallback) is asked, [`on_failure`](crate::BadGatewayLayer::on_failure) instead. Nothing else is lost. Polled again after it has
    /// resolved, it stays pending.
    ///
    /// # Examples
    ///
    /// The type can be named where a box would be needed otherwise, as in the future of a service around the gateway:
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// use tower::{Service, util::BoxCloneSyncService};
    /// use tower_bad_gateway::{BadGateway, ResponseFuture};
    ///
    /// type Upstream = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, std::io::Error>;
    /// type UpstreamFuture = <Upstream as Service<Request<Full<Bytes>>>>::Future;
    ///
    /// fn start(gateway: &mut BadGateway<Upstream>, request: Request<Full<Bytes>>) -> ResponseFuture<UpstreamFuture> {
    ///     gateway.call(request)
    /// }
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F>
    where
        F: Future, // a held response is part of the future's output, and has to be named
    {
        #[pin]
        state: State<F>,
        // Dropped after the wrapped service's future: if that panics in its drop, the call is not reported as abandoned.
        call: Option<Call>,
    }
}

pin_project! {
    /// The states of a [`ResponseFuture`].
    ///
    /// | state | what leads in | the next poll |
    /// | --- | --- | --- |
    /// | `Waiting` | the wrapped service was called | polls the wrapped service, and if that is pending the time limits |
    /// | `Holding` | the head is to be held, alone or with its body | polls the body, then the limits, then the time of holding |
    /// | `Fallback` | the call has failed, and a fallback was asked for the answer | polls the fallback |
    /// | `Refused` | the wrapped service was not called: not ready, failed, or ready too late | answers the failure |
    /// | `Resolved` | a response was returned | stays pending |
    ///
    /// `Resolved` is set as soon as a response has come or a failure is to be answered, which drops the wrapped service's
    /// future. A head that is to be held enters `Holding` from there.
    #[project = StateProj]
    enum State<F>
    where
        F: Future,
    {
        Waiting { #[pin] inner: F },
        Holding { held: Box<HeldHead<F::Output>> },
        Fallback { call: Box<FallbackCall> },
        Refused { failure: Option<Failure> },
        Resolved,
    }
}

/// A response whose head is held until its body has begun, or with its body. Boxed, since few layers hold heads and the response would
/// make every future larger.
struct HeldHead<O> {
    /// Always a response, never an error; `None` once it was taken out to be forwarded. The type is the output of the
    /// wrapped service's future, because that is the only name the future has for the response.
    outcome: Option<O>,
    /// Whether the body is held as well, and not the head alone until it has begun.
    holds_body: bool,
    /// What has come of the body.
    body: HeldBody,
    /// The timer of the hold. The call has its own, which may be waiting for the idle limit of the body.
    timer: Timer,
}

impl<F: Future> ResponseFuture<F> {
    /// The future of a call to the wrapped service. Its time limits, but for the total one, are looked up at its first poll that is pending.
    #[inline(always)] // called in one place, and out of line the call would be copied once more
    pub(crate) fn waiting(inner: F, call: Call) -> Self {
        Self { state: State::Waiting { inner }, call: Some(call) }
    }

    /// The future of a call for which the wrapped service was not called. It resolves at its first poll.
    #[cold]
    pub(crate) fn refused(failure: Failure, call: Call) -> Self {
        Self { state: State::Refused { failure: Some(failure) }, call: Some(call) }
    }
}

/// What the future resolves to.
type Output<B> = Result<Response<ResponseBody<B>>, Infallible>;

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Output<B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output<B>> {
        let mut this = self.as_mut().project();
        // The call is with the fallback, or at its end.
        let Some(call) = this.call.as_mut() else { return this.state.poll_fallback(cx) };
        let failure = match this.state.as_mut().project() {
            StateProj::Waiting { inner } => match call.poll_service(inner, cx) {
                Poll::Ready(Ok(response)) => return self.forward_or_settle(response, cx),
                Poll::Ready(Err(error)) => call.classify_error(error.into()),
                // Polled after the wrapped service: a response that is already here beats a deadline that has just passed.
                Poll::Pending => ready!(call.poll_limits(cx)),
            },
            StateProj::Holding { .. } => return self.poll_held(cx),
            StateProj::Refused { failure } => match failure.take() {
                Some(failure) => failure,
                None => return Poll::Pending,
            },
            StateProj::Fallback { .. } | StateProj::Resolved => return Poll::Pending,
        };
        self.answer(failure, cx)
    }
}

impl<F, B, E> ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Forwards the response of the wrapped service, as nearly every response is, or leaves it to [`State::settle`].
    #[inline(always)] // called in one place, and out of line the response would be copied once more
    fn forward_or_settle(self: Pin<&mut Self>, mut response: Response<B>, cx: &mut Context<'_>) -> Poll<Output<B>> {
        let mut this = self.project();
        this.state.set(State::Resolved);
        let Some(call) = this.call.as_mut() else { return Poll::Pending };
        let forward = match call.accept(&mut response, cx) {
            Ok(Forward::Response(peeked)) => {
                call.forward_head(&mut response, &peeked);
                let (head, body) = response.into_parts();
                // Taken where it is used: through a variable the whole call would be copied once more.
                let body = ResponseBody::upstream(body, peeked, this.call.take());
                return Poll::Ready(Ok(Response::from_parts(head, body)));
            }
            forward => forward,
        };
        this.state.as_mut().settle(forward, response, this.call, cx)
    }

    /// Answers a failure. The upstream call is dropped first, so that it ends before hooks run and the answer is written.
    #[cold]
    fn answer(self: Pin<&mut Self>, failure: Failure, cx: &mut Context<'_>) -> Poll<Output<B>> {
        let mut this = self.project();
        this.state.set(State::Resolved);
        let Some(call) = this.call.take() else { return Poll::Pending };
        this.state.end(call.fail_head(failure), cx)
    }

    /// Polls a head that is held. Out of line, since few layers hold heads.
    #[cold]
    fn poll_held(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output<B>> {
        let this = self.project();
        this.state.poll_held(this.call, cx)
    }
}

impl<F, B, E> State<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Does what few responses need: another answer in their place, a head without content, a head that is held.
    #[cold]
    fn settle(
        mut self: Pin<&mut Self>,
        forward: Result<Forward, Rejection>,
        response: Response<B>,
        call: &mut Option<Call>,
        cx: &mut Context<'_>,
    ) -> Poll<Output<B>> {
        if let Ok(Forward::HoldHead | Forward::HoldBody) = forward {
            let (outcome, holds_body) = (Some(Ok(response)), matches!(forward, Ok(Forward::HoldBody)));
            let held = HeldHead { outcome, holds_body, body: HeldBody::default(), timer: Timer::default() };
            self.set(Self::Holding { held: Box::new(held) });
            return self.poll_held(call, cx);
        }
        let Some(call) = call.take() else { return Poll::Pending };
        // `Response` does not come here, since `forward_or_settle` has forwarded it, nor do the two holds, since the block above returns. They
        // stand here because a `match` names every variant and this crate does not panic.
        Poll::Ready(Ok(match forward {
            Ok(Forward::Response(peeked)) => call.forward(response, peeked),
            Ok(Forward::WithoutContent | Forward::HoldHead | Forward::HoldBody) => {
                call.forward_without_content(response)
            }
            Err(rejected) => {
                let failure = call.rejection(rejected, response);
                return self.end(call.fail_head(failure), cx);
            }
        }))
    }

    /// Returns the answer to a failure, or waits for that of a fallback. The wrapped service's future was dropped before.
    fn end(mut self: Pin<&mut Self>, failed: FailedHead, cx: &mut Context<'_>) -> Poll<Output<B>> {
        match failed {
            FailedHead::Answer(answer) => Poll::Ready(Ok(answer.map(ResponseBody::own))),
            FailedHead::Fallback(call) => {
                self.set(Self::Fallback { call });
                self.poll_fallback(cx)
            }
        }
    }

    /// Polls a fallback for the answer, if one was asked. Out of line, since few layers have one.
    #[cold]
    fn poll_fallback(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output<B>> {
        let StateProj::Fallback { call } = self.as_mut().project() else { return Poll::Pending };
        let answer = ready!(call.poll(cx));
        self.set(Self::Resolved);
        Poll::Ready(Ok(answer))
    }

    /// Forwards a head that is held, when its body has begun or the head was held for its whole time, or answers a body
    /// that is broken.
    fn poll_held(mut self: Pin<&mut Self>, call_slot: &mut Option<Call>, cx: &mut Context<'_>) -> Poll<Output<B>> {
        let (StateProj::Holding { held }, Some(call)) = (self.as_mut().project(), call_slot.as_mut()) else {
            return Poll::Pending;
        };
        let peeked = ready!(held.poll(call, cx));
        let response = held.outcome.take();
        self.set(Self::Resolved);
        let (Some(Ok(response)), Some(call)) = (response, call_slot.take()) else { return Poll::Pending };
        match peeked {
            Ok(peeked) => Poll::Ready(Ok(call.forward(response, peeked))),
            Err(broken) => {
                let failure = call.rejection(Rejection::Body(broken), response);
                self.end(call.fail_head(failure), cx)
            }
        }
    }
}

impl<B, E> HeldHead<Result<Response<B>, E>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// The start of the body, or all of it; what has come of it once it was held for its whole time.
    ///
    /// # Errors
    ///
    /// The body is broken, the client's upload has failed, or a time limit of the body is over.
    fn poll(&mut self, call: &mut Call, cx: &mut Context<'_>) -> Poll<Result<PeekedBody, BrokenBody>> {
        let Some(Ok(response)) = &mut self.outcome else { return Poll::Pending };
        let (head_limit, body_limit) = call.hold_limits(self.holds_body);
        for frames_left in (0..MAX_FRAMES).rev() {
            let Poll::Ready(read) = PeekedBody::poll(response.body_mut(), call, true, cx) else { break };
            if !self.body.has_begun() {
                // The body has begun or has ended: the time for the first byte no longer counts, and that for the rest begins with the next wait.
                self.timer.disarm();
            }
            let has_ended = call.says_it_has_ended(response.body());
            if let Some(peeked) = self.body.add(read?, body_limit, has_ended, call) {
                return Poll::Ready(Ok(peeked));
            }
            if frames_left == 0 {
                // A body of endless small frames would keep the thread from other tasks, and the limits from being looked at.
                cx.waker().wake_by_ref();
            }
        }
        if let Poll::Ready(broken) = call.poll_held_limits(cx) {
            return Poll::Ready(Err(broken));
        }
        let limit = if self.body.has_begun() { body_limit.map(|limit| limit.time) } else { head_limit };
        ready!(self.timer.poll_within(|| limit, None, cx));
        Poll::Ready(Ok(self.body.take()))
    }
}

/// How many frames one poll of a held body reads before it gives the thread back.
const MAX_FRAMES: usize = 32;

impl<F: Future> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
