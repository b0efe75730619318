//! The service: asks the wrapped service whether it is ready, and starts the calls.
//!
//! [`BadGatewayLayer`](crate::BadGatewayLayer) makes it, and a server or a layer outside polls and calls it. A call goes
//! this way: the head of the request is captured, the call is counted, readiness is looked at, the wrapped service is
//! called, and a [`ResponseFuture`] takes over. This file must not know what a failure becomes: it hands one over, and
//! the future answers it.

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
    failure::{BoxError, Failure, Phase},
    future::ResponseFuture,
    policy::{Policy, RequestPolicy},
    timer::ReadyWait,
};

/// A service whose failures have become answers; made by [`BadGatewayLayer`](crate::BadGatewayLayer).
///
/// It never fails: an error of the wrapped service's readiness is kept and answered to the calls that follow, and the
/// wrapped service is not polled again, since by tower's contract it can serve no more requests. Clones of it start anew
/// with a clone of the wrapped service. When the wrapped service is merely not ready in time, one call is answered 503
/// and the waiting goes on: see [`ready_timeout`](crate::BadGatewayLayer::ready_timeout).
///
/// The request is forwarded as it is, with its extensions, and the response body becomes a [`ResponseBody`].
///
/// # Panics
///
/// `poll_ready` panics when the wrapped service is not ready, outside a tokio runtime with its timer enabled, unless
/// there is no ready timeout. The future has its [own](ResponseFuture#panics). Panics of the wrapped service go through.
///
/// # Cancel safety
///
/// A wait for readiness may be given up and taken up again: the wrapped service keeps what it has, and the ready timeout
/// goes on from the first poll.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response, StatusCode};
/// use http_body_util::Full;
/// use tower::{Layer, Service, ServiceExt, service_fn};
/// use tower_bad_gateway::BadGatewayLayer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let upstream = service_fn(|_: Request<String>| async {
///     Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::from("hello")))
/// });
/// let mut gateway = BadGatewayLayer::new().layer(upstream);
/// for order in ["one", "two"] {
///     let Ok(ready) = gateway.ready().await; // the error type is `Infallible`
///     let Ok(response) = ready.call(Request::new(order.to_owned())).await;
///     assert_eq!(response.status(), StatusCode::OK);
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct BadGateway<S> {
    inner: S,
    policy: Arc<Policy>,
    waiting: ReadyWait,
    readiness: Readiness,
}

/// What is known of the wrapped service's readiness.
///
/// | value | what leads in | `poll_ready` | `call` |
/// | --- | --- | --- | --- |
/// | `Usable` | the start; the service is ready; a late call is answered | polls the service | calls the service |
/// | `TimedOut` | the service was pending for the whole ready timeout | polls the service, is always ready | answers 503, then `Usable` |
/// | `Failed` | `poll_ready` of the service has failed | is ready, polls nothing | answers that failure |
///
/// In `Usable` a call is answered 503 as well, and not sent, if the wait for readiness has taken all of its time for the
/// head.
#[derive(Debug)]
enum Readiness {
    /// The wrapped service decides.
    Usable,
    /// The wrapped service was not ready in time. The next call is answered so.
    TimedOut,
    /// The wrapped service has failed for good.
    Failed(Failure),
}

impl<S> BadGateway<S> {
    /// Wraps a service. Nothing is polled yet.
    pub(crate) fn new(inner: S, policy: Arc<Policy>) -> Self {
        Self { inner, policy, waiting: ReadyWait::default(), readiness: Readiness::Usable }
    }

    /// Returns a reference to the wrapped service.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the wrapped service.
    ///
    /// After the `poll_ready` of the service has failed, the gateway answers every call with that failure, even if the service
    /// is replaced here: clone the gateway, and replace the service in the clone.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the wrapped service, and drops what is known of its readiness.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// A clone polls its own clone of the wrapped service: it knows nothing of a failure or a wait of the original.
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
        if let Readiness::Failed(_) = self.readiness {
            return Poll::Ready(Ok(()));
        }
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                if let Readiness::TimedOut = self.readiness {
                    // No call came of that wait, and the one that comes now has not waited.
                    self.waiting.take();
                }
                self.readiness = Readiness::Usable;
            }
            Poll::Ready(Err(error)) => {
                let failure = self.policy.failure(error.into(), Phase::Readiness, RequestContent::Absent);
                self.readiness = Readiness::Failed(failure);
            }
            // The gateway has said that it is ready, and may not be pending again before the call: that is tower's contract.
            Poll::Pending if matches!(self.readiness, Readiness::TimedOut) => return Poll::Ready(Ok(())),
            Poll::Pending => {
                ready!(self.waiting.poll(self.policy.limits.ready_limit(), cx));
                self.readiness = Readiness::TimedOut;
            }
        }
        self.waiting.end(|| self.policy.limits.ready_limit());
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request<A>) -> Self::Future {
        let mut context = RequestContext::capture_with(&request, RequestPolicy::apply);
        if !self.policy.speaks_grpc {
            context.forget_grpc();
        }
        if let Some(capture) = &self.policy.capture {
            context.apply_capture_options(&RequestHead::of(&request), capture);
        }
        if let Some(in_flight) = self.policy.observers.count_call(self.policy.names.upstream.as_ref()) {
            context.keep_in_flight_guard(in_flight);
        }
        let policy = Arc::clone(&self.policy);
        let waited = self.waiting.take();
        let refusal = match &self.readiness {
            Readiness::Usable => {
                // A request that was made from a watched one may carry the upload of that one and have no body: a failure of that upload is
                // no failure of this call.
                let upload = request.extensions().get::<Upload>().filter(|_| !request.body().is_end_stream()).cloned();
                let Some(refusal) = policy.limits.readiness_took_all(&context, upload.is_some(), waited) else {
                    // Nearly every call comes here: nothing refuses it, and the wrapped service is called.
                    let call = Call::new(policy, context, upload, waited);
                    return ResponseFuture::waiting(self.inner.call(request), call);
                };
                refusal
            }
            Readiness::TimedOut => {
                self.readiness = Readiness::Usable;
                policy.limits.ready_late(waited)
            }
            Readiness::Failed(failure) => failure.clone().with_elapsed(waited),
        };
        ResponseFuture::refused(refusal, Call::refused(policy, context))
    }
}
