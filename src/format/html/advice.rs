//! What people are told about a failure.

use crate::{
    failure::{FailureClass, FailureKind, RetrySafety},
    format::PublicFailure,
};

/// In words for people who have never heard of a gateway.
pub(super) struct Advice {
    pub(super) heading: &'static str,
    /// Temporary or not.
    pub(super) outlook: &'static str,
    /// What to do.
    pub(super) next: &'static str,
    /// What has become of what they sent.
    pub(super) sent: &'static str,
}

impl Advice {
    pub(super) fn on(failure: &PublicFailure<'_>) -> Self {
        let kind = failure.kind();
        let (outlook, next) = match kind {
            FailureKind::HttpRequestDenied => (FOR_GOOD, "Trying again will not help."),
            FailureKind::TlsCertificateError | FailureKind::DestinationIpProhibited => (UNTIL_REPAIRED, COME_BACK),
            _ => match kind.class() {
                Some(FailureClass::Timeout | FailureClass::Overload | FailureClass::Client) => (SOON, WAIT),
                Some(FailureClass::Connection) | None => (PROBABLY_SOON, WAIT),
                Some(FailureClass::InvalidResponse | FailureClass::Gateway) => (UNTIL_REPAIRED, COME_BACK),
            },
        };
        Self { heading: heading(kind), outlook, next, sent: sent(failure.failure().retry_safety()) }
    }
}

fn heading(kind: FailureKind) -> &'static str {
    match kind.class() {
        Some(FailureClass::Timeout) => "The server took too long",
        Some(FailureClass::Connection) => "The server cannot be reached",
        Some(FailureClass::InvalidResponse) => "The server sent a broken answer",
        Some(FailureClass::Overload) => "Too busy at the moment",
        Some(FailureClass::Client) => "Your request did not arrive completely",
        Some(FailureClass::Gateway) if kind == FailureKind::HttpRequestDenied => "This request is not permitted",
        Some(FailureClass::Gateway) => "Something is wrong on our side",
        None => "The server did not answer properly",
    }
}

fn sent(safety: RetrySafety) -> &'static str {
    match safety {
        RetrySafety::NotSent | RetrySafety::NotProcessed => {
            "Nothing of what you sent has been processed: it is safe to send it again."
        }
        RetrySafety::Unknown => "If you were sending something, check whether it has arrived before you send it again.",
    }
}

const SOON: &str = "This is temporary.";
const PROBABLY_SOON: &str = "This is probably temporary.";
const UNTIL_REPAIRED: &str = "This will probably last until somebody has repaired it.";
const FOR_GOOD: &str = "This is not temporary.";
const WAIT: &str = "Wait a moment, then load this page again.";
const COME_BACK: &str = "Loading this page again will probably not help: come back later.";
