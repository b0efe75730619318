//! `reqwest::Error` (feature `reqwest-0_13`), by its predicates, since its kinds and its timeout are private types.
//!
//! Below reqwest's error stand those of hyper and hyper-util, which the other readers know. This module reads what reqwest alone knows:
//! its own time limits, statuses made into errors, redirects, requests that could not be built, and contents that could not be
//! decoded. It also answers questions of [`super::place`].
//!
//! | predicate | kind |
//! | --- | --- |
//! | `is_timeout` | by the place, see [`timeout_verdict`] |
//! | `status` | received_status, with that status |
//! | `is_builder` | proxy_configuration_error |
//! | `is_redirect` | http_protocol_error |
//! | `is_decode`, none of hyper below, one of `std::io` below | http_response_content_coding |
//! | `is_decode`, neither below | http_protocol_error |
//! | any other | left to the other readers |
//!
//! Nothing is promised of sending again below any error of reqwest; see [`is_in_chain`].

use std::io;

use reqwest::Error;

use super::{Cause, Verdict, time::timeout_verdict};
use crate::failure::{Failure, FailureKind};

/// The verdict on a time limit of reqwest's own, or on one that reqwest finds below its error: the private type of its timeout may stand
/// at any depth.
pub(super) fn elapsed(cause: &Cause<'_>) -> Option<Verdict> {
    errors(cause).any(Error::is_timeout).then(|| timeout_verdict(cause))
}

/// The verdict on the first error of reqwest that says something.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    errors(cause).find_map(|error| {
        if let Some(status) = error.status() {
            return Some(Verdict::new(FailureKind::ReceivedStatus).upstream_status(status));
        }
        if error.is_builder() {
            return Some(Verdict::new(FailureKind::ProxyConfigurationError));
        }
        if error.is_redirect() {
            // Too many redirects, or one that leads to where reqwest cannot go: the upstream's responses are at fault.
            return Some(Verdict::new(FailureKind::HttpProtocolError));
        }
        // With an error of hyper below, the body broke on its way: the readers of hyper and `std::io` know how.
        let is_content = error.is_decode() && cause.hyper().is_none();
        is_content.then(|| {
            let is_coding = cause.find::<io::Error>().is_some();
            // Decoders of content codings fail with an `io::Error`. Without one the content was whole, but not what the caller had
            // expected, such as JSON.
            let kind = if is_coding { FailureKind::HttpResponseContentCoding } else { FailureKind::HttpProtocolError };
            Verdict::new(kind)
        })
    })
}

/// Whether the connection was being opened, by reqwest's own account.
pub(super) fn is_connecting(cause: &Cause<'_>) -> bool {
    errors(cause).any(Error::is_connect)
}

/// Whether a response body was being read. reqwest says the same of request bodies; those stand around an error of hyper-util's client,
/// and response bodies do not.
pub(super) fn is_body(cause: &Cause<'_>) -> bool {
    cause.client().is_none() && errors(cause).any(|error| error.is_body() || error.is_decode())
}

/// Whether an error of reqwest or of its middleware stands in the chain. reqwest follows redirects and sends again by itself, so what the
/// last attempt says does not hold for the attempts before it.
pub(super) fn is_in_chain(cause: &Cause<'_>) -> bool {
    #[cfg(feature = "reqwest-middleware-0_5")]
    if super::reqwest_middleware::is_in_chain(cause) {
        return true;
    }
    errors(cause).next().is_some()
}

/// The errors of reqwest, the outermost one first. reqwest wraps its own: the timeout of a body stands inside an error of decoding.
fn errors<'a>(cause: &Cause<'a>) -> impl Iterator<Item = &'a Error> {
    cause.iter().filter_map(|error| error.downcast_ref())
}

/// Reads the error as [`Failure::from_error`] does, so that a handler can end in `?`.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from_error(error)
    }
}
