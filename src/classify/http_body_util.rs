//! The one error of http-body-util (feature `http-body-util-0_1`): a body was longer than a `Limited` allows.
//!
//! Which body it was decides what is answered.
//!
//! | the body | read by | kind |
//! | --- | --- | --- |
//! | the response, or one that a service collects | [`read`] | http_response_body_size |
//! | the request, below an error of hyper for which `is_user` is true, or in the tap | [`super::upload()`] | http_request_error, 413 |

use std::error::Error;

use http_body_util::LengthLimitError;

use super::{Cause, Verdict, place::body_limit_verdict};
use crate::failure::FailureKind;

/// The verdict on a body that was too long. If it can have been the client's, the blame is unknown.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    // The walk of `Cause` ends at an error of hyper for which `is_user` is true, so the error of a request body that hyper sent is
    // not found here. Without that end the upstream would be blamed for a long upload.
    cause.find::<LengthLimitError>().map(|_| body_limit_verdict(cause, FailureKind::HttpResponseBodySize))
}

/// Whether this one error says that a body was too long; for uploads.
pub(super) fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    error.is::<LengthLimitError>()
}
