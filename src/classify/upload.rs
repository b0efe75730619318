//! The client's own body, where it is known to be the client's.

use std::io;

use http::StatusCode;

use super::{Cause, cause::whole_chain, own};
use crate::failure::{BoxError, Failure, FailureKind, Parameter, Phase, TimeLimit};

/// The body of a request broke: 408 if it was too slow, 400 otherwise
/// ([RFC 9110, section 15.5.9](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9)). A [`Failure`] is what it says: it may come
/// from another gateway's body, and then it is not the client's.
///
/// Users' readers are not asked: they know upstreams, and the same errors mean something else there.
pub(crate) fn upload(error: BoxError) -> Failure {
    // Bodies wrap each other's errors.
    if let Some(failure) = own::among(&Cause::new(&*error, Phase::RequestBody)) {
        return failure;
    }
    let late = whole_chain(&*error).any(is_late);
    let failure = broken().with_source(error);
    if late { failure.with_parameter(Parameter::StatusCode(StatusCode::REQUEST_TIMEOUT)) } else { failure }
}

/// The client has sent nothing for too long.
pub(crate) fn stalled_upload() -> Failure {
    broken().with_parameter(Parameter::StatusCode(StatusCode::REQUEST_TIMEOUT)).with_limit(TimeLimit::Idle)
}

fn broken() -> Failure {
    Failure::new(FailureKind::HttpRequestError).with_phase(Phase::RequestBody)
}

pub(super) fn is_late(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<tokio::time::error::Elapsed>()
        || error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        || error.downcast_ref::<Failure>().is_some_and(|failure| failure.limit().is_some())
}
