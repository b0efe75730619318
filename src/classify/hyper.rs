//! `hyper::Error`, by its predicates.

use std::{error::Error as StdError, io};

use hyper::Error;

use super::{Cause, Verdict, cause::whole_chain, upload::status};
use crate::{
    context::RequestContent,
    failure::{FailureKind, Parameter, Phase, RetrySafety},
};

/// Our request's body failed, or the task of the connection is gone.
pub(super) fn request_fault(cause: &Cause<'_>) -> Option<Verdict> {
    cause.hyper()?;
    let mut errors = cause.iter().filter_map(|error| error.downcast_ref::<Error>());
    let Some(source) = errors.find(|error| error.is_user())?.source() else {
        return Some(Verdict::new(FailureKind::ProxyInternalError));
    };
    Some(fault(cause.content(), Some(source)))
}

/// A client library says that the request it was given broke, for this reason if it has kept one.
///
/// It says the same when the task of its connection was aborted or has panicked; its reason then is of a type that nobody can
/// name.
pub(super) fn fault(content: RequestContent, reason: Option<&(dyn StdError + 'static)>) -> Verdict {
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

/// HTTP/2 keep-alive found nobody there: to gRPC a connection that is lost, and no deadline that has passed
/// ([gRPC](https://github.com/grpc/grpc/blob/master/doc/keepalive.md)).
pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    let error = cause.hyper()?;
    error.is_timeout().then(|| Verdict::new(FailureKind::ConnectionReadTimeout).grpc_code(UNAVAILABLE))
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

const UNAVAILABLE: u8 = 14;
