//! `hyper::Error`, by its predicates.
//!
//! hyper keeps the kinds of its errors private. What its predicates do not say follows from the errors below, which other
//! readers know, or by elimination. The three readers of this module stand at three places of the order in [`super`]:
//!
//! | reader | errors | before |
//! | --- | --- | --- |
//! | [`request_fault`] | `is_user` | all readers that would blame the upstream for the client |
//! | [`elapsed`] | `is_timeout` | all readers that know only that a connection is gone |
//! | [`read`] | the others | [`super::io`], which knows the same failures less exactly |

use std::{error::Error as StdError, io};

use hyper::Error;

use super::{Cause, Verdict, cause::whole_chain, upload::status};
use crate::{
    context::RequestContent,
    failure::{FailureKind, Parameter, Phase, RetrySafety},
};

/// The verdict on an error for which `is_user` is true: the request body failed, the task of the connection is gone, or the request
/// was one that hyper does not send.
///
/// Without a source the error is of the last sort, such as `Content-Length` beside `Transfer-Encoding` in the request: the gateway's
/// own fault. With a source, see [`broken_request`].
pub(super) fn request_fault(cause: &Cause<'_>) -> Option<Verdict> {
    cause.hyper()?;
    let mut errors = cause.iter().filter_map(|error| error.downcast_ref::<Error>());
    let Some(source) = errors.find(|error| error.is_user())?.source() else {
        return Some(Verdict::new(FailureKind::ProxyInternalError));
    };
    Some(broken_request(cause.content(), Some(source)))
}

/// The verdict where a client library says that the request it was given broke, for this reason if the library has kept one.
///
/// hyper says the same when the task of its connection was aborted or has panicked; the reason then is a text. What is known of the
/// content of the request tells the two apart. The first row that fits is the verdict:
///
/// | content | reason | kind |
/// | --- | --- | --- |
/// | absent | any | proxy_internal_error: the client cannot have failed a body that it did not send |
/// | any other | one that has a status: too long or too slow | http_request_error, 413 or 408 |
/// | intact | none of `std::io` | proxy_internal_error: the client has sent all that was asked for |
/// | intact | one of `std::io` | http_request_error |
/// | unwatched | any | http_request_error |
pub(super) fn broken_request(content: RequestContent, reason: Option<&(dyn StdError + 'static)>) -> Verdict {
    let reasons = || reason.into_iter().flat_map(whole_chain);
    let gateways_fault = Verdict::new(FailureKind::ProxyInternalError);
    let clients_fault = Verdict::new(FailureKind::HttpRequestError).phase(Phase::RequestBody);
    match (content, reasons().find_map(status)) {
        (RequestContent::Absent, _) => gateways_fault,
        (_, Some(status)) => clients_fault.parameter(Parameter::StatusCode(status)),
        // A body between the tap and hyper, such as a decoder, may find the content broken where the tap saw it whole. It says so by
        // an `io::Error`; the error of a task that is gone is never one.
        (RequestContent::Intact, None) if !reasons().any(|error| error.is::<io::Error>()) => gateways_fault,
        (RequestContent::Intact | RequestContent::Unwatched, None) => clients_fault,
    }
}

/// The verdict on an HTTP/2 keep-alive that was not answered in time: a connection_read_timeout.
///
/// To gRPC this is a lost connection and not a deadline that has run out
/// ([gRPC](https://github.com/grpc/grpc/blob/master/doc/keepalive.md)), so the code is not the kind's.
pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    let error = cause.hyper()?;
    error.is_timeout().then(|| Verdict::new(FailureKind::ConnectionReadTimeout).grpc_code(UNAVAILABLE))
}

/// The verdict on an error of the exchange, which stands in the phase of the response head; where the error came out of a body
/// [`Verdict::limited_by`] takes the phase back.
///
/// | predicate, the first one that holds | kind |
/// | --- | --- |
/// | `is_parse_too_large` | http_response_header_section_size |
/// | `is_parse` | http_protocol_error |
/// | `is_incomplete_message` | connection_terminated |
/// | `is_canceled`, `is_closed` | connection_terminated, not sent |
/// | none, and no source | http_protocol_error |
/// | none, and a source | left to the reader that knows the source |
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let error = cause.hyper()?;
    let kind = if error.is_parse_too_large() {
        FailureKind::HttpResponseHeaderSectionSize
    } else if error.is_parse() {
        FailureKind::HttpProtocolError
    } else if error.is_incomplete_message() {
        FailureKind::ConnectionTerminated
    } else if error.is_canceled() || error.is_closed() {
        // Every place in hyper that makes one of these for a request makes it before the request was written. Without the retry
        // safety no retry policy could send again a request that met a connection closed while idle.
        return Some(Verdict::new(FailureKind::ConnectionTerminated).retry_safety(RetrySafety::NotSent));
    } else if error.source().is_none() {
        // By elimination bytes that came while no request was under way, such as a banner: there is no predicate for them.
        FailureKind::HttpProtocolError
    } else {
        return None;
    };
    Some(Verdict::new(kind).phase(Phase::ResponseHead))
}

/// gRPC's `UNAVAILABLE` ([status codes](https://grpc.io/docs/guides/status-codes/)).
const UNAVAILABLE: u8 = 14;
