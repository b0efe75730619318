//! Errors of tokio's timers.

use tokio::time::error::Elapsed;

use super::{Cause, Verdict};
use crate::failure::{FailureKind, Phase};

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    cause.find::<Elapsed>().map(|_| late(cause))
}

/// A limit ran out that somebody else had set: what it was for follows from where it stands.
pub(super) fn late(cause: &Cause<'_>) -> Verdict {
    if is_resolving(cause) {
        return Verdict::not_sent(FailureKind::DnsTimeout, Phase::Resolve);
    }
    if is_connecting(cause) {
        return Verdict::not_sent(FailureKind::ConnectionTimeout, Phase::Connect);
    }
    match cause.seen_in() {
        Phase::Readiness => Verdict::new(FailureKind::DestinationUnavailable),
        Phase::ResponseBody => Verdict::new(FailureKind::ConnectionReadTimeout),
        _ => Verdict::new(FailureKind::HttpResponseTimeout),
    }
}

#[cfg(feature = "hyper-util")]
pub(super) use super::hyper_util::{is_connecting, is_resolving};

#[cfg(not(feature = "hyper-util"))]
pub(super) fn is_connecting(_: &Cause<'_>) -> bool {
    false
}

#[cfg(not(feature = "hyper-util"))]
fn is_resolving(_: &Cause<'_>) -> bool {
    false
}
