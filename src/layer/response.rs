//! The settings that say which responses are forwarded, and what is kept of one that is not.
//!
//! The rules themselves stand in `validate`, and so does the order in which they run. Nothing here looks at a response.

use std::sync::Arc;

use http::{HeaderName, StatusCode};

use super::BadGatewayLayer;
use crate::validate::{SizeLimits, Validate};

impl BadGatewayLayer {
    /// Allows one status code above 599, such as the 999 of some sites.
    ///
    /// Others are refused with 502: they have no class, so that no client could say what they mean
    /// ([RFC 9110, section 15](https://www.rfc-editor.org/rfc/rfc9110#section-15)). Each call adds one code; by default none is
    /// allowed. In [`for_router`](Self::for_router) no status is refused, and this changes nothing.
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

    /// Limits the size of header and trailer sections and of the fields in them, in bytes.
    ///
    /// By default there is no limit but the client's own (hyper: about 400 KiB over HTTP/1, 16 KiB over HTTP/2). A head that is too
    /// large is answered 502; trailers that are too large end the body in an error, since the head has mostly been sent by then.
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
    /// A validator runs for every response, a 101 as well, before the body is polled; not for one with a [`Failure`](crate::Failure) in its
    /// extensions. It runs in the task that serves the request: it must not block. If it panics, the client is answered 500.
    ///
    /// See [`validate`](crate::validate) for an example.
    #[must_use]
    pub fn validate(self, validator: impl Validate + 'static) -> Self {
        self.edit(|policy| policy.rules.validators.push(Arc::new(validator)))
    }

    /// Keeps these fields of a response that a [validator](Self::validate) intercepts, by
    /// [`FailureKind::ReceivedStatus`](crate::FailureKind::ReceivedStatus): the answer in its place has them too. By default there are none,
    /// since nothing of a failed response is forwarded.
    ///
    /// A 503 without its `Retry-After`, a 401 without `WWW-Authenticate` and a 405 without `Allow` say half. What a server writes into any
    /// other field may not be meant for clients. The fields are kept as long as the answer has the status of the response, so not where
    /// [`map_status`](Self::map_status) chooses another, and in the place of the layer's own of the same name. An answer in gRPC has none of
    /// them. A second call adds to the first.
    ///
    /// ```
    /// use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
    /// use tower_bad_gateway::{BadGatewayLayer, FailureKind, context::RequestContext, validate::ResponseHead};
    ///
    /// let layer = BadGatewayLayer::new()
    ///     .validate(|head: &ResponseHead<'_>, _: &RequestContext| {
    ///         if head.status().is_server_error() { Err(FailureKind::ReceivedStatus) } else { Ok(()) }
    ///     })
    ///     .keep_fields([RETRY_AFTER, WWW_AUTHENTICATE, ALLOW]);
    /// ```
    #[must_use]
    pub fn keep_fields(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.edit(|policy| policy.rules.kept_fields.extend(names))
    }

    /// Says that the bodies of the wrapped service tell the truth at their end: over HTTP/2, `is_end_stream` is `true` after
    /// the upstream has completed the response, and `false` after the stream was reset.
    ///
    /// hyper's client ends a body cleanly when an HTTP/2 upstream resets the stream with `NO_ERROR` half-way; only
    /// `is_end_stream` shows the difference. [`new`](Self::new) recognises [`hyper::body::Incoming`] by its type and checks by
    /// itself (feature `hyper-util`); set this for a wrapper around it that forwards `is_end_stream`, and in a router. By default no
    /// other body is trusted. Where the end was false the body ends in an error (`http_response_incomplete`).
    ///
    /// **Not for** `reqwest::Body`, bodies made from streams, decompressed ones, and most others: theirs is `false` at a
    /// genuine end as well, and every response without a `Content-Length` would be cut short.
    ///
    /// [`hyper::body::Incoming`]: https://docs.rs/hyper/latest/hyper/body/struct.Incoming.html
    #[must_use]
    pub fn trust_end_of_stream(self) -> Self {
        self.edit(|policy| policy.rules.trusts_end_of_stream = true)
    }
}
