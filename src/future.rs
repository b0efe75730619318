//! The future of a call.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{
    body::{Broken, Call, Forward, Peeked, Rejected, ResponseBody},
    failure::{BoxError, Failure},
    timer::Timer,
};

pin_project! {
    /// The future of a call through [`BadGateway`](crate::BadGateway). It always resolves to a response.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the upstream call; that is how a client that has left cancels it, and
    /// [`on_abandoned`](crate::BadGatewayLayer::on_abandoned) is told. Nothing else is lost. Polled again after it has
    /// resolved, it stays pending.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F>
    where
        F: Future, // for what is held back: its type is part of the output
    {
        #[pin]
        state: State<F>,
        // Dropped after the upstream's: only then it is known what has become of it.
        call: Option<Call>,
    }
}

pin_project! {
    /// | state | the next poll |
    /// | --- | --- |
    /// | `Waiting` | asks the wrapped service, and if it is pending the time limits |
    /// | `Holding` | asks the body for its first byte, before its head is passed on |
    /// | `Refused` | answers a call that was never made |
    /// | `Resolved` | stays pending |
    #[project = StateProj]
    enum State<F>
    where
        F: Future,
    {
        Waiting { #[pin] inner: F },
        Holding { held: Box<HeldHead<F::Output>> },
        Refused { failure: Option<Failure> },
        Resolved,
    }
}

/// A response whose head is held until its body has begun.
struct HeldHead<O> {
    /// Always a response; taken out when it is passed on.
    outcome: Option<O>,
    limit: Duration,
    timer: Timer,
}

impl<F: Future> ResponseFuture<F> {
    /// A call that was made of the wrapped service.
    #[inline(always)] // in one place, and otherwise it is moved once more
    pub(crate) fn waiting(inner: F, call: Call) -> Self {
        Self { state: State::Waiting { inner }, call: Some(call) }
    }

    /// A call that was not made, since the wrapped service was not ready.
    #[cold]
    pub(crate) fn refused(failure: Failure, call: Call) -> Self {
        Self { state: State::Refused { failure: Some(failure) }, call: Some(call) }
    }
}

/// What the future resolves to.
type Answer<B> = Result<Response<ResponseBody<B>>, Infallible>;

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Answer<B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<B>> {
        let mut this = self.as_mut().project();
        let Some(call) = this.call.as_mut() else { return Poll::Pending };
        let failure = match this.state.as_mut().project() {
            StateProj::Waiting { inner } => match call.poll_service(inner, cx) {
                Poll::Ready(Ok(response)) => return self.judge(response, cx),
                Poll::Ready(Err(error)) => call.read(error.into()),
                // Asked after the service: an answer that is already here beats a deadline that has just passed.
                Poll::Pending => ready!(call.poll_limits(cx)),
            },
            StateProj::Holding { .. } => return self.poll_held(cx),
            StateProj::Refused { failure } => match failure.take() {
                Some(failure) => failure,
                None => return Poll::Pending,
            },
            StateProj::Resolved => return Poll::Pending,
        };
        self.answer(failure)
    }
}

impl<F, B, E> ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// The wrapped service has responded: nearly every response is passed on here.
    #[inline(always)] // in one place, and otherwise the response is moved once more
    fn judge(self: Pin<&mut Self>, mut response: Response<B>, cx: &mut Context<'_>) -> Poll<Answer<B>> {
        let mut this = self.project();
        this.state.set(State::Resolved);
        let Some(call) = this.call.as_mut() else { return Poll::Pending };
        let forward = match call.accept(&mut response, cx) {
            Ok(Forward::Response(peeked)) => {
                call.forward_head(&mut response, &peeked);
                let (head, body) = response.into_parts();
                // The call is not moved by way of a variable: that would be 200 bytes more to copy.
                let body = ResponseBody::upstream(body, peeked, this.call.take());
                return Poll::Ready(Ok(Response::from_parts(head, body)));
            }
            forward => forward,
        };
        this.state.as_mut().settle(forward, response, this.call, cx)
    }

    /// A failure is answered. The upstream call is dropped before anything is written for the client.
    #[cold]
    fn answer(self: Pin<&mut Self>, failure: Failure) -> Poll<Answer<B>> {
        let mut this = self.project();
        this.state.set(State::Resolved);
        let answer = this.call.take().map(|mut call| call.answer(failure).map(ResponseBody::own));
        answer.map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
    }

    #[cold]
    fn poll_held(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<B>> {
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
    /// What few responses need: another answer in their place, a head without content, a head that is held.
    #[cold]
    fn settle(
        mut self: Pin<&mut Self>,
        forward: Result<Forward, Rejected>,
        response: Response<B>,
        call: &mut Option<Call>,
        cx: &mut Context<'_>,
    ) -> Poll<Answer<B>> {
        if let Ok(Forward::Hold(limit)) = forward {
            let held = HeldHead { outcome: Some(Ok(response)), limit, timer: Timer::default() };
            self.set(Self::Holding { held: Box::new(held) });
            return self.poll_held(call, cx);
        }
        let Some(mut call) = call.take() else { return Poll::Pending };
        Poll::Ready(Ok(match forward {
            Ok(Forward::Response(peeked)) => call.forward(response, peeked),
            Ok(Forward::WithoutContent | Forward::Hold(_)) => call.forward_without_content(response),
            Err(rejected) => call.answer_for(rejected, response).map(ResponseBody::own),
        }))
    }

    /// A head that is held goes out when its body has begun, or when it was held long enough.
    fn poll_held(mut self: Pin<&mut Self>, place: &mut Option<Call>, cx: &mut Context<'_>) -> Poll<Answer<B>> {
        let (StateProj::Holding { held }, Some(call)) = (self.as_mut().project(), place.as_mut()) else {
            return Poll::Pending;
        };
        let peeked = ready!(held.poll(call, cx));
        let response = held.outcome.take();
        self.set(Self::Resolved);
        let (Some(Ok(response)), Some(mut call)) = (response, place.take()) else { return Poll::Pending };
        Poll::Ready(Ok(match peeked {
            Ok(peeked) => call.forward(response, peeked),
            Err(broken) => call.answer_for(Rejected::Body(broken), response).map(ResponseBody::own),
        }))
    }
}

impl<B, E> HeldHead<Result<Response<B>, E>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// The start of the body, or nothing of it once the head was held long enough.
    fn poll(&mut self, call: &mut Call, cx: &mut Context<'_>) -> Poll<Result<Peeked, Broken>> {
        let Some(Ok(response)) = &mut self.outcome else { return Poll::Pending };
        if let Poll::Ready(peeked) = Peeked::poll(response.body_mut(), call, cx) {
            return Poll::Ready(peeked);
        }
        if let Poll::Ready(broken) = call.poll_held(cx) {
            return Poll::Ready(Err(broken));
        }
        ready!(self.timer.poll_within(|| Some(self.limit), None, cx));
        Poll::Ready(Ok(Peeked::default()))
    }
}

impl<F: Future> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
