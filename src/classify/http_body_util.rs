//! The one error of http-body-util 0.1: a body was longer than somebody had allowed.

use std::error::Error;

use http_body_util::LengthLimitError;

use super::{Cause, Verdict};
use crate::failure::FailureKind;

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    // In a client's body it stands below the error of a user, and is not seen here.
    cause.find::<LengthLimitError>().map(|_| Verdict::new(FailureKind::HttpResponseBodySize))
}

pub(super) fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    error.is::<LengthLimitError>()
}
