//! Validators that users have set: the trait, what a validator sees, and how validators are run.
//!
//! The parent module calls [`run`] last, on a head that has passed all other rules and was tidied. Validators never see a body,
//! and nothing here knows what the other rules are.

use std::sync::Arc;

use http::{Extensions, HeaderMap, Method, Response, StatusCode, Version, header::CONTENT_LENGTH};
use http_body::Body;

use super::{Accepted, Content};
use crate::{
    caught::caught,
    context::RequestContext,
    failure::{Failure, FailureKind},
};

/// Judges the head of a response, after the rules of the layer.
///
/// Set by [`BadGatewayLayer::validate`](crate::BadGatewayLayer::validate). A validator runs for every response of the wrapped
/// service, those to CONNECT and a 101 included, before the body is polled. It does not run where an earlier rule or
/// validator has refused the response, nor for a response that carries a [`Failure`]: that is an answer already, or becomes one.
///
/// A validator runs in the task that serves the request, so it must not block. A check that has to wait belongs in the wrapped service.
///
/// Implemented by closures from [`ResponseHead`] and [`RequestContext`] to a `Result` whose error is a [`Failure`] or a
/// [`FailureKind`]; write the types of the arguments out, as in the example of the [module](super).
///
/// If a validator panics, the response is not forwarded, since it may be one that the validator exists to refuse: the client is
/// answered 500 (`proxy_internal_error`).
pub trait Validate: Send + Sync {
    /// Returns whether the response may be forwarded.
    ///
    /// # Errors
    ///
    /// The failure that is answered instead. Its phase is [`ResponseHead`](crate::failure::Phase::ResponseHead) unless it has one,
    /// and its upstream status is that of the response, even where the validator has set another. A
    /// [retry safety](Failure::retry_safety) set by the validator counts only after
    /// [`single_attempt`](crate::BadGatewayLayer::single_attempt). The body of the response is dropped unread.
    ///
    /// With [`FailureKind::ReceivedStatus`] the answer has the status of the response. An [`Intercept`](super::Intercept) is that, and has names
    /// for what is often wanted.
    fn validate(&self, head: &ResponseHead<'_>, request: &RequestContext) -> Result<(), Failure>;
}

impl<F, E> Validate for F
where
    F: Fn(&ResponseHead<'_>, &RequestContext) -> Result<(), E> + Send + Sync,
    E: Into<Failure>,
{
    fn validate(&self, head: &ResponseHead<'_>, request: &RequestContext) -> Result<(), Failure> {
        self(head, request).map_err(Into::into)
    }
}

/// The head of a response: its status and fields as they will be forwarded, its version as the upstream sent it.
///
/// Two things still change afterwards: `Proxy-Status` is in it even if the layer
/// [strips](crate::BadGatewayLayer::strip_proxy_status) that field from what it forwards, and a response to a gRPC call whose status is no success of
/// HTTP is mended.
///
/// See the [module](super) for an example.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    status: StatusCode,
    version: Version,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
    has_content: bool,
}

impl<'a> ResponseHead<'a> {
    /// Borrows the head of a response that was accepted; `version` is the one before the layer's own was set.
    pub(super) fn of<B: Body>(
        response: &'a Response<B>,
        version: Version,
        accepted: &Accepted,
        request: &RequestContext,
    ) -> Self {
        Self {
            status: response.status(),
            version,
            headers: response.headers(),
            extensions: response.extensions(),
            has_content: has_content(response, accepted, request),
        }
    }

    /// The status code, as the upstream sent it. The layer never changes that of a response it forwards, but for gRPC, where a status that stands
    /// beside a `grpc-status` becomes 200.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The HTTP version that the upstream has answered in.
    ///
    /// What is forwarded has the version of the request instead, HTTP/1.1 at least; in
    /// [`for_router`](crate::BadGatewayLayer::for_router) it keeps this one.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The header section, without the fields that the layer removes.
    ///
    /// In [`for_router`](crate::BadGatewayLayer::for_router) nothing is removed, and this is the section as the handler wrote it.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Whether the response has content, as far as is known before its body is read.
    ///
    /// `false` if there can be none (204, 205, 304), if the length is 0 by `Content-Length` or by the body, or if the body has ended already; a
    /// body of unknown length counts as content, and turns out to have none in the end. To HEAD `Content-Length` alone says what a GET would be
    /// answered ([RFC 9110, section 9.3.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2)).
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.has_content
    }

    /// The extensions of the response, such as hyper-util's `HttpInfo` or an [`Upstream`](crate::Upstream).
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

/// See [`ResponseHead::has_content`].
fn has_content<B: Body>(response: &Response<B>, accepted: &Accepted, request: &RequestContext) -> bool {
    const NONE: [StatusCode; 3] = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
    if NONE.contains(&response.status()) {
        return false;
    }
    if request.method() == Method::HEAD {
        return response.headers().get(CONTENT_LENGTH).is_none_or(|length| length != "0");
    }
    match accepted.content {
        Content::Absent => false,
        Content::Exactly(length) => length > 0,
        Content::NotStated => !response.body().is_end_stream() && response.body().size_hint().exact() != Some(0),
    }
}

/// Runs validators in the order they were set, until one refuses.
///
/// # Errors
///
/// The failure of the first validator that refuses, or [`FailureKind::ProxyInternalError`] if it panicked.
pub(super) fn run(
    validators: &[Arc<dyn Validate>],
    head: &ResponseHead<'_>,
    context: &RequestContext,
) -> Result<(), Failure> {
    for validator in validators {
        caught(|| validator.validate(head, context)).unwrap_or_else(|| {
            Err(Failure::new(FailureKind::ProxyInternalError).with_reason("a validator panicked"))
        })?;
    }
    Ok(())
}
