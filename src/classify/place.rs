//! How far a call had come, by what stands around the error, independent of what the error is.
//!
//! The same `io::Error` means a refused connection, a lost response or a broken body, by the place where it came out. The readers ask
//! this module for the place, and this module asks those that know the wrappers. It never chooses a kind.
//!
//! | question | yes if | asked by |
//! | --- | --- | --- |
//! | [`is_connecting`] | hyper-util's client or connector, reqwest or tonic says so | [`super::io`], [`super::time`], [`defaults`] |
//! | [`is_resolving`] | the connector's error holds one of a resolver | [`super::time`] |
//! | [`is_discovering`] | the error is of a balancer's discovery | [`super::time`] |
//! | [`is_readiness`] | `poll_ready` failed, or a buffer or a balancer's discovery | [`defaults`] |
//! | [`is_body`] | the error came out of a body, or reqwest says so | [`super::io`], [`super::h2`], [`super::time`], [`defaults`] |
//! | [`hides_attempts`] | reqwest or its middleware stands in the chain | [`Verdict::limited_by`] |

use super::{Cause, Verdict};
use crate::failure::{FailureKind, Phase, RetrySafety};
#[cfg(any(feature = "http-body-util-0_1", feature = "tower-http-0_6", feature = "tower-http-0_7"))]
use crate::{context::RequestContent, failure::Blame};

/// A question about an error: one entry for each library that may know the answer. Without any of the features the list is empty, and
/// the answer is no.
type Predicate = fn(&Cause<'_>) -> bool;

/// Whether the connection was being opened, so that nothing was sent.
pub(super) fn is_connecting(cause: &Cause<'_>) -> bool {
    const PREDICATES: &[Predicate] = &[
        #[cfg(feature = "hyper-util")]
        super::hyper_util::is_connecting,
        #[cfg(feature = "reqwest-0_13")]
        super::reqwest::is_connecting,
        #[cfg(feature = "tonic-0_14")]
        super::tonic::is_connecting,
    ];
    // Below an error of hyper the error of a connector is of another call, such as one that the request body was read from. Without this
    // line a request that was sent would count as not sent.
    !is_of_exchange(cause) && PREDICATES.iter().any(|is| is(cause))
}

/// Whether an exchange was under way: an error of hyper with no client around it that knows how far the call had come.
#[cfg(feature = "hyper-util")]
fn is_of_exchange(cause: &Cause<'_>) -> bool {
    cause.hyper().is_some() && cause.client().is_none()
}

/// Without the feature hyper's errors cannot be named.
#[cfg(not(feature = "hyper-util"))]
fn is_of_exchange(_: &Cause<'_>) -> bool {
    false
}

/// Whether the name of the upstream was being looked up. Only a resolver with an error type of its own can be known here.
pub(super) fn is_resolving(cause: &Cause<'_>) -> bool {
    const PREDICATES: &[Predicate] = &[
        #[cfg(feature = "hyper-util")]
        super::hyper_util::is_resolving,
    ];
    PREDICATES.iter().any(|is| is(cause))
}

/// Whether a balancer was looking for its endpoints.
pub(super) fn is_discovering(cause: &Cause<'_>) -> bool {
    const PREDICATES: &[Predicate] = &[
        #[cfg(feature = "tower")]
        super::tower::is_discovering,
    ];
    PREDICATES.iter().any(|is| is(cause))
}

/// Whether the error came before a service had taken the request.
fn is_readiness(cause: &Cause<'_>) -> bool {
    const PREDICATES: &[Predicate] = &[
        #[cfg(feature = "tower")]
        super::tower::is_readiness,
    ];
    cause.seen_in() == Phase::Readiness || PREDICATES.iter().any(|is| is(cause))
}

/// Whether a response body was being read, after its head.
pub(super) fn is_body(cause: &Cause<'_>) -> bool {
    const PREDICATES: &[Predicate] = &[
        #[cfg(feature = "reqwest-0_13")]
        super::reqwest::is_body,
    ];
    cause.seen_in() == Phase::ResponseBody || PREDICATES.iter().any(|is| is(cause))
}

/// The verdict of this kind on a body that reached a limit of another layer.
///
/// If the error came out before there was a response, and the request had content, the service may have been collecting the client's body
/// or the upstream's: the error is the same, so the blame is unknown.
#[cfg(any(feature = "http-body-util-0_1", feature = "tower-http-0_6", feature = "tower-http-0_7"))]
pub(super) fn body_limit_verdict(cause: &Cause<'_>, kind: FailureKind) -> Verdict {
    let may_be_upload = cause.seen_in() == Phase::ResponseHead && cause.content() != RequestContent::Absent;
    let verdict = Verdict::new(kind);
    if may_be_upload { verdict.blame(Blame::Unknown) } else { verdict }
}

/// What the place says of the parts of a verdict that a reader has left open: the phase, and whether the request was sent. The first row
/// that holds counts:
///
/// | place | phase | sent again |
/// | --- | --- | --- |
/// | [`is_connecting`] | connect | not sent |
/// | [`is_readiness`] | readiness | not sent |
/// | [`is_body`] | response_body | open |
/// | hyper-util's client had no connection with HTTP on it, or hyper gave the request back | open | not sent |
/// | any other | open | open |
///
/// The kind, `Unclassified`, is never used: [`Verdict::or`] keeps that of the reader.
pub(super) fn defaults(cause: &Cause<'_>) -> Verdict {
    let verdict = Verdict::new(FailureKind::Unclassified);
    if is_connecting(cause) {
        return verdict.phase(Phase::Connect).retry_safety(RetrySafety::NotSent);
    }
    if is_readiness(cause) {
        return verdict.phase(Phase::Readiness).retry_safety(RetrySafety::NotSent);
    }
    if is_body(cause) {
        return verdict.phase(Phase::ResponseBody);
    }
    #[cfg(feature = "hyper-util")]
    let verdict = super::hyper_util::stage(cause, verdict);
    verdict
}

/// Whether attempts may have been made before the one that failed, of which the error says nothing. Then this crate's verdict promises
/// nothing of sending again.
pub(super) fn hides_attempts(cause: &Cause<'_>) -> bool {
    const PREDICATES: &[Predicate] = &[
        #[cfg(feature = "reqwest-0_13")]
        super::reqwest::is_in_chain,
    ];
    PREDICATES.iter().any(|is| is(cause))
}
