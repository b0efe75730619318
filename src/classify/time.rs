//! Errors of tokio's timers, and the verdict on any time limit that is not the layer's own.
//!
//! The limits of the layer are no errors and never come here: the layer knows which one ran out, and makes the failure itself. A limit of
//! other code says only that it ran out, so what it was for follows from where its error stands. The readers of tower, reqwest, tonic
//! and `std::io` share this verdict.

use tokio::time::error::Elapsed;

use super::{
    Cause, Verdict,
    place::{is_body, is_connecting, is_discovering, is_resolving},
};
use crate::failure::{Blame, FailureKind, Phase};

/// The verdict on `tokio::time::timeout`, wherever it stands in the service.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    cause.find::<Elapsed>().map(|_| timeout_verdict(cause))
}

/// The verdict on a time limit that other code had set. The first row that holds counts:
///
/// | place | kind | sent again |
/// | --- | --- | --- |
/// | a balancer was looking for its endpoints | destination_unavailable, blame unknown | not sent |
/// | the name was being looked up | dns_timeout | not sent |
/// | the connection was being opened | connection_timeout | not sent |
/// | `poll_ready` failed | destination_unavailable, blame unknown | not sent |
/// | a response body | connection_read_timeout | open |
/// | any other | http_response_timeout | open |
///
/// The failure has no [`limit`](crate::Failure::limit): that names limits of the layer alone.
pub(super) fn timeout_verdict(cause: &Cause<'_>) -> Verdict {
    // A service that is not ready may wait for its upstream or for itself, such as for a permit. The error does not tell, and the
    // upstream must not be blamed for a limit of the gateway.
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
