//! Errors of tower's own middleware (feature `tower`): timeout, load shed, buffer and balance.
//!
//! | error | kind | phase |
//! | --- | --- | --- |
//! | `timeout::error::Elapsed` | by the place, see [`timeout_verdict`] | by the place |
//! | `load_shed::error::Overloaded` | connection_limit_reached | readiness |
//! | `buffer::error::Closed` | destination_unavailable | readiness |
//! | `balance::error::Discover`, the discovery timed out | destination_unavailable, blame unknown | readiness |
//! | `balance::error::Discover` otherwise | destination_not_found | readiness |
//! | `buffer::error::ServiceError` | what the error inside is, or destination_unavailable | readiness |
//!
//! Of all of these but the first nothing was sent.

use std::io::ErrorKind;

use tower::{
    balance::error::Discover,
    buffer::error::{Closed, ServiceError},
    load_shed::error::Overloaded,
    timeout::error::Elapsed,
};

use super::{Cause, Verdict, time::timeout_verdict};
use crate::failure::{FailureKind, Phase};

/// The verdict on tower's timeout, wherever it stands in the service.
pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    cause.find::<Elapsed>().map(|_| timeout_verdict(cause))
}

/// The verdict on a call that tower's middleware did not hand over.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let kind = if cause.find::<Overloaded>().is_some() {
        FailureKind::ConnectionLimitReached
    } else if cause.find::<Closed>().is_some() {
        FailureKind::DestinationUnavailable
    } else if cause.find::<Discover>().is_some() {
        if cause.innermost_io().is_some_and(|error| error.kind() == ErrorKind::TimedOut) {
            return Some(timeout_verdict(cause));
        }
        FailureKind::DestinationNotFound
    } else {
        return None;
    };
    Some(Verdict::not_sent(kind, Phase::Readiness))
}

/// Whether a call was not handed over, since a balancer's discovery or the service behind a buffer has failed.
pub(super) fn is_readiness(cause: &Cause<'_>) -> bool {
    is_discovering(cause) || cause.find::<ServiceError>().is_some()
}

/// Whether a balancer was looking for its endpoints: the stream of its discovery failed.
pub(super) fn is_discovering(cause: &Cause<'_>) -> bool {
    cause.find::<Discover>().is_some()
}

/// The verdict on a buffer whose service has failed for good, in a way that no other reader knows. This reader stands behind the others
/// for that reason.
pub(super) fn closed(cause: &Cause<'_>) -> Option<Verdict> {
    cause.find::<ServiceError>()?;
    Some(Verdict::not_sent(FailureKind::DestinationUnavailable, Phase::Readiness))
}
