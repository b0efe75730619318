//! The one error of tower-http 0.7: a body was silent for too long.

use std::error::Error;

use tower_http::timeout::TimeoutError;

use super::{Cause, Verdict};
use crate::failure::FailureKind;

pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    // In a client's body it stands below the error of a user, and is not seen here.
    cause.find::<TimeoutError>().map(|_| Verdict::new(FailureKind::ConnectionReadTimeout))
}

pub(super) fn is_late(error: &(dyn Error + 'static)) -> bool {
    error.is::<TimeoutError>()
}
