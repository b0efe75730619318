//! The client's own body, where the error is known to be of it: in the [`RequestBodyTap`](crate::RequestBodyTap), and below an error of
//! hyper for which `is_user` is true.
//!
//! The same error types mean the opposite here of what they mean on the upstream's side: the client is at fault, in the phase of the
//! request body. So the readers of upstreams are not asked, and these functions know no [`Cause`](super::Cause).
//!
//! | error, anywhere in the chain | status |
//! | --- | --- |
//! | a length limit of http-body-util (feature `http-body-util-0_1`) | 413 |
//! | a timeout of tower-http's bodies (features `tower-http-0_6`, `tower-http-0_7`), of tokio or of `std::io` | 408 |
//! | a [`Failure`] that a time limit caused, below an error by which hyper blames the request | 408 |
//! | any other | 400 |

use std::{error::Error, io, time::Duration};

use http::StatusCode;

use super::{cause::whole_chain, own};
use crate::failure::{BoxError, Failure, FailureKind, Parameter, Phase, RetrySafety, TimeLimit};

/// The failure of a request body that broke: 408 if the body was too slow
/// ([RFC 9110, section 15.5.9](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9)), 413 if it was too long
/// ([section 15.5.14](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.14)), 400 otherwise.
///
/// A [`Failure`] in the chain stays what it is: the request body may be the response body of another call, and then the client is not at
/// fault. The tap calls this for the first error of a body. Readers of users are not asked, since they are made for upstreams.
pub(crate) fn upload(error: BoxError) -> Failure {
    // What such a failure says of being sent again is true of the call that it comes from. This call has begun, and a promise taken
    // over from the other would send its request twice.
    if let Some(failure) = own::failure_below(&*error) {
        return failure.with_retry_safety(RetrySafety::Unknown);
    }
    let status = whole_chain(&*error).find_map(status);
    let failure = broken_upload().with_source(error);
    match status {
        Some(status) => failure.with_parameter(Parameter::StatusCode(status)),
        None => failure,
    }
}

/// The failure of a client that has sent nothing for this long while it was waited for: 408. The limit is
/// [`idle_timeout`](crate::RequestBodyTap::idle_timeout) of the tap; the policy puts its own limit and reason in their place where the
/// total limit ran out during an upload.
pub(crate) fn stalled_upload(silence: Duration) -> Failure {
    broken_upload()
        .with_parameter(Parameter::StatusCode(StatusCode::REQUEST_TIMEOUT))
        .with_limit(TimeLimit::Idle)
        .with_elapsed(silence)
        .with_reason(format!("the client sent nothing for {silence:?} (idle_timeout of the tap)"))
}

/// A failure of the client's body, with nothing else known.
fn broken_upload() -> Failure {
    Failure::new(FailureKind::HttpRequestError).with_phase(Phase::RequestBody)
}

/// The status for what this one error, without its sources, says of the client's content; `None` stands for 400.
pub(super) fn status(error: &(dyn Error + 'static)) -> Option<StatusCode> {
    #[cfg(feature = "http-body-util-0_1")]
    if super::http_body_util::is_too_long(error) {
        return Some(StatusCode::PAYLOAD_TOO_LARGE);
    }
    #[cfg(any(feature = "tower-http-0_6", feature = "tower-http-0_7"))]
    if super::tower_http::is_timeout(error) {
        return Some(StatusCode::REQUEST_TIMEOUT);
    }
    is_timeout(error).then_some(StatusCode::REQUEST_TIMEOUT)
}

/// Whether this one error is a time limit that ran out: of tokio, of `std::io`, or of a layer's own.
fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    error.is::<tokio::time::error::Elapsed>()
        || error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        || error.downcast_ref::<Failure>().is_some_and(|failure| failure.limit().is_some())
}
