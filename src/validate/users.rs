//! Validators of users.

use std::sync::Arc;

use http::{Extensions, HeaderMap, Response, StatusCode, Version};

use crate::{
    caught::caught,
    context::RequestContext,
    failure::{Failure, FailureKind},
};

/// Judges the head of a response.
///
/// Implemented by closures from [`ResponseHead`] and [`RequestContext`] to a `Result` whose error is a [`Failure`] or a
/// [`FailureKind`]; write the types of the arguments out, as in the example of the [module](super).
///
/// A validator guards something: if it panics, the response is not passed on, and the client is answered 500
/// (`proxy_internal_error`).
pub trait Validate: Send + Sync {
    /// Says whether the response may be passed on.
    ///
    /// # Errors
    ///
    /// The failure that is answered instead. Its phase is [`ResponseHead`](crate::failure::Phase::ResponseHead) unless it has
    /// one, and its upstream status that of the response.
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

/// The head of a response: its status and fields as they will be passed on, its version as the upstream had it.
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
    pub(super) fn of<B>(response: &'a Response<B>, version: Version) -> Self {
        Self { status: response.status(), version, headers: response.headers(), extensions: response.extensions() }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The HTTP version the upstream has answered in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The header section, tidied.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// What the wrapped service has put beside it.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

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
