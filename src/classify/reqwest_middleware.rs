//! `reqwest_middleware::Error` of reqwest-middleware 0.5, which stands in the place of reqwest's: that one is no source of it.

use std::error::Error as StdError;

use reqwest_middleware::Error;

use super::Cause;
use crate::failure::Failure;

/// reqwest's error, where this is one of its client and none of somebody's middleware.
pub(super) fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a reqwest::Error> {
    match error.downcast_ref()? {
        Error::Reqwest(error) => Some(error),
        Error::Middleware(_) => None,
    }
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
