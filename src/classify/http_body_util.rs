//! The one error of http-body-util 0.1: a body was longer than somebody had allowed.

use std::error::Error;

use http_body_util::LengthLimitError;

use super::{Cause, Verdict, stage::of_a_body};
use crate::failure::FailureKind;

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    // In a client's body it stands below the error of a user, and is not seen here.
    cause.find::<LengthLimitError>().map(|_| of_a_body(cause, FailureKind::HttpResponseBodySize))
}

pub(super) fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    error.is::<LengthLimitError>()
}
