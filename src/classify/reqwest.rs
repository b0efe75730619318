//! `reqwest::Error` of reqwest 0.13, by its predicates: its timeout is of a private type, and anything may stand around it.

use std::io;

use reqwest::Error;

use super::{Cause, Verdict, time::late};
use crate::failure::{Failure, FailureKind};

/// What reqwest says is late, however deep it has hidden that.
pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    errors(cause).any(Error::is_timeout).then(|| late(cause))
}

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    errors(cause).find_map(|error| {
        if let Some(status) = error.status() {
            return Some(Verdict::new(FailureKind::ReceivedStatus).upstream_status(status));
        }
        if error.is_builder() {
            return Some(Verdict::new(FailureKind::ProxyConfigurationError));
        }
        if error.is_redirect() {
            // Too many of them, or to where it cannot go.
            return Some(Verdict::new(FailureKind::HttpProtocolError));
        }
        // What hyper has to say of a body says more.
        let is_content = error.is_decode() && cause.hyper().is_none();
        is_content.then(|| {
            let is_coding = cause.find::<io::Error>().is_some();
            // Otherwise it was whole, and not what the caller had expected: no JSON, for example.
            let kind = if is_coding { FailureKind::HttpResponseContentCoding } else { FailureKind::HttpProtocolError };
            Verdict::new(kind)
        })
    })
}

pub(super) fn is_connecting(cause: &Cause<'_>) -> bool {
    errors(cause).any(Error::is_connect)
}

/// It says so of requests' bodies, too: those stand below an error of the call.
pub(super) fn is_body(cause: &Cause<'_>) -> bool {
    cause.client().is_none() && errors(cause).any(|error| error.is_body() || error.is_decode())
}

/// It follows redirects and sends again by itself: what its last attempt did says nothing of those before.
pub(super) fn is_around(cause: &Cause<'_>) -> bool {
    #[cfg(feature = "reqwest-middleware-0_5")]
    if super::reqwest_middleware::is_around(cause) {
        return true;
    }
    errors(cause).next().is_some()
}

fn errors<'a>(cause: &Cause<'a>) -> impl Iterator<Item = &'a Error> {
    cause.iter().filter_map(|error| error.downcast_ref())
}

/// Reads it as [`Failure::from_error`] does, so that a handler can end in `?`.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from_error(error)
    }
}
