//! `h2::Error`: who ended the stream or the connection, and why.

use h2::{Error, Reason};

use super::{Cause, Verdict, hyper::fault, stage::is_body};
use crate::{
    context::RequestContent,
    failure::{Blame, FailureKind, RetrySafety},
};

/// A stream that our side ended by the body's will: the request body failed, its error is lost.
pub(super) fn request_fault(cause: &Cause<'_>) -> Option<Verdict> {
    let error = cause.h2()?;
    let ours = error.is_reset() && !error.is_remote() && !error.is_library();
    ours.then(|| match cause.content() {
        // Something between the tap and the client failed it, of which nothing is left: a limit on the client's content, mostly.
        RequestContent::Sound => fault(RequestContent::Unwatched, None).blame(Blame::Unknown),
        content => fault(content, None),
    })
}

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

fn ended_head(error: &Error) -> Verdict {
    match error.reason() {
        Some(Reason::REFUSED_STREAM) => {
            Verdict::new(FailureKind::DestinationUnavailable).retry_safety(RetrySafety::NotProcessed)
        }
        Some(Reason::ENHANCE_YOUR_CALM) => Verdict::new(FailureKind::ConnectionLimitReached),
        Some(Reason::PROTOCOL_ERROR | Reason::HTTP_1_1_REQUIRED) => Verdict::new(FailureKind::HttpProtocolError),
        // A graceful GOAWAY is reported for the streams above its last one only (RFC 9113, section 6.8).
        Some(Reason::NO_ERROR) if error.is_go_away() => {
            Verdict::new(FailureKind::DestinationUnavailable).retry_safety(RetrySafety::NotProcessed)
        }
        _ => Verdict::new(FailureKind::ConnectionTerminated),
    }
}

fn ended_body(error: &Error) -> Verdict {
    Verdict::new(if error.is_reset() { FailureKind::HttpResponseIncomplete } else { FailureKind::ConnectionTerminated })
}
