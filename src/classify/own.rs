//! Our own errors, when they come back: a layer inside another, or a service that returns a [`Failure`].

use std::error::Error;

use super::Cause;
use crate::failure::{BodyError, BoxError, Failure};

/// A failure that needs no reading.
pub(super) fn unwrap(error: BoxError) -> Result<Failure, BoxError> {
    match error.downcast::<Failure>() {
        Ok(failure) => Ok(failure.unanswered()),
        Err(error) => passed(error).map(|error| error.failure().clone()),
    }
}

/// A failure below other errors: they say nothing that it does not know better.
pub(super) fn among(cause: &Cause<'_>) -> Option<Failure> {
    cause.find::<Failure>().map(|failure| failure.clone().unanswered())
}

/// The error of another layer's body, which has been told of already.
pub(crate) fn passed(error: BoxError) -> Result<BodyError, BoxError> {
    error.downcast::<BodyError>().map(|error| *error)
}

/// The cause of a body error is not at `source()`, where a server would look for it.
pub(super) fn step<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    error.downcast_ref::<BodyError>().map(|error| error.failure() as &(dyn Error + 'static))
}
