//! Our own errors, when they come back: a layer inside another, or a service that returns a [`Failure`].

use std::error::Error;

use super::{Cause, Verdict};
use crate::failure::{BodyError, BoxError, Failure, Parameter};

/// A failure that needs no reading.
pub(super) fn unwrap(error: BoxError) -> Result<Failure, BoxError> {
    match error.downcast::<Failure>() {
        Ok(failure) => Ok(*failure),
        Err(error) => error.downcast::<BodyError>().map(|error| error.failure().clone()),
    }
}

/// A failure below other errors keeps its meaning.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let failure = cause.find::<Failure>()?;
    let verdict =
        Verdict::new(failure.kind()).phase(failure.phase()).blame(failure.blame()).retry_safety(failure.retry_safety());
    Some(match failure.parameters().first() {
        Some(parameter) => verdict.parameter(Parameter::clone(parameter)),
        None => verdict,
    })
}

/// The cause of a body error is not at `source()`, where a server would look for it.
pub(super) fn step<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    error.downcast_ref::<BodyError>().map(|error| error.failure() as &(dyn Error + 'static))
}
