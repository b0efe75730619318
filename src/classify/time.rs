//! Errors of tokio's timers, and what is late at all.

use tokio::time::error::Elapsed;

use super::{
    Cause, Verdict,
    stage::{is_body, is_connecting, is_discovering, is_resolving},
};
use crate::failure::{Blame, FailureKind, Phase};

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    cause.find::<Elapsed>().map(|_| late(cause))
}

/// A limit ran out that somebody else had set: what it was for follows from where it stands.
pub(super) fn late(cause: &Cause<'_>) -> Verdict {
    // Whom a service waits for that is not ready, nothing tells.
    let not_ready = || Verdict::not_sent(FailureKind::DestinationUnavailable, Phase::Readiness).blame(Blame::Unknown);
    if is_discovering(cause) {
        return not_ready();
    }
    if is_resolving(cause) {
        return Verdict::not_sent(FailureKind::DnsTimeout, Phase::Resolve);
    }
    if is_connecting(cause) {
        return Verdict::not_sent(FailureKind::ConnectionTimeout, Phase::Connect);
    }
    if cause.seen_in() == Phase::Readiness {
        return not_ready();
    }
    Verdict::new(if is_body(cause) { FailureKind::ConnectionReadTimeout } else { FailureKind::HttpResponseTimeout })
}
