//! Our own errors, when they come back: a layer inside another, or a service that returns a [`Failure`].

use std::error::Error;

use super::{Cause, cause::whole_chain};
use crate::{
    failure::{BodyError, BoxError, Failure},
    upstream::{Upstream, UpstreamError},
};

/// A failure that needs no reading.
pub(super) fn into_failure(error: BoxError) -> Result<Failure, BoxError> {
    match error.downcast::<Failure>() {
        Ok(failure) => Ok(failure.unanswered()),
        Err(error) => error.downcast::<BodyError>().map(|error| error.failure().clone()),
    }
}

/// An error without the name that somebody has given it, so that it is read as if it had none, and that name: the innermost of several.
pub(super) fn without_upstream(error: BoxError) -> (BoxError, Option<Upstream>) {
    let upstream = whole_chain(&*error).filter_map(|error| error.downcast_ref::<UpstreamError>()).last();
    let Some(upstream) = upstream.map(|error| error.upstream().clone()) else { return (error, None) };
    let mut error = error;
    loop {
        error = match error.downcast::<UpstreamError>() {
            Ok(named) => named.into_source(),
            Err(error) => return (error, Some(upstream)),
        };
    }
}

/// A failure below other errors: they say nothing that it does not know better.
pub(super) fn failure_in_chain(cause: &Cause<'_>) -> Option<Failure> {
    cause.find::<Failure>().map(|failure| failure.clone().unanswered())
}

/// The same, below the error of a request's body.
pub(super) fn failure_below(error: &(dyn Error + 'static)) -> Option<Failure> {
    find_failure(error).map(|failure| failure.clone().unanswered())
}

/// The error of another layer's body, which has been told of already; other bodies may have wrapped it on its way.
pub(crate) fn already_reported(error: BoxError) -> Result<BodyError, BoxError> {
    let told =
        whole_chain(&*error).find_map(|error| error.downcast_ref::<BodyError>().filter(|error| error.is_reported()));
    told.cloned().ok_or(error)
}

/// The failure an error stands for or holds.
pub(super) fn find_failure<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Failure> {
    whole_chain(error).find_map(|error| error.downcast_ref())
}

/// The same for an error of which nothing is known but that it can be printed.
#[cfg(feature = "tower-http")]
pub(crate) fn find_failure_in_any(error: &dyn std::any::Any) -> Option<&Failure> {
    let known = error.downcast_ref::<BodyError>().map(|error| error as &(dyn Error + 'static));
    let known = known.or_else(|| error.downcast_ref::<BoxError>().map(|error| &**error as &(dyn Error + 'static)));
    let known = known.or_else(|| error.downcast_ref::<Failure>().map(|error| error as &(dyn Error + 'static)));
    #[cfg(feature = "axum")]
    let known = known.or_else(|| error.downcast_ref::<axum_core::Error>().map(|error| error as &(dyn Error + 'static)));
    known.and_then(find_failure)
}

/// The cause of a body error is not at `source()`, where a server would look for it.
pub(super) fn step<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    error.downcast_ref::<BodyError>().map(|error| error.failure() as &(dyn Error + 'static))
}
