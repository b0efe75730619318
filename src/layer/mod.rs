//! The layer and its settings.

mod observe;
mod time;

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};
use tower_layer::Layer;

use crate::{
    classify::Classify,
    failure::Failure,
    format::{Format, Scope},
    policy::Policy,
    service::BadGateway,
    validate::{SizeLimits, Validate},
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
    /// Responses are judged and tidied. Refused with 502: a status above 599 or a 1xx, a 101 to what was not asked for, transfer
    /// codings nobody has undone, a `Content-Length` beside one, a length that is no number or several, connection-specific
    /// fields over HTTP/2, and what [validators](Self::validate) refuse. Removed: fields that are meant for one connection,
    /// lengths and content where none may be, fields that may not be trailers, the upstream's reason phrase; the version is
    /// that of the request, HTTP/1.1 at least. Time limits have their defaults.
    ///
    /// Whether a 101 was asked for is seen in the request as it arrives here: what must not be upgraded has to lose its
    /// `Upgrade` field *outside* of the layer.
    #[must_use]
    pub fn new() -> Self {
        Self { policy: Arc::new(Policy::for_upstream()) }
    }

    /// For local handlers, around a whole router: nothing is judged, nothing is tidied, and there are no time limits.
    ///
    /// What is set is done all the same: time limits, [`validate`](Self::validate), [`limit_fields`](Self::limit_fields),
    /// [`peek`](Self::peek), [`hold_head`](Self::hold_head) and [`trust_end_of_stream`](Self::trust_end_of_stream).
    ///
    /// It answers the errors of the wrapped service, and the [`Failure`]s that handlers return (feature `axum`: `Failure`
    /// implements `IntoResponse`).
    #[must_use]
    pub fn for_router() -> Self {
        Self { policy: Arc::new(Policy::for_router()) }
    }

    /// Sets whether a body is polled once before its head is passed on.
    ///
    /// Nothing is waited for. A body that is broken already becomes a 502 then, and not a 200 that is cut short. The default is
    /// `true` in [`new`](Self::new) and `false` in [`for_router`](Self::for_router); gRPC, upgrades and CONNECT are never
    /// looked at.
    #[must_use]
    pub fn peek(self, peeks: bool) -> Self {
        self.edit(|policy| policy.limits.peek = peeks)
    }

    /// Lets one status code above 599 pass, such as the 999 of some sites. Others are refused with 502: they have no class, so
    /// that no client could say what they mean ([RFC 9110, section 15](https://www.rfc-editor.org/rfc/rfc9110#section-15)).
    ///
    /// ```
    /// use http::StatusCode;
    /// use tower_bad_gateway::BadGatewayLayer;
    ///
    /// # fn main() -> Result<(), http::status::InvalidStatusCode> {
    /// let layer = BadGatewayLayer::new().allow_status(StatusCode::from_u16(999)?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn allow_status(self, status: StatusCode) -> Self {
        self.edit(|policy| policy.rules.statuses.push(status))
    }

    /// Limits the size of header and trailer sections and of the fields in them. By default there is no limit but the
    /// client's own (hyper: about 400 KiB over HTTP/1, 16 KiB over HTTP/2).
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, validate::SizeLimits};
    ///
    /// let layer = BadGatewayLayer::new().limit_fields(SizeLimits::new().section(64 * 1024).field(8 * 1024));
    /// ```
    #[must_use]
    pub fn limit_fields(self, limits: SizeLimits) -> Self {
        self.edit(|policy| policy.rules.sizes = limits)
    }

    /// Adds a validator of response heads. Validators run in the order they were added, after the rules of this crate, and the
    /// first that refuses decides.
    ///
    /// See [`validate`](crate::validate) for an example.
    #[must_use]
    pub fn validate(self, validator: impl Validate + 'static) -> Self {
        self.edit(|policy| policy.rules.validators.push(Arc::new(validator)))
    }

    /// Says that the bodies of the wrapped service tell the truth at their end: over HTTP/2, `is_end_stream` is `true` after
    /// the upstream has completed the response, and `false` after the stream was reset.
    ///
    /// hyper's client ends a body cleanly when an HTTP/2 upstream resets the stream with `NO_ERROR` half-way; only
    /// `is_end_stream` gives that away. [`new`](Self::new) knows [`hyper::body::Incoming`] by its type and looks; set this for
    /// a wrapper around it that passes `is_end_stream` on, and in a router.
    ///
    /// **Not for** `reqwest::Body`, bodies made from streams, decompressed ones, and most others: theirs is `false` at a
    /// genuine end as well, and every response without a `Content-Length` would be cut short.
    ///
    /// [`hyper::body::Incoming`]: https://docs.rs/hyper/latest/hyper/body/struct.Incoming.html
    #[must_use]
    pub fn trust_end_of_stream(self) -> Self {
        self.edit(|policy| policy.rules.trusts_end_of_stream = true)
    }

    /// Adds a reader of errors. Readers run in the order they were added, before those of this crate, and the first that
    /// answers wins on what it sets.
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
    /// Without it the layer says so only where it knows by itself: of a service that was not ready. An error of a connection that
    /// was refused proves nothing about a call that was redirected or retried *inside*: an attempt before it may have been
    /// taken, and whoever trusts the error sends an order twice. A [`RequestBodyTap`](crate::RequestBodyTap) takes "not sent" back
    /// if content has been handed over, and never gives it.
    ///
    /// True of hyper-util's client, which sends again only what was never written, of tonic's channel, and of what stands around
    /// them without repeating a call. **Not for** reqwest, which follows redirects and sends again by itself; nor for a
    /// `tower::retry`, hedging or tower-http's `FollowRedirect` inside of the layer, nor for handlers that make several calls. With
    /// features `reqwest-0_13` and `reqwest-middleware-0_5` the errors of these are known, and nothing is promised below them
    /// even so.
    ///
    /// Where a layer stands around another, each speaks of its own call: the outer one takes the promise of the inner one back
    /// unless it was told as much itself, but passes a page on as it was written. So a retry does not belong between two layers.
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
    /// gRPC requests are answered in gRPC whatever the format is. See [`format`](crate::format) for an example.
    #[must_use]
    pub fn format(self, format: impl Format + 'static) -> Self {
        self.edit(|policy| policy.presentation.format = Arc::new(format))
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
        self.edit(|policy| policy.presentation.format_overrides.set(scope, Arc::new(format)))
    }

    /// Adds a field to every answer the layer makes, gRPC included; never to a response of the upstream.
    ///
    /// `Cache-Control`, `Content-Language` and `X-Content-Type-Options` replace the layer's own; fields of the framing
    /// (`Content-Length`, `Content-Type`, `Connection`, `Transfer-Encoding` and the like) are ignored, and so is `Proxy-Status` if the
    /// layer has a [name](Self::gateway_name). A
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
        self.edit(|policy| policy.presentation.fields.push((name, value)))
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
        self.edit(|policy| policy.presentation.message = Some(text))
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
        self.edit(|policy| policy.presentation.retry_after = delay)
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
        self.edit(|policy| policy.presentation.map_status = Some(Arc::new(map)))
    }

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

    fn layer(&self, inner: S) -> BadGateway<S> {
        self.policy.observers.register_metrics(self.policy.identity.upstream.as_deref());
        BadGateway::new(inner, Arc::clone(&self.policy))
    }
}
