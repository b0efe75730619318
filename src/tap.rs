//! The tap on uploads: a layer outside of the gateway, which watches the bodies of requests.
//!
//! [`RequestBodyTap`] wraps the body of a request, and puts the state of the upload into the extensions of that request.
//! The gateway's service finds it there. This file knows which idle limit an upload has; how the upload is watched is in
//! `body`.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, Request};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    body::{RequestBody, Upload},
    body_kind::BodyKind,
    fields::has_grpc_content,
};

/// Watches the bodies of requests, so that [`BadGatewayLayer`](crate::BadGatewayLayer) knows whether the client or the
/// upstream is waited for.
///
/// It stands *outside* of the gateway's layer, and changes the type of the request body to [`RequestBody`]. With it
///
/// - a client that breaks off its upload, or stalls in it, is answered 400 or 408 (413 if it is too long) with the blame
///   on the client, however the client library below reads it;
/// - [`head_timeout`](crate::BadGatewayLayer::head_timeout) counts only while it is the upstream's turn: from the end of
///   the upload to the head of the response, and between one part of the upload and the next. An upstream that takes no
///   more of an upload is answered for with 504 (`connection_write_timeout`). A slow but healthy upload is never too
///   slow.
///
/// Without it, a failing upload is recognised only where the client library reports it, and the default of `head_timeout`
/// is off for long uploads.
///
/// A request whose body is empty is not watched. What others cost is said in the
/// [guide](crate::guide::uploads).
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
/// A read of the body that finds nothing hands the turn to the client, until the client sends something. Inside of
/// [`for_router`](crate::BadGatewayLayer::for_router) a handler may answer a broken upload itself; only an error that it
/// returns is answered here.
///
/// Not for a service that reads the whole body before it calls the upstream, which is no upload any more. A body of a
/// layer further out that limits the length fails with a 413 if feature `http-body-util-0_1` is on, which knows the
/// limits of tower-http and axum, and with a 400 without.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestBodyTap {
    /// `None` is the default with its exceptions, `Some(None)` no limit.
    idle_timeout: Option<Option<Duration>>,
}

impl RequestBodyTap {
    /// Makes a tap with the default [idle timeout](Self::idle_timeout).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long the client may send nothing while it is waited for.
    ///
    /// It counts only while the upstream asks for more, from the first poll of the body that finds nothing until the next
    /// frame; an upstream that reads slowly never trips it. The default is 60 seconds, except where silence is lawful:
    /// event streams, gRPC and its relatives, by the `Content-Type` of the request, and CONNECT. A limit set here applies
    /// to all of these but CONNECT; to gRPC only inside of a message, since between two of them a client may listen. `None` waits for ever.
    ///
    /// When it runs out the body ends in an error, and the client is answered `408 Request Timeout`
    /// ([RFC 9110, section 15.5.9](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9)).
    ///
    /// # Panics
    ///
    /// The body panics when it has to be waited for with a limit outside a tokio runtime with its timer enabled.
    #[must_use]
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = Some(limit.into());
        self
    }

    /// Taps one request, where a layer has no place: in a handler that calls the gateway itself.
    ///
    /// The state of the upload is an extension of the request, so extensions that are removed on the way to the gateway
    /// take it along.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use http_body_util::Full;
    /// use tower_bad_gateway::{RequestBodyTap, body::RequestBody};
    ///
    /// let request = Request::new(Full::<Bytes>::from("an order"));
    /// let request: Request<RequestBody<Full<Bytes>>> = RequestBodyTap::new().tap(request); // and then to the gateway
    /// ```
    #[must_use]
    pub fn tap<A: Body>(&self, request: Request<A>) -> Request<RequestBody<A>> {
        if request.body().is_end_stream() {
            return request.map(|body| RequestBody::new(body, None, None, false));
        }
        let limit = match (self.idle_timeout, BodyKind::of_request(&request)) {
            (Some(limit), BodyKind::Ordinary | BodyKind::MayPause) => limit,
            (None, BodyKind::Ordinary) => Some(IDLE_TIMEOUT),
            (None, BodyKind::MayPause) | (_, BodyKind::Tunnel) => None,
        };
        let upload = Upload::default();
        let is_grpc = request.method() == Method::POST && has_grpc_content(request.headers());
        let mut request = request.map(|body| RequestBody::new(body, Some(upload.clone()), limit, is_grpc));
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

/// A service whose uploads are watched; made by [`RequestBodyTap`], whose documentation has an example.
///
/// Readiness, responses and errors are those of the wrapped service.
#[derive(Clone, Copy, Debug)]
pub struct Tapped<S> {
    inner: S,
    tap: RequestBodyTap,
}

impl<S> Tapped<S> {
    /// Returns a reference to the wrapped service.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the wrapped service.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the wrapped service.
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

/// The default of the tap's idle timeout.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
