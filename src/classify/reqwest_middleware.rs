//! `reqwest_middleware::Error` (feature `reqwest-middleware-0_5`).
//!
//! Its `source()` is the source *of* the error that it holds, so the held error, often reqwest's own, would be skipped by a plain walk.
//! This module hands that error to the walk, and tells [`super::reqwest`] that a middleware is involved. There is nothing else to read:
//! the type says nothing of its own.

use std::error::Error as StdError;

use reqwest_middleware::Error;

use super::Cause;
use crate::failure::Failure;

/// The error inside: reqwest's, or one of a middleware.
pub(super) fn hidden_source<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    Some(match error.downcast_ref()? {
        Error::Reqwest(error) => error,
        Error::Middleware(error) => error.as_ref(),
    })
}

/// Whether such an error stands in the chain. A middleware may send a request again, and its error does not say so.
pub(super) fn is_in_chain(cause: &Cause<'_>) -> bool {
    cause.find::<Error>().is_some()
}

/// Reads the error as [`Failure::from_error`] does, so that a handler can end in `?`.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from_error(error)
    }
}
