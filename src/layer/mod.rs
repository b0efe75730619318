//! The layer and its settings: one setter for each, in five files by subject.
//!
//! | file | settings |
//! | --- | --- |
//! | this one | how errors are read, what a client is shown; `peek` and `grpc` |
//! | `fallback` | which service is asked for an answer |
//! | `response` | which responses are forwarded |
//! | `time` | the time limits, and how long a head is held |
//! | `observe` | names, logs, hooks and metrics |
//!
//! A setter writes what it was given into the `Policy`, a few in the form in which it is needed (`retry_after` rounds, `gateway_name` makes a
//! writer as well), and does nothing else: what a value does to a call is decided by the modules that read it, so no rule of HTTP stands here.
//! All setters go through `edit`. `Layer::layer` registers the metrics, and then hands the policy to the service.

mod fallback;
mod observe;
mod response;
mod time;

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode, header::ACCEPT_LANGUAGE};
use tower_layer::Layer;

use crate::{
    classify::Classify,
    failure::Failure,
    format::{Format, Scope, Texts},
    policy::Policy,
    service::BadGateway,
};

/// Turns every failure of an upstream call into an answer.
///
/// [`new`](Self::new) has safe defaults; every setter takes and returns the layer, none can fail, and any order works. A setter
/// that is called twice replaces the first value, except where its documentation says that it adds one. The layer is one pointer;
/// cloning it and wrapping services with it is cheap.
///
/// A setter never changes services that were made before, nor clones of the layer. All services and clones of one layer share
/// the counts behind [`event_limit`](Self::event_limit) and [`on_abandoned`](Self::on_abandoned)'s WARN event; a setter gives the
/// layer that it returns counts of its own. So make the layer once, and not for every connection.
///
/// See the [crate](crate) for where it belongs in a stack, and when not to use it.
///
/// ```
/// use std::time::Duration;
/// use tower_bad_gateway::{BadGatewayLayer, format::PlainText};
///
/// let layer = BadGatewayLayer::new().upstream("billing").head_timeout(Duration::from_secs(10)).format(PlainText);
/// ```
#[derive(Clone, Debug)]
pub struct BadGatewayLayer {
    policy: Arc<Policy>,
}

impl BadGatewayLayer {
    /// For a service that stands for an upstream call: a client, a pool, a retry stack.
    ///
    /// Responses are judged and tidied. Refused with 502: a status above 599 or a 1xx other than 101, a 101 to what was not asked for, transfer
    /// codings that the client library has left in place, a `Content-Length` beside one, a length that is no number or several,
    /// connection-specific fields over HTTP/2, and what [validators](Self::validate) refuse. Removed: fields that are meant for
    /// one connection, lengths and content where none may be, fields that may not be trailers, the upstream's reason phrase; the
    /// version is that of the request, HTTP/1.1 at least.
    ///
    /// Time limits have their defaults: see [`head_timeout`](Self::head_timeout), [`idle_timeout`](Self::idle_timeout) and
    /// [`ready_timeout`](Self::ready_timeout).
    ///
    /// Whether a 101 was asked for is seen in the request as it arrives here: for a request that must not be upgraded, remove the
    /// `Upgrade` field *outside* of the layer.
    #[must_use]
    pub fn new() -> Self {
        Self { policy: Arc::new(Policy::for_upstream()) }
    }

    /// For local handlers, around a whole router: nothing is judged, nothing is tidied, and there are no time limits but a gRPC client's own.
    ///
    /// What a user sets has its effect all the same: time limits, [`validate`](Self::validate),
    /// [`limit_fields`](Self::limit_fields), [`peek`](Self::peek), [`hold_head`](Self::hold_head), [`hold_body`](Self::hold_body),
    /// [`strip_proxy_status`](Self::strip_proxy_status) and [`trust_end_of_stream`](Self::trust_end_of_stream).
    ///
    /// It answers the errors of the wrapped service, and the [`Failure`]s that handlers return: in the extensions of a response,
    /// which is dropped. With feature `axum` `Failure` implements `IntoResponse` and makes such a response.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use http::{Request, Response};
    /// use http_body_util::Full;
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_bad_gateway::{BadGatewayLayer, Failure, FailureKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let handler = service_fn(|_: Request<String>| async {
    ///     let mut response = Response::new(Full::<bytes::Bytes>::default());
    ///     response.extensions_mut().insert(Failure::new(FailureKind::DnsTimeout));
    ///     Ok::<_, Infallible>(response)
    /// });
    /// let Ok(response) = BadGatewayLayer::for_router().layer(handler).oneshot(Request::new(String::new())).await;
    /// assert_eq!(response.status(), 504);
    /// # }
    /// ```
    #[must_use]
    pub fn for_router() -> Self {
        Self { policy: Arc::new(Policy::for_router()) }
    }

    /// Sets whether a body is polled once before its head is forwarded.
    ///
    /// The poll does not wait: a body that has nothing yet is forwarded as it is. A body that is broken already becomes a 502, and
    /// not a 200 that is cut short. The default is `true` in [`new`](Self::new) and `false` in [`for_router`](Self::for_router);
    /// bodies of gRPC, of upgrades and of CONNECT are never polled early.
    ///
    /// To wait for the first byte, see [`hold_head`](Self::hold_head), and for more of the body [`hold_body`](Self::hold_body).
    #[must_use]
    pub fn peek(self, peeks: bool) -> Self {
        self.edit(|policy| policy.limits.peek = peeks)
    }

    /// Sets whether gRPC calls are treated as such, by default `true`: a POST of `application/grpc`, alone or with a suffix, and of gRPC-Web before
    /// its head, whose time limits are those of plain HTTP.
    ///
    /// Their failures are answered with HTTP 200 and a `grpc-status`. In [`new`](Self::new) the messages of the response are followed too:
    /// what breaks between two of them ends in trailers with a status, and inside of one in a reset; a response that is no gRPC is
    /// answered in its place, with the code that its status stands for; and an end without a valid `grpc-status` is a failure. UNAVAILABLE
    /// is no permission to repeat a call that is not idempotent: the upstream may have done its work.
    ///
    /// The version of the request, as the layer sees it, has to be the client's: over HTTP/1.1 hyper drops trailers that are not asked for and
    /// announced, and a failure that would be lost in that way ends in an abort.
    ///
    /// With `false` such a call is a request as any other, and `grpc-timeout` means nothing.
    ///
    /// ```
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new().grpc(false);
    /// ```
    #[must_use]
    pub fn grpc(self, speaks: bool) -> Self {
        self.edit(|policy| policy.speaks_grpc = speaks)
    }

    /// Adds a reader of errors. Readers run in the order they were added, after those of this crate, and the first that
    /// answers wins on what it sets.
    ///
    /// Readers see the errors of the wrapped service, of its readiness and of its bodies. They are not asked about a
    /// [`Failure`] among the causes, which is taken as it is but for its retry safety, nor about an upload that a
    /// [`RequestBodyTap`](crate::RequestBodyTap) has seen break. A reader that panics counts as one that does not know the error.
    ///
    /// See [`classify`](crate::classify) for an example.
    #[must_use]
    pub fn classify(self, reader: impl Classify + 'static) -> Self {
        self.edit(|policy| policy.reading.readers.push(Arc::new(reader)))
    }

    /// Says that the wrapped service sends a request at most once, so that what the failed attempt says of itself is true of the
    /// whole call: [`Failure::retry_safety`] may be [`NotSent`](crate::failure::RetrySafety::NotSent) or
    /// [`NotProcessed`](crate::failure::RetrySafety::NotProcessed).
    ///
    /// Without this setting the layer gives the promise only where it knows by itself: of a service that was not ready. An error of
    /// a connection that was refused proves nothing about a call that was redirected or retried *inside*: the upstream may have
    /// processed an attempt before it, and a retry policy that trusts the error sends an order twice. A
    /// [`RequestBodyTap`](crate::RequestBodyTap) takes "not sent" back if content has been handed over, and never gives it.
    ///
    /// True of hyper-util's client, which sends again only what was never written, of tonic's channel, and of middleware around
    /// them that does not repeat a call. **Not for** reqwest, which follows redirects and sends again by itself; nor for a
    /// `tower::retry`, hedging or tower-http's `FollowRedirect` inside of the layer, nor for handlers that make several calls. With
    /// features `reqwest-0_13` and `reqwest-middleware-0_5` the errors of these are recognised, and nothing is promised below them
    /// even so.
    ///
    /// Where a layer stands around another, each speaks of its own call: the outer one takes the promise of the inner one back
    /// unless it has this setting as well, but forwards the answer as it was written. So a retry does not belong between two
    /// layers.
    ///
    /// ```
    /// use http::Request;
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_bad_gateway::{BadGatewayLayer, Failure, failure::RetrySafety};
    /// # use std::io;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let client = service_fn(|_: Request<String>| async {
    ///     Err::<http::Response<http_body_util::Full<bytes::Bytes>>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
    /// });
    /// let Ok(response) = BadGatewayLayer::new().single_attempt().layer(client).oneshot(Request::new(String::new())).await;
    /// assert_eq!(response.extensions().get::<Failure>().unwrap().retry_safety(), RetrySafety::NotSent);
    /// # }
    /// ```
    #[must_use]
    pub fn single_attempt(self) -> Self {
        self.edit(|policy| policy.reading.single_attempt = true)
    }

    /// Sets what a client is shown; by default the layer [negotiates](crate::format::Negotiate).
    ///
    /// The format runs only after a failure, in the task that serves the request: it must not block. If it panics, or writes more than
    /// [1 MiB](crate::format::Representation::MAX_CONTENT), the client is shown [`PlainText`](crate::format::PlainText). gRPC requests
    /// are answered in gRPC with any format. See [`format`](crate::format) for an example.
    #[must_use]
    pub fn format(self, format: impl Format + 'static) -> Self {
        self.capture_for(&format).edit(|policy| policy.presentation.format = Arc::new(format))
    }

    /// Sets what a client is shown of some failures: those of a kind, of a class, or those answered with a status.
    ///
    /// Of several that fit, the one for the kind counts, then the one for the class, then the one for the status, which is that
    /// after [`map_status`](Self::map_status); of two for the same scope, the one set last. All other failures are shown as
    /// [`format`](Self::format) says. gRPC requests are answered in gRPC all the same.
    ///
    /// ```
    /// use http::{HeaderValue, StatusCode};
    /// use tower_bad_gateway::{BadGatewayLayer, FailureKind, failure::FailureClass, format::{Empty, Negotiate, Static}};
    ///
    /// let busy = Static::new(HeaderValue::from_static("text/html; charset=utf-8"), "<!doctype html><title>Busy</title>...");
    /// let layer = BadGatewayLayer::new()
    ///     .format_for(FailureClass::Overload, Negotiate::new().html(busy))
    ///     .format_for(FailureKind::HttpRequestDenied, Empty)
    ///     .format_for(StatusCode::INTERNAL_SERVER_ERROR, Empty);
    /// ```
    #[must_use]
    pub fn format_for(self, scope: impl Into<Scope>, format: impl Format + 'static) -> Self {
        let scope = scope.into();
        self.capture_for(&format).edit(|policy| policy.presentation.format_overrides.set(scope, Arc::new(format)))
    }

    /// Keeps the fields of requests that a format reads.
    fn capture_for(self, format: &impl Format) -> Self {
        let fields = format.reads();
        if fields.is_empty() { self } else { self.edit_capture(|capture| capture.add_fields(fields)) }
    }

    /// Adds a field to every answer the layer makes, gRPC included; never to a response of the upstream. A name that is added twice
    /// is sent as two lines.
    ///
    /// `Cache-Control`, `Content-Language` and `X-Content-Type-Options` replace the layer's own, so that of these the line added last
    /// counts. Fields of the framing (`Content-Length`, `Content-Type`, `Connection`, `Transfer-Encoding` and the like) are ignored, and
    /// so is `Proxy-Status` if the layer has a [name](Self::gateway_name). A `Content-Security-Policy` is added only to answers whose
    /// format brings none of its own.
    ///
    /// ```
    /// use http::{HeaderName, HeaderValue};
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new()
    ///     .header(HeaderName::from_static("x-served-by"), HeaderValue::from_static("edge-1"));
    /// ```
    #[must_use]
    pub fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        self.edit(|policy| policy.presentation.fields.push((name, value)))
    }

    /// Sets the sentence a client is shown of every failure, in every format and in `grpc-message`. By default it is the
    /// [summary](crate::FailureKind::summary) of the kind.
    ///
    /// The [one](crate::RequestPolicy::message) in the request's extensions goes before it, and one set on the
    /// [`Failure`](Failure::with_message) before both. After 1 KiB it is cut. **Public**: put nothing in it that a stranger may not
    /// read.
    ///
    /// ```
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new().message("Failed to load the profile picture.");
    /// ```
    #[must_use]
    pub fn message(self, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        self.edit(|policy| policy.presentation.message = Some(text))
    }

    /// Adds a language: clients that prefer it to English, by `Accept-Language`
    /// ([RFC 9110, section 12.5.4](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.4)), are shown these texts where the formats of this crate
    /// have one of their own. Each call adds a language, or replaces the same one. By default there is English alone.
    ///
    /// With a language the answers say `Vary: accept-language`, and each request's `Accept-Language` is kept, for two allocations.
    ///
    /// See [`Texts`](crate::format::Texts) for an example.
    #[must_use]
    pub fn texts(self, texts: Texts) -> Self {
        self.edit_capture(|capture| capture.add_fields([ACCEPT_LANGUAGE]))
            .edit(|policy| policy.presentation.languages.add(texts))
    }

    /// Sets `Retry-After` on every 503 and 429 the layer answers
    /// ([RFC 9110, section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3),
    /// [RFC 6585, section 4](https://www.rfc-editor.org/rfc/rfc6585#section-4)).
    ///
    /// The delay is rounded up to whole seconds, and never 0, which would invite all clients back at once. There is none by
    /// default, and `None` removes it again. It is the status after [`map_status`](Self::map_status) that counts. A gRPC caller is
    /// told by `grpc-retry-pushback-ms`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new().retry_after(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn retry_after(self, delay: impl Into<Option<Duration>>) -> Self {
        let delay = delay.into().map(|delay| {
            let part = u64::from(delay.subsec_nanos() > 0);
            Duration::from_secs(delay.as_secs().saturating_add(part).max(1))
        });
        self.edit(|policy| policy.presentation.retry_after = delay)
    }

    /// Chooses the status by failure; by default it is [`Failure::status`].
    ///
    /// Only 4xx and 5xx are taken; any other leaves the status as it was, and so does a closure that panics. gRPC codes are not
    /// touched, and neither is a body that breaks after its head, whose status was sent. The closure runs before the format, in the
    /// task that serves the request: it must not block.
    ///
    /// ```
    /// use http::StatusCode;
    /// use tower_bad_gateway::{BadGatewayLayer, FailureKind};
    ///
    /// let layer = BadGatewayLayer::new().map_status(|failure| match failure.kind() {
    ///     FailureKind::ConnectionRefused => StatusCode::SERVICE_UNAVAILABLE,
    ///     _ => failure.status(),
    /// });
    /// ```
    #[must_use]
    pub fn map_status(self, map: impl Fn(&Failure) -> StatusCode + Send + Sync + 'static) -> Self {
        self.edit(|policy| policy.presentation.map_status = Some(Arc::new(map)))
    }

    /// Changes one setting: the way of every setter.
    ///
    /// The policy is copied first if a service or another layer shares it. The result has fresh counts of events and abandonments,
    /// and registers its metrics anew.
    fn edit(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        let policy = Arc::make_mut(&mut self.policy);
        change(policy);
        policy.observers.reset_shared();
        self
    }
}

impl Default for BadGatewayLayer {
    /// The same as [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for BadGatewayLayer {
    type Service = BadGateway<S>;

    /// Wraps a service. Nothing runs before its first call, but for the registration of the metrics, once a layer.
    fn layer(&self, inner: S) -> BadGateway<S> {
        self.policy.observers.register_metrics(self.policy.names.upstream.as_deref(), self.policy.has_fallback());
        BadGateway::new(inner, Arc::clone(&self.policy))
    }
}
