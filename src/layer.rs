//! The layer and its settings.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};
use tower_layer::Layer;

use crate::{
    classify::Classify,
    failure::Failure,
    format::{Format, Scope},
    gateway_name::GatewayName,
    hooks::FailureEvent,
    policy::{Policy, Setting},
    service::BadGateway,
};

/// Turns every failure of an upstream call into an answer.
///
/// [`new`](Self::new) has safe defaults; every setter takes and returns the layer, none can fail, and any order works. The
/// layer is one pointer; cloning it and wrapping services with it is cheap.
///
/// See the [crate](crate) for where it belongs in a stack.
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
    /// Responses are judged and tidied: a status above 599, an unsolicited 101, transfer codings nobody has undone, and a
    /// `Content-Length` beside one are refused; fields that are meant for one connection are removed. Time limits have their
    /// defaults.
    ///
    /// Whether a 101 was asked for is seen in the request as it arrives here: what must not be upgraded has to lose its
    /// `Upgrade` field *outside* of the layer.
    #[must_use]
    pub fn new() -> Self {
        Self { policy: Arc::new(Policy::for_upstream()) }
    }

    /// For local handlers, around a whole router: nothing is judged, nothing is tidied, and there are no time limits unless
    /// they are set.
    ///
    /// It answers the errors of the wrapped service, and the [`Failure`]s that handlers return (feature `axum`: `Failure`
    /// implements `IntoResponse`).
    #[must_use]
    pub fn for_router() -> Self {
        Self { policy: Arc::new(Policy::for_router()) }
    }

    /// Sets how long to wait for the upstream's response head.
    ///
    /// The clock runs from the first poll of the call until the head is complete; the body is not included. The default is
    /// 60 seconds, except where waiting is lawful: gRPC without `grpc-timeout`, requests that accept `text/event-stream`, and
    /// requests with a body of more than 64 KiB or of unknown length, which may still be on its way from the client. A limit
    /// set here applies to all of these as well. `None` waits for ever. Upgrades and CONNECT have no limit.
    ///
    /// A request may bring its own limit ([`Timeouts`](crate::context::Timeouts)), and a gRPC client's `grpc-timeout` can
    /// shorten any.
    ///
    /// When it runs out the upstream call is dropped and the client is answered `504 Gateway Timeout`
    /// ([RFC 9110, section 15.6.5](https://www.rfc-editor.org/rfc/rfc9110#section-15.6.5)).
    ///
    /// # Panics
    ///
    /// The returned future panics when a call has to be waited for outside a tokio runtime with its timer enabled.
    #[must_use]
    pub fn head_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.head_timeout = Setting::Set(limit))
    }

    /// Sets how long a body may be silent while it is waited for.
    ///
    /// It counts only while *we* wait for the upstream, from the moment nothing was there until the next frame; a client that
    /// reads slowly never trips it. The default is 60 seconds for a body of known length and 5 minutes for others, except
    /// where silence is lawful: `text/event-stream`, `multipart/x-mixed-replace`, gRPC and its relatives. A limit set here
    /// applies to all of these as well. `None` waits for ever. Upgrades and CONNECT have no limit.
    ///
    /// When it runs out the body ends in an error, so that the server aborts the message; the status has been sent by then.
    ///
    /// # Panics
    ///
    /// As [`head_timeout`](Self::head_timeout).
    #[must_use]
    pub fn idle_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.idle_timeout = Setting::Set(limit))
    }

    /// Sets how long to wait for the wrapped service to become ready.
    ///
    /// The clock runs from the first `poll_ready` that found it not ready. The default is 30 seconds; `None` waits for ever.
    /// When it runs out one call is answered `503 Service Unavailable`
    /// ([RFC 9110, section 15.6.4](https://www.rfc-editor.org/rfc/rfc9110#section-15.6.4)); the wrapped service keeps the
    /// progress it has made and is asked again for the next call.
    ///
    /// # Panics
    ///
    /// `poll_ready` panics when the wrapped service is not ready, outside a tokio runtime with its timer enabled.
    #[must_use]
    pub fn ready_timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.edit(|policy| policy.ready_timeout = limit)
    }

    /// Adds a reader of errors. Readers run in the order they were added, before those of this crate, and the first that
    /// answers wins on what it sets.
    ///
    /// See [`classify`](crate::classify) for an example.
    #[must_use]
    pub fn classify(self, reader: impl Classify + 'static) -> Self {
        self.edit(|policy| policy.readers.push(Arc::new(reader)))
    }

    /// Sets what a client is shown; by default the layer [negotiates](crate::format::Negotiate).
    ///
    /// gRPC requests are answered in gRPC whatever the format is. See [`format`](crate::format) for an example.
    #[must_use]
    pub fn format(self, format: impl Format + 'static) -> Self {
        self.edit(|policy| policy.format = Arc::new(format))
    }

    /// Sets what a client is shown of some failures: those of a kind, of a class, or those answered with a status. Of several
    /// that fit, the one for the kind counts, then the one for the class, then the one for the status; of two for the same,
    /// the one set last. gRPC requests are answered in gRPC all the same.
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
        self.edit(|policy| policy.formats.set(scope, Arc::new(format)))
    }

    /// Adds a field to every answer the layer makes, gRPC included; never to a response of the upstream.
    ///
    /// `Cache-Control`, `Content-Language` and `X-Content-Type-Options` replace the layer's own; fields of the framing
    /// (`Content-Length`, `Content-Type`, `Connection`, `Transfer-Encoding` and the like) are ignored. A
    /// `Content-Security-Policy` is added only to answers whose format brings none of its own.
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
        self.edit(|policy| policy.fields.push((name, value)))
    }

    /// Sets the sentence a client is shown, whatever the failure. A [`Message`](crate::context::Message) in the request's
    /// extensions goes before it, and one set on the [`Failure`](Failure::with_message) before both.
    ///
    /// ```
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// let layer = BadGatewayLayer::new().message("Failed to load the profile picture.");
    /// ```
    #[must_use]
    pub fn message(self, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        self.edit(|policy| policy.message = Some(text))
    }

    /// Sets `Retry-After` on every 503 the layer answers
    /// ([RFC 9110, section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)).
    ///
    /// Rounded up to whole seconds, and never 0: that would invite everyone back at once. There is none by default.
    #[must_use]
    pub fn retry_after(self, delay: impl Into<Option<Duration>>) -> Self {
        let delay = delay.into().map(|delay| {
            let part = u64::from(delay.subsec_nanos() > 0);
            Duration::from_secs(delay.as_secs().saturating_add(part).max(1))
        });
        self.edit(|policy| policy.retry_after = delay)
    }

    /// Chooses the status by failure. Only 4xx and 5xx are taken; any other leaves the status as it was, and so does a
    /// closure that panics. gRPC codes are not touched.
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
        self.edit(|policy| policy.map_status = Some(Arc::new(map)))
    }

    /// Names what is behind the layer, for logs and hooks; clients never see it.
    #[must_use]
    pub fn upstream(self, name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        self.edit(|policy| policy.upstream = Some(name))
    }

    /// Names this gateway: in logs and hooks, and to [formats](crate::format::PublicFailure::gateway), which may show it.
    #[must_use]
    pub fn name(self, name: GatewayName) -> Self {
        self.edit(|policy| policy.name = Some(name))
    }

    /// Runs after every failure, in the task that serves the request: it must not block. A hook that panics harms nobody.
    ///
    /// A body that breaks after the head is reported as well, with [`Phase::ResponseBody`](crate::failure::Phase).
    /// See [`RequestContext`](crate::context::RequestContext) for an example.
    #[must_use]
    pub fn on_failure(self, hook: impl Fn(&FailureEvent<'_>) + Send + Sync + 'static) -> Self {
        self.edit(|policy| policy.on_failure = Some(Arc::new(hook)))
    }

    /// Turns off the WARN event of every failure (feature `tracing`); hooks go on.
    #[must_use]
    pub fn silent(self) -> Self {
        self.edit(|policy| policy.silent = true)
    }

    fn edit(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(Arc::make_mut(&mut self.policy));
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

    fn layer(&self, inner: S) -> BadGateway<S> {
        BadGateway::new(inner, Arc::clone(&self.policy))
    }
}
