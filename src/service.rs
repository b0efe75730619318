//! The service.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    body::{Call, ResponseBody, Upload},
    context::{RequestContent, RequestContext, RequestHead},
    failure::{BoxError, Failure, Phase, TimeLimit},
    future::ResponseFuture,
    policy::{Limits, Policy},
    timer::ReadyWait,
};

/// A service whose failures have become answers; made by [`BadGatewayLayer`](crate::BadGatewayLayer).
///
/// It never fails: an error of the wrapped service's readiness is kept and answered to the calls that follow, and the
/// wrapped service is not polled again, since it has said that it is of no use any more. Clones of it start anew with a clone
/// of the wrapped service. When the wrapped service is merely not ready in time, one call is answered and the waiting goes on.
///
/// The request body is not changed and the response body becomes a [`ResponseBody`].
#[derive(Debug)]
pub struct BadGateway<S> {
    inner: S,
    policy: Arc<Policy>,
    waiting: ReadyWait,
    readiness: Readiness,
}

#[derive(Debug)]
enum Readiness {
    /// The wrapped service decides.
    Unknown,
    /// It took too long: the next call is answered so.
    Late,
    /// It failed for good.
    Dead(Failure),
}

impl<S> BadGateway<S> {
    pub(crate) fn new(inner: S, policy: Arc<Policy>) -> Self {
        Self { inner, policy, waiting: ReadyWait::default(), readiness: Readiness::Unknown }
    }

    /// The wrapped service.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service, to be changed. A service that has failed stays answered for, even if it is replaced here.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The wrapped service, taken out.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// A clone knows nothing of what became of the original.
impl<S: Clone> Clone for BadGateway<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.policy))
    }
}

impl<S, A, B> Service<Request<A>> for BadGateway<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    A: Body,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if let Readiness::Dead(_) = self.readiness {
            return Poll::Ready(Ok(()));
        }
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => self.readiness = Readiness::Unknown,
            Poll::Ready(Err(error)) => {
                let failure = self.policy.failure(error.into(), Phase::Readiness, RequestContent::Absent);
                self.readiness = Readiness::Dead(failure);
            }
            // Once said, ready it is, until the call.
            Poll::Pending if matches!(self.readiness, Readiness::Late) => return Poll::Ready(Ok(())),
            Poll::Pending => {
                ready!(self.waiting.poll(self.policy.limits.ready_limit(), cx));
                self.readiness = Readiness::Late;
            }
        }
        self.waiting.end(|| self.policy.limits.ready_limit());
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request<A>) -> Self::Future {
        let mut context = RequestContext::capture(&request);
        if let Some(capture) = &self.policy.capture {
            context.capture_options(&RequestHead::of(&request), capture);
        }
        if let Some(in_flight) = self.policy.observers.count_call(self.policy.identity.upstream.as_ref()) {
            context.keep_in_flight_guard(in_flight);
        }
        let policy = Arc::clone(&self.policy);
        let waited = self.waiting.take();
        let refusal = match &self.readiness {
            Readiness::Unknown => {
                // That of another body is none of ours.
                let upload = request.extensions().get::<Upload>().filter(|_| !request.body().is_end_stream()).cloned();
                let Some(refusal) = policy.limits.readiness_took_all(&context, upload.is_some(), waited) else {
                    let call = Call::new(policy, context, upload, waited);
                    return ResponseFuture::waiting(self.inner.call(request), call);
                };
                refusal
            }
            Readiness::Late => {
                self.readiness = Readiness::Unknown;
                let limit = policy.limits.ready_limit().unwrap_or(waited);
                Limits::late(TimeLimit::Ready, limit).with_elapsed(waited)
            }
            Readiness::Dead(failure) => failure.clone().with_elapsed(waited),
        };
        ResponseFuture::refused(refusal, Call::refused(policy, context))
    }
}
