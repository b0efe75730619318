//! Errors of tonic (feature `tonic-0_14`): those of its channel, and the `Status` that its clients make of every error.
//!
//! A `Status` with a source is one that tonic's client has made; the readers of the source are asked first, and [`read`] stands at the end
//! of the order. A `Status` without a source comes from the upstream's `grpc-status`, or from the client where the response was no
//! gRPC. Nothing in it says which.
//!
//! | code | kind | gRPC code of the answer |
//! | --- | --- | --- |
//! | `DeadlineExceeded` | http_response_timeout | the kind's |
//! | `Unavailable` | destination_unavailable | the kind's |
//! | `ResourceExhausted` | connection_limit_reached, blame upstream | the same code |
//! | `Ok`, `Cancelled` | received_status | the kind's |
//! | any other | received_status | the same code |

use std::error::Error as _;

use tonic::{Code, ConnectError, Status, TimeoutExpired};

use super::{Cause, Verdict, cause::whole_chain, time::timeout_verdict};
use crate::failure::{Blame, Failure, FailureKind};

/// The verdict on a time limit of the channel. tonic's clients make a `Status` with the code `Cancelled` of it, so this reader runs
/// before [`read`].
pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    cause.find::<TimeoutExpired>().map(|_| timeout_verdict(cause))
}

/// Whether the channel was opening its connection.
pub(super) fn is_connecting(cause: &Cause<'_>) -> bool {
    cause.find::<ConnectError>().is_some()
}

/// The verdict on a status whose source no other reader knows, or that has none.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let code = cause.find::<Status>()?.code();
    Some(match code {
        Code::DeadlineExceeded => Verdict::new(FailureKind::HttpResponseTimeout),
        Code::Unavailable => Verdict::new(FailureKind::DestinationUnavailable),
        Code::ResourceExhausted => {
            Verdict::new(FailureKind::ConnectionLimitReached).blame(Blame::Upstream).grpc_code(number(code))
        }
        // `Ok` is no error, and `Cancelled` is for the caller alone to say: neither may be repeated to a client as the reason.
        Code::Ok | Code::Cancelled => Verdict::new(FailureKind::ReceivedStatus),
        _ => Verdict::new(FailureKind::ReceivedStatus).grpc_code(number(code)),
    })
}

/// The number of a code ([status codes](https://grpc.io/docs/guides/status-codes/)).
fn number(code: Code) -> u8 {
    u8::try_from(i32::from(code)).unwrap_or(UNAVAILABLE)
}

/// The status of an upstream that a failure was made of: the direct source of the failure, if that is a `Status` without a source.
///
/// A `Status` with a source was made by tonic's client. Its text names addresses, which must not reach a client. The conversion of a
/// failure into a `Status` for tonic's handlers asks for this.
pub(crate) fn status(failure: &Failure) -> Option<&Status> {
    let status: &Status = whole_chain(failure).nth(1)?.downcast_ref()?;
    status.source().is_none().then_some(status)
}

/// The code for a number that does not fit into eight bits; tonic has none.
const UNAVAILABLE: u8 = 14;
