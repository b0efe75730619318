//! `hyper::Error`, by its predicates.

use std::error::Error as _;

use http::StatusCode;
use hyper::Error;

use super::{Cause, Verdict, cause::whole_chain, upload::is_late};
use crate::failure::{FailureKind, Parameter, Phase, RetrySafety};

/// Our request's body failed.
///
/// A connection whose task was aborted or has panicked looks the same: its error is also the user's and has a source that
/// nobody can name. It is blamed on the client as well.
pub(super) fn request_fault(cause: &Cause<'_>) -> Option<Verdict> {
    cause.hyper()?;
    let mut errors = cause.iter().filter_map(|error| error.downcast_ref::<Error>());
    let Some(source) = errors.find(|error| error.is_user())?.source() else {
        return Some(Verdict::new(FailureKind::ProxyInternalError));
    };
    let verdict = Verdict::new(FailureKind::HttpRequestError).phase(Phase::RequestBody);
    Some(if whole_chain(source).any(is_late) {
        verdict.parameter(Parameter::StatusCode(StatusCode::REQUEST_TIMEOUT))
    } else {
        verdict
    })
}

/// HTTP/2 keep-alive found nobody there.
pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    let error = cause.hyper()?;
    error.is_timeout().then(|| Verdict::new(FailureKind::ConnectionReadTimeout))
}

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let error = cause.hyper()?;
    let kind = if error.is_parse_too_large() {
        FailureKind::HttpResponseHeaderSectionSize
    } else if error.is_parse() {
        FailureKind::HttpProtocolError
    } else if error.is_incomplete_message() {
        FailureKind::ConnectionTerminated
    } else if error.is_canceled() || error.is_closed() {
        // Every place in hyper that says so on a request says it before the request was written.
        return Some(Verdict::new(FailureKind::ConnectionTerminated).retry_safety(RetrySafety::NotSent));
    } else if error.source().is_none() {
        // By elimination a message nobody had asked for, such as a banner.
        FailureKind::HttpProtocolError
    } else {
        return None;
    };
    Some(Verdict::new(kind).phase(Phase::ResponseHead))
}
