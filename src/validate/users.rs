//! Validators that users have set: the trait, what a validator sees, and how validators are run.
//!
//! The parent module calls [`run`] last, on a head that has passed all other rules and was tidied. Validators never see a body,
//! and nothing here knows what the other rules are.

use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderName, Response, StatusCode, Version};

use crate::{
    caught::caught,
    context::RequestContext,
    failure::{Failure, FailureKind},
    fields::retry_after,
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
    /// Of a response that is intercepted, by [`FailureKind::ReceivedStatus`], the answer has the status, and the fields that
    /// [`keep_fields`](crate::BadGatewayLayer::keep_fields) names.
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
/// One thing still changes afterwards: `Proxy-Status` is in it even if the layer
/// [strips](crate::BadGatewayLayer::strip_proxy_status) that field from what it forwards.
///
/// See the [module](super) for an example.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    status: StatusCode,
    version: Version,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> ResponseHead<'a> {
    /// Borrows the head of a response; `version` is the one before the layer's own was set.
    pub(super) fn of<B>(response: &'a Response<B>, version: Version) -> Self {
        Self { status: response.status(), version, headers: response.headers(), extensions: response.extensions() }
    }

    /// The status code, as the upstream sent it. The layer never changes that of a response it forwards.
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

    /// The extensions of the response, such as hyper-util's `HttpInfo` or an [`Upstream`](crate::Upstream).
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

/// Adds these fields to the failure of an intercepted response.
fn keep_fields(failure: Failure, names: &[HeaderName], headers: &HeaderMap) -> Failure {
    if failure.kind() != FailureKind::ReceivedStatus {
        return failure;
    }
    let mut kept = HeaderMap::new();
    for name in names {
        for value in headers.get_all(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    let delay = retry_after(&kept);
    let failure = failure.with_kept_fields(kept);
    match delay {
        Some(delay) => failure.with_retry_after(delay),
        None => failure,
    }
}

/// Runs validators in the order they were set, until one refuses.
///
/// # Errors
///
/// The failure of the first validator that refuses, or [`FailureKind::ProxyInternalError`] if it panicked.
pub(super) fn run(
    validators: &[Arc<dyn Validate>],
    kept_fields: &[HeaderName],
    head: &ResponseHead<'_>,
    context: &RequestContext,
) -> Result<(), Failure> {
    for validator in validators {
        caught(|| validator.validate(head, context))
            .unwrap_or_else(|| Err(Failure::new(FailureKind::ProxyInternalError).with_reason("a validator panicked")))
            .map_err(|failure| keep_fields(failure, kept_fields, head.headers()))?;
    }
    Ok(())
}
