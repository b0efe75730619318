//! `h2::Error`: who ended the stream or the connection, and why.
//!
//! An error of h2 is one of these, by its predicates; which is asked first matters, since a reset and a GOAWAY can come from
//! either side.
//!
//! | the error | who | read by |
//! | --- | --- | --- |
//! | `is_io` | the socket | [`super::io`], by the `io::Error` inside |
//! | `is_reset`, neither `is_remote` nor `is_library` | our own client, since the request body failed | [`request_fault`] |
//! | `is_library` | h2, which found the upstream breaking the protocol | [`read`] |
//! | `is_remote` | the upstream, by RST_STREAM or GOAWAY | [`read`], by the reason |
//! | any other | the code that uses h2 | no reader of this module |
//!
//! The codes are those of [RFC 9113, section 7](https://www.rfc-editor.org/rfc/rfc9113#section-7).

use h2::{Error, Reason};

use super::{Cause, Verdict, hyper::broken_request, place::is_body};
use crate::{
    context::RequestContent,
    failure::{Blame, FailureKind, RetrySafety},
};

/// The verdict on a stream that our own client reset: the request body failed. hyper does not keep the error of the body.
///
/// What the verdict says follows from what is known of the content of the request; see [`broken_request`].
pub(super) fn request_fault(cause: &Cause<'_>) -> Option<Verdict> {
    let error = cause.h2()?;
    let is_own_reset = error.is_reset() && !error.is_remote() && !error.is_library();
    is_own_reset.then(|| match cause.content() {
        // The tap saw the content whole, so a body between the tap and the client failed, mostly by a limit on the client's
        // content. That may be a setting of the gateway: blaming the client alone would claim more than is known.
        RequestContent::Intact => broken_request(RequestContent::Unwatched, None).blame(Blame::Unknown),
        content => broken_request(content, None),
    })
}

/// The verdict on a stream or a connection that was not ended by our own client.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let error = cause.h2()?;
    if error.is_io() {
        return None;
    }
    if error.is_library() {
        return Some(Verdict::new(FailureKind::HttpProtocolError));
    }
    if !error.is_remote() {
        return None;
    }
    Some(if is_body(cause) { ended_body(error) } else { ended_head(error) })
}

/// The verdict where the response head was still waited for, by the code that the upstream sent.
///
/// | code | kind | sent again |
/// | --- | --- | --- |
/// | `REFUSED_STREAM` | destination_unavailable | not processed |
/// | `NO_ERROR` in a GOAWAY | destination_unavailable | not processed |
/// | `ENHANCE_YOUR_CALM` | connection_limit_reached | open |
/// | `PROTOCOL_ERROR`, `HTTP_1_1_REQUIRED` | http_protocol_error | open |
/// | any other | connection_terminated | open |
///
/// That a refused stream was not processed is a promise of
/// [RFC 9113, section 8.7](https://www.rfc-editor.org/rfc/rfc9113#section-8.7).
fn ended_head(error: &Error) -> Verdict {
    match error.reason() {
        Some(Reason::REFUSED_STREAM) => {
            Verdict::new(FailureKind::DestinationUnavailable).retry_safety(RetrySafety::NotProcessed)
        }
        Some(Reason::ENHANCE_YOUR_CALM) => Verdict::new(FailureKind::ConnectionLimitReached),
        // For gRPC a reset is a call that may succeed elsewhere, by any code.
        Some(Reason::PROTOCOL_ERROR | Reason::HTTP_1_1_REQUIRED) => {
            Verdict::new(FailureKind::HttpProtocolError).grpc_code(UNAVAILABLE)
        }
        // h2 reports a graceful GOAWAY only for the streams above the last one that it names, and these were not processed
        // (RFC 9113, section 6.8). A RST_STREAM with NO_ERROR proves nothing of the kind.
        Some(Reason::NO_ERROR) if error.is_go_away() => {
            Verdict::new(FailureKind::DestinationUnavailable).retry_safety(RetrySafety::NotProcessed)
        }
        _ => Verdict::new(FailureKind::ConnectionTerminated),
    }
}

/// The verdict where the head had come, which does not depend on the code: a reset ends this response, a GOAWAY the whole connection.
fn ended_body(error: &Error) -> Verdict {
    Verdict::new(if error.is_reset() { FailureKind::HttpResponseIncomplete } else { FailureKind::ConnectionTerminated })
}

/// The gRPC code of a call that may be made again elsewhere.
const UNAVAILABLE: u8 = 14;
