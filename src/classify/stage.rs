//! How far a call had come, by what stands around the error, whatever the error is.

use super::{Cause, Verdict};
use crate::failure::{FailureKind, Phase, RetrySafety};
#[cfg(any(feature = "http-body-util-0_1", feature = "tower-http-0_6", feature = "tower-http-0_7"))]
use crate::{context::RequestContent, failure::Blame};

type Question = fn(&Cause<'_>) -> bool;

/// While the connection was opened, so that nothing was sent.
pub(super) fn is_connecting(cause: &Cause<'_>) -> bool {
    const ASKED: &[Question] = &[
        #[cfg(feature = "hyper-util")]
        super::hyper_util::is_connecting,
        #[cfg(feature = "reqwest-0_13")]
        super::reqwest::is_connecting,
        #[cfg(feature = "tonic-0_14")]
        super::tonic::is_connecting,
    ];
    // Below an error of an exchange it is somebody else's connection.
    !is_of_exchange(cause) && ASKED.iter().any(|is| is(cause))
}

/// An error of hyper's with no client around it that knows better.
#[cfg(feature = "hyper-util")]
fn is_of_exchange(cause: &Cause<'_>) -> bool {
    cause.hyper().is_some() && cause.client().is_none()
}

#[cfg(not(feature = "hyper-util"))]
fn is_of_exchange(_: &Cause<'_>) -> bool {
    false
}

/// While the name was looked up.
pub(super) fn is_resolving(cause: &Cause<'_>) -> bool {
    const ASKED: &[Question] = &[
        #[cfg(feature = "hyper-util")]
        super::hyper_util::is_resolving,
    ];
    ASKED.iter().any(|is| is(cause))
}

/// While endpoints were looked for.
pub(super) fn is_discovering(cause: &Cause<'_>) -> bool {
    const ASKED: &[Question] = &[
        #[cfg(feature = "tower")]
        super::tower::is_discovering,
    ];
    ASKED.iter().any(|is| is(cause))
}

/// Before a service had taken the request.
fn is_readiness(cause: &Cause<'_>) -> bool {
    const ASKED: &[Question] = &[
        #[cfg(feature = "tower")]
        super::tower::is_readiness,
    ];
    cause.seen_in() == Phase::Readiness || ASKED.iter().any(|is| is(cause))
}

/// While a response body was read, after its head.
pub(super) fn is_body(cause: &Cause<'_>) -> bool {
    const ASKED: &[Question] = &[
        #[cfg(feature = "reqwest-0_13")]
        super::reqwest::is_body,
    ];
    cause.seen_in() == Phase::ResponseBody || ASKED.iter().any(|is| is(cause))
}

/// A body was read before there was a response: the service may have collected the client's, or the upstream's.
#[cfg(any(feature = "http-body-util-0_1", feature = "tower-http-0_6", feature = "tower-http-0_7"))]
pub(super) fn of_a_body(cause: &Cause<'_>, kind: FailureKind) -> Verdict {
    let may_be_upload = cause.seen_in() == Phase::ResponseHead && cause.content() != RequestContent::Absent;
    let verdict = Verdict::new(kind);
    if may_be_upload { verdict.blame(Blame::Unknown) } else { verdict }
}

/// What follows for the parts of a verdict that the error itself leaves open.
pub(super) fn context(cause: &Cause<'_>) -> Verdict {
    let around = Verdict::new(FailureKind::Unclassified);
    if is_connecting(cause) {
        return around.phase(Phase::Connect).retry_safety(RetrySafety::NotSent);
    }
    if is_readiness(cause) {
        return around.phase(Phase::Readiness).retry_safety(RetrySafety::NotSent);
    }
    if is_body(cause) {
        return around.phase(Phase::ResponseBody);
    }
    #[cfg(feature = "hyper-util")]
    let around = super::hyper_util::stage(cause, around);
    around
}

/// What takes back a verdict: the attempts before the one that failed are not in the error.
pub(super) fn hides_attempts(cause: &Cause<'_>) -> bool {
    const ASKED: &[Question] = &[
        #[cfg(feature = "reqwest-0_13")]
        super::reqwest::is_around,
    ];
    ASKED.iter().any(|is| is(cause))
}
