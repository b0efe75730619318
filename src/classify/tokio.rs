//! Errors of tokio's tasks and semaphores.

use tokio::{sync::TryAcquireError, task::JoinError};

use super::{Cause, Verdict};
use crate::failure::{Blame, FailureKind};

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    if let Some(error) = cause.find::<JoinError>() {
        // Who cancels a task is about to stop, or has too much to do.
        let kind = if error.is_panic() { FailureKind::ProxyInternalError } else { FailureKind::DestinationUnavailable };
        return Some(Verdict::new(kind).blame(Blame::Gateway));
    }
    match cause.find::<TryAcquireError>()? {
        // Of what, nothing tells: it may be asked for after a request was sent.
        TryAcquireError::NoPermits => Some(Verdict::new(FailureKind::ConnectionLimitReached)),
        // A semaphore is closed for reasons of its owner.
        TryAcquireError::Closed => None,
    }
}
