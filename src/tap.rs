//! The tap on uploads.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use http::Request;
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    body::{RequestBody, Upload},
    stream::Stream,
};

/// Watches the bodies of requests, so that [`BadGatewayLayer`](crate::BadGatewayLayer) knows whose turn it is.
///
/// It stands *outside* of the gateway's layer, and changes the type of the request body to [`RequestBody`]. With it
///
/// - a client that breaks off its upload, or stalls in it, is answered 400 or 408 (413 if it is too long) with the blame on the client, whatever the
///   client library below makes of it;
/// - [`head_timeout`](crate::BadGatewayLayer::head_timeout) counts only while it is the upstream's turn: from the end of the
///   upload to the head of the response, and between one part of the upload and the next. An upstream that takes no more of an
///   upload is answered for with 504 (`connection_write_timeout`). A slow but healthy upload is never too slow.
///
/// Without it, a failing upload is recognised only where the client library tells of it, and the limit that nobody set is off
/// for long uploads.
///
/// ```
/// use std::time::Duration;
/// use http::Request;
/// use tower::ServiceBuilder;
/// use tower_bad_gateway::{BadGatewayLayer, RequestBodyTap, body::RequestBody};
/// # type Body = http_body_util::Full<bytes::Bytes>;
///
/// let gateway = ServiceBuilder::new()
///     .layer(RequestBodyTap::new().idle_timeout(Duration::from_secs(30)))
///     .layer(BadGatewayLayer::new())
///     .service_fn(|request: Request<RequestBody<Body>>| async move {
///         # drop(request);
///         # Ok::<_, std::io::Error>(http::Response::new(Body::default()))
///     });
/// # fn ready<S: tower::Service<Request<Body>>>(_: S) {}
/// # ready(gateway);
/// ```
///
/// Where the type of the body may not change, as inside of an axum router, wrap it anew: in axum by
/// `.map_request(|request: Request<RequestBody<Body>>| request.map(Body::new))` between the two layers.
///
/// A read of the body that finds nothing hands the turn to the client, until it sends something. Inside of
/// [`for_router`](crate::BadGatewayLayer::for_router) a handler may answer a broken upload itself; only what it lets through is
/// answered here.
///
/// Not for a service that reads the whole body before it calls the upstream, which is no upload any more. What the body of a layer
/// further out says of its length is a 413 with feature `http-body-util-0_1`, which knows the limits of tower-http and axum, and a
/// 400 without.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestBodyTap {
    idle_timeout: Option<Option<Duration>>,
}

impl RequestBodyTap {
    /// With the default limit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long the client may send nothing while it is waited for.
    ///
    /// It counts only while the upstream asks for more; an upstream that reads slowly never trips it. The default is 60
    /// seconds, except where silence is lawful: event streams, gRPC and its relatives, by the `Content-Type` of the request,
    /// and CONNECT. A limit set here applies to all of these but CONNECT. `None` waits for ever.
    ///
    /// When it runs out the client is answered `408 Request Timeout`
    /// ([RFC 9110, section 15.5.9](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9)).
    ///
    /// # Panics
    ///
    /// The body panics when it has to be waited for outside a tokio runtime with its timer enabled.
    #[must_use]
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = Some(limit.into());
        self
    }

    /// Taps one request, where a layer has no place.
    #[must_use]
    pub fn tap<A: Body>(&self, request: Request<A>) -> Request<RequestBody<A>> {
        if request.body().is_end_stream() {
            return request.map(|body| RequestBody::new(body, None, None));
        }
        let limit = match (self.idle_timeout, Stream::of_request(&request)) {
            (Some(limit), Stream::Ordinary | Stream::Endless) => limit,
            (None, Stream::Ordinary) => Some(IDLE_TIMEOUT),
            (None, Stream::Endless) | (_, Stream::Tunnel) => None,
        };
        let upload = Upload::default();
        let mut request = request.map(|body| RequestBody::new(body, Some(upload.clone()), limit));
        request.extensions_mut().insert(upload);
        request
    }
}

impl<S> Layer<S> for RequestBodyTap {
    type Service = Tapped<S>;

    fn layer(&self, inner: S) -> Tapped<S> {
        Tapped { inner, tap: *self }
    }
}

/// A service whose uploads are watched; made by [`RequestBodyTap`].
#[derive(Clone, Copy, Debug)]
pub struct Tapped<S> {
    inner: S,
    tap: RequestBodyTap,
}

impl<S> Tapped<S> {
    /// The wrapped service.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service, to be changed.
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

impl<S, A> Service<Request<A>> for Tapped<S>
where
    S: Service<Request<RequestBody<A>>>,
    A: Body,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> S::Future {
        self.inner.call(self.tap.tap(request))
    }
}

const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
