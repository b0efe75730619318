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
    body::{Call, Forward, Peeked, Rejected, ResponseBody},
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
    #[project = StateProj]
    enum State<F>
    where
        F: Future,
    {
        Waiting { #[pin] inner: F },
        Holding { held: Box<Held<F::Output>> },
        Refused { failure: Option<Failure> },
        Resolved,
    }
}

/// A response whose head is held until its body has begun.
struct Held<O> {
    /// Always a response; taken out when it is passed on.
    outcome: Option<O>,
    limit: Duration,
    timer: Timer,
}

impl<F: Future> ResponseFuture<F> {
    /// Waits for the wrapped service.
    #[inline(always)] // in one place, and otherwise it is moved once more
    pub(crate) fn waiting(inner: F, call: Call) -> Self {
        Self { state: State::Waiting { inner }, call: Some(call) }
    }

    /// Answers without asking the wrapped service, whose failure says how long it was waited for.
    #[cold]
    pub(crate) fn refused(failure: Failure, call: Call) -> Self {
        Self { state: State::Refused { failure: Some(failure) }, call: Some(call) }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(call) = this.call.as_mut() else { return Poll::Pending };
        let failure = match this.state.as_mut().project() {
            StateProj::Waiting { inner } => match call.poll_service(inner, cx) {
                Poll::Ready(Ok(mut response)) => {
                    this.state.set(State::Resolved);
                    let passing = match call.accept(&mut response, cx) {
                        Ok(Forward::Response(peeked)) => {
                            call.forward_head(&mut response, &peeked);
                            let (head, body) = response.into_parts();
                            // Not moved by way of a variable.
                            let body = ResponseBody::upstream(body, peeked, this.call.take());
                            return Poll::Ready(Ok(Response::from_parts(head, body)));
                        }
                        passing => passing,
                    };
                    return this.state.as_mut().settle(passing, response, this.call, cx);
                }
                Poll::Ready(Err(error)) => call.read(error.into()),
                // Asked after the service: an answer that is already here beats a deadline that has just passed.
                Poll::Pending => ready!(call.poll_limits(cx)),
            },
            StateProj::Refused { failure } => match failure.take() {
                Some(failure) => failure,
                None => return Poll::Pending,
            },
            StateProj::Holding { .. } => return this.state.as_mut().poll_held(this.call, cx),
            StateProj::Resolved => return Poll::Pending,
        };
        // The upstream call ends before anything is written for the client.
        this.state.set(State::Resolved);
        let answer = this.call.take().map(|mut call| call.answer(failure).map(ResponseBody::own));
        answer.map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
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
        passing: Result<Forward, Rejected>,
        response: Response<B>,
        call: &mut Option<Call>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<B>>, Infallible>> {
        if let Ok(Forward::Hold(limit)) = passing {
            let held = Held { outcome: Some(Ok(response)), limit, timer: Timer::default() };
            self.set(Self::Holding { held: Box::new(held) });
            return self.poll_held(call, cx);
        }
        let Some(mut call) = call.take() else { return Poll::Pending };
        Poll::Ready(Ok(match passing {
            Ok(Forward::Response(peeked)) => call.pass(response, peeked),
            Ok(Forward::WithoutContent | Forward::Hold(_)) => call.pass_without_content(response),
            Err(rejected) => call.answer_for(rejected, response).map(ResponseBody::own),
        }))
    }

    /// A head that is held goes out when its body has begun, or when it was held long enough.
    fn poll_held(
        mut self: Pin<&mut Self>,
        place: &mut Option<Call>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<B>>, Infallible>> {
        let (StateProj::Holding { held }, Some(call)) = (self.as_mut().project(), place.as_mut()) else {
            return Poll::Pending;
        };
        let Some(Ok(response)) = &mut held.outcome else { return Poll::Pending };
        let peeked = match Peeked::poll(response.body_mut(), call, cx) {
            Poll::Ready(peeked) => peeked,
            Poll::Pending => match call.poll_held(cx) {
                Poll::Ready(broken) => Err(broken),
                Poll::Pending => {
                    ready!(held.timer.poll_within(|| Some(held.limit), None, cx));
                    Ok(Peeked::default())
                }
            },
        };
        let response = held.outcome.take();
        self.set(Self::Resolved);
        let (Some(Ok(response)), Some(mut call)) = (response, place.take()) else { return Poll::Pending };
        Poll::Ready(Ok(match peeked {
            Ok(peeked) => call.pass(response, peeked),
            Err(broken) => call.answer_for(Rejected::Body(broken), response).map(ResponseBody::own),
        }))
    }
}

impl<F: Future> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
