//! Errors of tonic 0.14: of its channel, and the statuses that its clients make of everything.

use std::error::Error as _;

use tonic::{Code, ConnectError, Status, TimeoutExpired};

use super::{Cause, Verdict, cause::whole_chain, time::late};
use crate::failure::{Blame, Failure, FailureKind};

/// A limit of the channel, which its clients call `Cancelled`.
pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    cause.find::<TimeoutExpired>().map(|_| late(cause))
}

pub(super) fn is_connecting(cause: &Cause<'_>) -> bool {
    cause.find::<ConnectError>().is_some()
}

/// A status with no source that anybody knows: the upstream's own word, or the client's own on what it could not read.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let code = cause.find::<Status>()?.code();
    Some(match code {
        Code::DeadlineExceeded => Verdict::new(FailureKind::HttpResponseTimeout),
        Code::Unavailable => Verdict::new(FailureKind::DestinationUnavailable),
        Code::ResourceExhausted => {
            Verdict::new(FailureKind::ConnectionLimitReached).blame(Blame::Upstream).grpc_code(number(code))
        }
        // An error that calls itself none, and one that only who has called may mean.
        Code::Ok | Code::Cancelled => Verdict::new(FailureKind::ReceivedStatus),
        _ => Verdict::new(FailureKind::ReceivedStatus).grpc_code(number(code)),
    })
}

fn number(code: Code) -> u8 {
    u8::try_from(i32::from(code)).unwrap_or(UNAVAILABLE)
}

/// The status of an upstream that a failure was made of. One with a source is a client's own, for an error whose text is nobody's
/// business.
pub(crate) fn status(failure: &Failure) -> Option<&Status> {
    let status: &Status = whole_chain(failure).nth(1)?.downcast_ref()?;
    status.source().is_none().then_some(status)
}

const UNAVAILABLE: u8 = 14;
