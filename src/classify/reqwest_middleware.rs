//! `reqwest_middleware::Error` of reqwest-middleware 0.5, which passes over what it holds: its source is the source of that.

use std::error::Error as StdError;

use reqwest_middleware::Error;

use super::Cause;
use crate::failure::Failure;

/// What it holds: reqwest's error, or a middleware's own.
pub(super) fn step<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    Some(match error.downcast_ref()? {
        Error::Reqwest(error) => error,
        Error::Middleware(error) => error.as_ref(),
    })
}

/// A middleware may send again.
pub(super) fn is_around(cause: &Cause<'_>) -> bool {
    cause.find::<Error>().is_some()
}

/// Reads it as [`Failure::from_error`] does, so that a handler can end in `?`.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from_error(error)
    }
}
