//! The head of a response to a gRPC call: whether it is gRPC at all, and whether its status is there or still to come.
//!
//! A client that gets a page of HTML reads its first byte as a compression flag. So what is no gRPC is answered in its place, with the code
//! that says what to do about it.
//!
//! | HTTP status | `Content-Type` | `grpc-status` | what becomes of it |
//! | --- | --- | --- | --- |
//! | any | any | 1 to 16 | forwarded as Trailers-Only, the other two mended |
//! | 200 | gRPC | 0 | forwarded; what content comes has to end in a status all the same |
//! | 200 | gRPC | none | forwarded, the status has to follow; a failure if there is no body |
//! | 200 | gRPC | no single number | [`HttpProtocolError`](FailureKind::HttpProtocolError), INTERNAL |
//! | 200 | another, or none | none, 0, or no single number | the same |
//! | another | any | none, 0, or no single number | [`ReceivedStatus`](FailureKind::ReceivedStatus), by the status |

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, TRAILER},
};

use super::{
    GRPC_STATUS, MEDIA_TYPE,
    trailers::{NoStatus, mend_message, no_status, read_status},
};
use crate::{
    failure::{Failure, FailureKind},
    fields::{has_grpc_content, list, retry_after},
};

/// What an accepted head means for the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Head {
    /// The status is in the head, and nothing of the body is needed.
    TrailersOnly,
    /// The call has succeeded, as the head says already. Content has to end in a status all the same.
    Succeeded { is_announced: bool },
    /// The status comes in the trailers. `is_announced`: a `Trailer` field says so.
    StatusFollows { is_announced: bool },
}

/// Judges the head of a response to a gRPC call. `has_body`: the body has not ended yet.
///
/// # Errors
///
/// The failure to answer in its place.
pub(crate) fn judge(status: &mut StatusCode, fields: &mut HeaderMap, has_body: bool) -> Result<Head, Failure> {
    let is_of_grpc = *status == StatusCode::OK && has_grpc_content(fields);
    match read_status(fields) {
        Some(Ok(1..)) => {
            mend(status, fields);
            Ok(Head::TrailersOnly)
        }
        Some(Ok(_)) if is_of_grpc => Ok(Head::Succeeded { is_announced: announces_status(fields) }),
        None if is_of_grpc && has_body => Ok(Head::StatusFollows { is_announced: announces_status(fields) }),
        None if is_of_grpc => Err(no_status("a head without a body, and without a grpc-status")),
        Some(Err(NoStatus)) if is_of_grpc => Err(no_status("grpc-status is no single number from 0 to 16")),
        _ if *status == StatusCode::OK => Err(no_status("a response that is no gRPC, by its Content-Type")),
        _ => Err(not_grpc(*status, fields)),
    }
}

/// Makes a Trailers-Only response of a head that has a status, with any other fields.
fn mend(status: &mut StatusCode, fields: &mut HeaderMap) {
    *status = StatusCode::OK;
    if !has_grpc_content(fields) {
        fields.insert(CONTENT_TYPE, MEDIA_TYPE);
    }
    // The body does not go out: over HTTP/2 the length would contradict the one HEADERS frame.
    if fields.contains_key(CONTENT_LENGTH) {
        fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    mend_message(fields);
}

/// The answer of a hop on the path that does not speak gRPC, such as a proxy. Its `Retry-After` is kept for the caller.
fn not_grpc(status: StatusCode, fields: &HeaderMap) -> Failure {
    let failure = Failure::new(FailureKind::ReceivedStatus)
        .with_upstream_status(status)
        .with_reason(format!("status {} to a gRPC call, without a grpc-status", status.as_u16()));
    match retry_after(fields) {
        Some(delay) => failure.with_retry_after(delay),
        None => failure,
    }
}

/// Whether `Trailer` names the status: hyper's HTTP/1 server sends no trailer that is not announced.
fn announces_status(fields: &HeaderMap) -> bool {
    list(fields, TRAILER).any(|name| name.eq_ignore_ascii_case(GRPC_STATUS.as_str().as_bytes()))
}
