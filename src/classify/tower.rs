//! Errors of tower's own middleware.

use std::io::ErrorKind;

use tower::{
    balance::error::Discover,
    buffer::error::{Closed, ServiceError},
    load_shed::error::Overloaded,
    timeout::error::Elapsed,
};

use super::{Cause, Verdict, io, time::late};
use crate::failure::{FailureKind, Phase};

pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    cause.find::<Elapsed>().map(|_| late(cause))
}

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let kind = if cause.find::<Overloaded>().is_some() {
        FailureKind::ConnectionLimitReached
    } else if cause.find::<Closed>().is_some() {
        FailureKind::DestinationUnavailable
    } else if cause.find::<Discover>().is_some() {
        if io::innermost(cause).is_some_and(|error| error.kind() == ErrorKind::TimedOut) {
            return Some(late(cause));
        }
        FailureKind::DestinationNotFound
    } else {
        return None;
    };
    Some(Verdict::not_sent(kind, Phase::Readiness))
}

/// What a buffer and a balancer tell of has failed before a call was handed over.
pub(super) fn is_readiness(cause: &Cause<'_>) -> bool {
    is_discovering(cause) || cause.find::<ServiceError>().is_some()
}

pub(super) fn is_discovering(cause: &Cause<'_>) -> bool {
    cause.find::<Discover>().is_some()
}

/// The service behind a buffer has failed for good, in a way that no other reader knows.
pub(super) fn closed(cause: &Cause<'_>) -> Option<Verdict> {
    cause.find::<ServiceError>()?;
    Some(Verdict::not_sent(FailureKind::DestinationUnavailable, Phase::Readiness))
}
