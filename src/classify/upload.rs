//! The client's own body, where it is known to be the client's.

use std::{error::Error, io, time::Duration};

use http::StatusCode;

use super::{cause::whole_chain, own};
use crate::failure::{BoxError, Failure, FailureKind, Parameter, Phase, RetrySafety, TimeLimit};

/// The body of a request broke: 408 if it was too slow
/// ([RFC 9110, section 15.5.9](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9)), 413 if it was too long
/// ([section 15.5.14](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.14)), 400 otherwise. A [`Failure`] is what it says: it may
/// come from another gateway's body, and then it is not the client's.
///
/// Users' readers are not asked: they know upstreams, and the same errors mean something else there.
pub(crate) fn upload(error: BoxError) -> Failure {
    // Bodies wrap each other's errors. What such a failure says of being sent again is true of the call it comes from, not of this
    // one, which has begun.
    if let Some(failure) = own::failure_below(&*error) {
        return failure.with_retry_safety(RetrySafety::Unknown);
    }
    let status = whole_chain(&*error).find_map(status);
    let failure = broken().with_source(error);
    match status {
        Some(status) => failure.with_parameter(Parameter::StatusCode(status)),
        None => failure,
    }
}

/// The client has sent nothing for this long.
pub(crate) fn stalled_upload(silence: Duration) -> Failure {
    broken()
        .with_parameter(Parameter::StatusCode(StatusCode::REQUEST_TIMEOUT))
        .with_limit(TimeLimit::Idle)
        .with_elapsed(silence)
        .with_reason(format!("the client sent nothing for {silence:?} (idle_timeout of the tap)"))
}

fn broken() -> Failure {
    Failure::new(FailureKind::HttpRequestError).with_phase(Phase::RequestBody)
}

/// The status for what an error says of the client's content, if it is not 400.
pub(super) fn status(error: &(dyn Error + 'static)) -> Option<StatusCode> {
    #[cfg(feature = "http-body-util-0_1")]
    if super::http_body_util::is_too_long(error) {
        return Some(StatusCode::PAYLOAD_TOO_LARGE);
    }
    #[cfg(any(feature = "tower-http-0_6", feature = "tower-http-0_7"))]
    if super::tower_http::is_late(error) {
        return Some(StatusCode::REQUEST_TIMEOUT);
    }
    is_late(error).then_some(StatusCode::REQUEST_TIMEOUT)
}

fn is_late(error: &(dyn Error + 'static)) -> bool {
    error.is::<tokio::time::error::Elapsed>()
        || error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        || error.downcast_ref::<Failure>().is_some_and(|failure| failure.limit().is_some())
}
