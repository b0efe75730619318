//! The client's own body, where it is known to be the client's.

use std::{error::Error, io};

use http::StatusCode;

use super::{Verdict, cause::whole_chain, own};
use crate::{
    context::RequestContent,
    failure::{BoxError, Failure, FailureKind, Parameter, Phase, TimeLimit},
};

/// The body of a request broke: 408 if it was too slow
/// ([RFC 9110, section 15.5.9](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9)), 413 if it was too long
/// ([section 15.5.14](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.14)), 400 otherwise. A [`Failure`] is what it says: it may
/// come from another gateway's body, and then it is not the client's.
///
/// Users' readers are not asked: they know upstreams, and the same errors mean something else there.
pub(crate) fn upload(error: BoxError) -> Failure {
    // Bodies wrap each other's errors.
    if let Some(failure) = own::below(&*error) {
        return failure;
    }
    let status = whole_chain(&*error).find_map(status);
    let failure = broken().with_source(error);
    match status {
        Some(status) => failure.with_parameter(Parameter::StatusCode(status)),
        None => failure,
    }
}

/// The client has sent nothing for too long.
pub(crate) fn stalled_upload() -> Failure {
    broken().with_parameter(Parameter::StatusCode(StatusCode::REQUEST_TIMEOUT)).with_limit(TimeLimit::Idle)
}

fn broken() -> Failure {
    Failure::new(FailureKind::HttpRequestError).with_phase(Phase::RequestBody)
}

/// A client library says that the request it was given broke, for this reason if it has kept one.
///
/// It says the same when the task of its connection was aborted or has panicked; its reason then is of a type that nobody can
/// name.
#[cfg(feature = "hyper-util")]
pub(super) fn fault(content: RequestContent, reason: Option<&(dyn Error + 'static)>) -> Verdict {
    let reasons = || reason.into_iter().flat_map(whole_chain);
    let ours = Verdict::new(FailureKind::ProxyInternalError);
    let theirs = Verdict::new(FailureKind::HttpRequestError).phase(Phase::RequestBody);
    match (content, reasons().find_map(status)) {
        (RequestContent::Absent, _) => ours,
        (_, Some(status)) => theirs.parameter(Parameter::StatusCode(status)),
        // What reads the content further in may find it broken where the tap saw it whole, as a decoder does.
        (RequestContent::Sound, None) if !reasons().any(|error| error.is::<io::Error>()) => ours,
        (RequestContent::Sound | RequestContent::Unwatched, None) => theirs,
    }
}

/// The status for what an error says of the client's content, if it is not 400.
fn status(error: &(dyn Error + 'static)) -> Option<StatusCode> {
    is_late(error).then_some(StatusCode::REQUEST_TIMEOUT)
}

fn is_late(error: &(dyn Error + 'static)) -> bool {
    error.is::<tokio::time::error::Elapsed>()
        || error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        || error.downcast_ref::<Failure>().is_some_and(|failure| failure.limit().is_some())
}
