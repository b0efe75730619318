//! The one error of tower-http (features `tower-http-0_6` and `tower-http-0_7`): a body was silent for longer than its `TimeoutBody` waits.
//!
//! | the body | read by | kind |
//! | --- | --- | --- |
//! | the response, or one that a service collects | [`elapsed`] | connection_read_timeout |
//! | the request, below an error of hyper for which `is_user` is true, or in the tap | [`super::upload()`] | http_request_error, 408 |
//!
//! tower-http's `TimeoutLayer` answers by itself and has no error: its answer is a response, and is forwarded.

use std::error::Error;

use super::{Cause, Verdict, place::body_limit_verdict};
use crate::failure::FailureKind;

/// The verdict on a body that was silent for too long. If it can have been the client's, the blame is unknown.
pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    // The walk of `Cause` ends at an error of hyper for which `is_user` is true, so the error of a request body that hyper sent is
    // not found here. Without that end the upstream would be blamed for a slow upload.
    cause.iter().any(is_timeout).then(|| body_limit_verdict(cause, FailureKind::ConnectionReadTimeout))
}

/// Whether this one error says that a body was silent for too long, in any version that is read.
pub(super) fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    const PREDICATES: &[fn(&(dyn Error + 'static)) -> bool] = &[
        #[cfg(feature = "tower-http-0_6")]
        |error| error.is::<tower_http_0_6::timeout::TimeoutError>(),
        #[cfg(feature = "tower-http-0_7")]
        |error| error.is::<tower_http::timeout::TimeoutError>(),
    ];
    PREDICATES.iter().any(|is| is(error))
}
