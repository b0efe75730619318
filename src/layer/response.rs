//! The settings that say which responses are forwarded, and what is kept of one that is not.
//!
//! The rules themselves stand in `validate`, and so does the order in which they run. Nothing here looks at a response.

use std::sync::Arc;

use http::StatusCode;

use super::BadGatewayLayer;
use crate::validate::{Intercept, SizeLimits, Validate};

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

    /// Answers some responses of the upstream in their place, by the layer's own format or by a [fallback](Self::fallback). By default none: a 404 or a
    /// 500 of the upstream passes as it is.
    ///
    /// A second call adds a rule, and a response that one of them fits is not forwarded. Rules run among the [validators](Self::validate), in
    /// the order in which both were set. The answer has the status of the response, and the fields that the rule
    /// [keeps](Intercept::keep_fields); log, hooks and metrics tell it as a failure, `received_status`. Responses to gRPC calls are told apart
    /// by their status, which is 200 also where the call has failed.
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, validate::Intercept};
    ///
    /// let layer = BadGatewayLayer::new().intercept(Intercept::server_errors());
    /// ```
    ///
    /// See [`Intercept`] for more.
    #[must_use]
    pub fn intercept(self, rule: impl Into<Intercept>) -> Self {
        self.validate(rule.into())
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
