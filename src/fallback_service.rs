//! A fallback as `policy` and the machines know it: its settings, what it is asked with, and its answer, without the types of its service.
//!
//! `fallback` makes a [`FallbackService`] of a user's service, `policy` asks it, and `future` and `body` poll what comes of that. Types are erased here
//! because the layer has no type parameter, and a fallback is asked after a failure only. [`SyncWrapper`] keeps the public future and body `Sync`,
//! which futures and bodies of a fallback need not be.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderName, Request, Response, StatusCode,
    header::{ACCEPT_LANGUAGE, HOST},
    uri::PathAndQuery,
};
use http_body::{Body, Frame, SizeHint};
use sync_wrapper::SyncWrapper;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    context::RequestId,
    failure::{BodyError, FailureKind},
    format::PublicFailure,
    gateway_name::GatewayName,
};

/// A fallback as the policy asks it.
pub(crate) struct Settings {
    pub(crate) service: Box<dyn FallbackService>,
    /// `None` for any number at once.
    pub(crate) permits: Option<Arc<Semaphore>>,
    pub(crate) options: FallbackOptions,
}

/// For whom a fallback is asked, with what, and what of its response the answer has.
#[derive(Debug, Default)]
pub(crate) struct FallbackOptions {
    /// What is asked for; `None` is the path of the request.
    pub(crate) path: Option<PathAndQuery>,
    /// Fields of the request that are asked with, besides the usual ones.
    pub(crate) forwarded_fields: Vec<HeaderName>,
    /// Fields of the response that are answered with, besides those of the content.
    pub(crate) kept_fields: Vec<HeaderName>,
    /// Whether it is asked with the query of the request as well.
    pub(crate) forwards_query: bool,
    /// Whether all fields of the response are answered with.
    pub(crate) keeps_all_fields: bool,
    pub(crate) keeps_status: bool,
    pub(crate) keeps_caching: bool,
    /// Whether it is asked only for clients that name HTML in `Accept`.
    pub(crate) is_for_browsers: bool,
}

/// The fields of the request that every fallback is asked with, beside `Accept`.
pub(crate) static USUAL_FIELDS: [HeaderName; 2] = [HOST, ACCEPT_LANGUAGE];

/// A fallback that was asked.
pub(crate) struct PendingFallback {
    pub(crate) settings: Arc<Settings>,
    /// The status of the answer, as it was told.
    pub(crate) status: StatusCode,
    pub(crate) response: FallbackFuture,
    /// Counts it among those that are asked at once.
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

/// A service that is asked for the content of an answer.
pub(crate) trait FallbackService: Send + Sync {
    /// Starts to ask. It never fails: the response carries a [`Failure`](crate::Failure) where the service has failed.
    fn ask(&self, request: Request<EmptyBody>) -> FallbackFuture;
}

/// The future of the response of a fallback.
pub(crate) struct FallbackFuture(SyncWrapper<Pin<Box<dyn Future<Output = Response<FallbackBody>> + Send>>>);

impl FallbackFuture {
    pub(crate) fn new(future: impl Future<Output = Response<FallbackBody>> + Send + 'static) -> Self {
        Self(SyncWrapper::new(Box::pin(future)))
    }

    /// Polls for the head of the response.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response<FallbackBody>> {
        self.0.get_mut().as_mut().poll(cx)
    }
}

/// The body of the response of a fallback.
pub(crate) struct FallbackBody {
    body: SyncWrapper<Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>>,
    /// What the body has said of its rest. Kept, since it can be asked by one thread at a time only.
    rest: Rest,
}

#[derive(Clone, Copy)]
struct Rest {
    has_ended: bool,
    size_hint: SizeHint,
}

impl Rest {
    fn of(body: &impl Body) -> Self {
        Self { has_ended: body.is_end_stream(), size_hint: body.size_hint() }
    }
}

impl FallbackBody {
    pub(crate) fn new(body: impl Body<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self { rest: Rest::of(&body), body: SyncWrapper::new(Box::pin(body)) }
    }

    /// Polls for the next frame.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.body.get_mut();
        let next = body.as_mut().poll_frame(cx);
        self.rest = Rest::of(body);
        next
    }

    /// Whether the body has ended.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.rest.has_ended
    }

    /// How much is still to come.
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.rest.size_hint
    }
}

/// The body of the requests that a [fallback](crate::fallback) is asked with: there is no content.
///
/// A service that has another type of request body, such as a client of `Full<Bytes>`, is given it by
/// `.map_request(|request: Request<EmptyBody>| request.map(|_| Full::default()))`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyBody;

impl Body for EmptyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

/// What a [fallback](crate::fallback) is told of the failure, in the extensions of its request. All of it may be shown to the client that is
/// answered; texts are not escaped.
///
/// See the [module](crate::fallback) for an example.
#[derive(Clone, Debug)]
pub struct FailureView {
    kind: FailureKind,
    status: StatusCode,
    title: String,
    title_language: String,
    sentence: String,
    retry_after: Option<Duration>,
    request_id: Option<RequestId>,
    gateway: Option<GatewayName>,
}

impl From<&PublicFailure<'_>> for FailureView {
    /// What [formats](crate::format) may show as well, without what the layer may disclose.
    fn from(failure: &PublicFailure<'_>) -> Self {
        Self {
            kind: failure.kind(),
            status: failure.status(),
            title: failure.title().to_owned(),
            title_language: failure.title_language().to_owned(),
            sentence: failure.summary().to_owned(),
            retry_after: failure.retry_after(),
            request_id: failure.request_id().cloned(),
            gateway: failure.gateway().cloned(),
        }
    }
}

impl FailureView {
    /// What went wrong. Its [token](FailureKind::token) never changes.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The heading of the kind, such as `Connection refused`: in English, or in the language of the client if the layer has its
    /// [texts](crate::BadGatewayLayer::texts).
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The language of the [title](Self::title), such as `en`.
    #[must_use]
    pub fn title_language(&self) -> &str {
        &self.title_language
    }

    /// The sentence to show: that of the failure, the request or the layer, or the summary of the kind. At most 1 KiB.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.sentence
    }

    /// After what time another attempt makes sense, in whole seconds, if the answer says so in `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The identifier of the request, if it has one.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }

    /// The name of the gateway, if the layer [has one](crate::BadGatewayLayer::gateway_name).
    #[must_use]
    pub fn gateway(&self) -> Option<&GatewayName> {
        self.gateway.as_ref()
    }
}
