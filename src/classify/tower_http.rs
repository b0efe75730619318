//! The one error of tower-http, in each version that is read: a body was silent for too long.

use std::error::Error;

use super::{Cause, Verdict, stage::of_a_body};
use crate::failure::FailureKind;

pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    // In a client's body it stands below the error of a user, and is not seen here.
    cause.iter().any(is_late).then(|| of_a_body(cause, FailureKind::ConnectionReadTimeout))
}

pub(super) fn is_late(error: &(dyn Error + 'static)) -> bool {
    const ASKED: &[fn(&(dyn Error + 'static)) -> bool] = &[
        #[cfg(feature = "tower-http-0_6")]
        |error| error.is::<tower_http_0_6::timeout::TimeoutError>(),
        #[cfg(feature = "tower-http-0_7")]
        |error| error.is::<tower_http::timeout::TimeoutError>(),
    ];
    ASKED.iter().any(|is| is(error))
}
