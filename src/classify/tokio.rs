//! Errors of tokio's tasks and semaphores, where a service makes its calls in a task or limits how many there are.
//!
//! | error | kind |
//! | --- | --- |
//! | `JoinError`, the task has panicked | proxy_internal_error, blame gateway |
//! | `JoinError`, the task was cancelled | destination_unavailable, blame gateway |
//! | `TryAcquireError::NoPermits` | connection_limit_reached |
//! | `TryAcquireError::Closed`, `AcquireError`, errors of channels | not known: what was closed, and why, the error does not say |
//!
//! None of these says whether a request was sent.

use tokio::{sync::TryAcquireError, task::JoinError};

use super::{Cause, Verdict};
use crate::failure::{Blame, FailureKind};

/// The verdict on the first of these errors.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    if let Some(error) = cause.find::<JoinError>() {
        // A task is cancelled by a gateway that is about to stop or has too much to do. That is a "not now" and no fault of the upstream.
        let kind = if error.is_panic() { FailureKind::ProxyInternalError } else { FailureKind::DestinationUnavailable };
        return Some(Verdict::new(kind).blame(Blame::Gateway));
    }
    match cause.find::<TryAcquireError>()? {
        // What the permit was for the error does not tell. It may be asked for after a request was sent, so "not sent" is not claimed.
        TryAcquireError::NoPermits => Some(Verdict::new(FailureKind::ConnectionLimitReached)),
        // A semaphore is closed for reasons of its owner, of which nothing is known here.
        TryAcquireError::Closed => None,
    }
}
