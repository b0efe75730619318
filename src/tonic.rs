//! Failures as what a handler of tonic returns.
//!
//! The way out of a handler: the way in, from an error of tonic to a failure, is `classify::tonic`. The code is chosen by
//! `dialect::grpc`, which chooses it for the answers of the layer as well.

use std::sync::Arc;

use tonic::{Code, Status};

use crate::{classify::status, dialect::grpc::code, failure::Failure};

/// The status a gRPC caller is answered: the code of the failure, its public sentence, and the failure as the source.
///
/// A failure that was made of a [`Status`] of the upstream, and was given no sentence of its own, is that status again, with all that
/// the upstream said: message, details and metadata. This is not for an upstream whose words are not for the caller; set a sentence
/// ([`Failure::with_message`]) there. A status that tonic's client has made of an error is not forwarded: it names addresses, and
/// calls its own time limit `Cancelled`.
///
/// No layer reports a failure that leaves a handler as a status; log it where it happens.
///
/// ```
/// use tonic::{Code, Status};
/// use tower_bad_gateway::{Failure, FailureKind};
///
/// let status = Status::from(Failure::new(FailureKind::ConnectionRefused));
/// assert_eq!((status.code(), status.message()), (Code::Unavailable, "the upstream refused the connection"));
///
/// let again = Status::from(Failure::from_error(Status::not_found("no such invoice")));
/// assert_eq!((again.code(), again.message()), (Code::NotFound, "no such invoice"));
/// ```
impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        if let (Some(status), None) = (status(&failure), failure.message()) {
            return status.clone();
        }
        let sentence = failure.message().unwrap_or(failure.kind().summary());
        let mut status = Self::new(Code::from(i32::from(code(&failure))), sentence);
        status.set_source(Arc::new(failure));
        status
    }
}
