//! The future of a call.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::{
    body::{ResponseBody, Watch},
    context::RequestContext,
    failure::{BoxError, Failure, Phase},
    policy::Policy,
    timer::Once,
};

pin_project! {
    /// The future of a call through [`BadGateway`](crate::BadGateway). It always resolves to a response.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the upstream call; that is how a client that has left cancels it. Nothing else is lost. Polled
    /// again after it has resolved, it stays pending.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
        call: Option<Call>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Waiting { #[pin] inner: F, #[pin] timer: Once, since: Option<Instant> },
        Refused { failure: Option<Failure> },
        Resolved,
    }
}

/// What outlives the inner future.
struct Call {
    policy: Arc<Policy>,
    request: RequestContext,
}

impl<F> ResponseFuture<F> {
    /// Waits for the wrapped service.
    pub(crate) fn waiting(inner: F, policy: Arc<Policy>, request: RequestContext) -> Self {
        let state = State::Waiting { inner, timer: Once::new(), since: None };
        Self { state, call: Some(Call { policy, request }) }
    }

    /// Answers without asking the wrapped service.
    pub(crate) fn refused(failure: Failure, policy: Arc<Policy>, request: RequestContext) -> Self {
        Self { state: State::Refused { failure: Some(failure) }, call: Some(Call { policy, request }) }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(call) = this.call else { return Poll::Pending };
        let (failure, since) = match this.state.as_mut().project() {
            // Polled before the timer: an answer that is already here beats a deadline that has just passed.
            StateProj::Waiting { inner, mut timer, since } => match inner.poll(cx) {
                Poll::Ready(Ok(mut response)) => match call.policy.judge(&call.request, &mut response) {
                    Ok(stream) => {
                        this.state.set(State::Resolved);
                        let Some(Call { policy, request }) = mem::take(this.call) else { return Poll::Pending };
                        let known_length = response.body().size_hint().exact().is_some();
                        let idle_limit = policy.idle_limit(&request, stream, known_length);
                        let watch = Watch::new(policy, request, response.status(), idle_limit);
                        return Poll::Ready(Ok(response.map(|body| ResponseBody::upstream(body, watch))));
                    }
                    Err(failure) => (Some(failure), since.or_else(|| timer.since())),
                },
                Poll::Ready(Err(error)) => {
                    let since = since.or_else(|| timer.since());
                    (Some(call.policy.failure(error.into(), Phase::ResponseHead)), since)
                }
                Poll::Pending => {
                    let limit = || call.policy.head_limit(&call.request);
                    match timer.as_mut().poll(|| limit().map(|(limit, _)| limit), cx) {
                        Some(Poll::Ready(())) => (limit().map(|(_, whose)| Policy::late(whose)), timer.since()),
                        Some(Poll::Pending) => return Poll::Pending,
                        None => {
                            since.get_or_insert_with(Instant::now);
                            return Poll::Pending;
                        }
                    }
                }
            },
            StateProj::Refused { failure } => (failure.take(), None),
            StateProj::Resolved => (None, None),
        };
        // The upstream call ends before anything is written for the client.
        this.state.set(State::Resolved);
        let (Some(failure), Some(call)) = (failure, mem::take(this.call)) else { return Poll::Pending };
        let elapsed = since.map(|since| since.elapsed());
        Poll::Ready(Ok(call.policy.answer(failure, elapsed, &call.request).map(ResponseBody::own)))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
