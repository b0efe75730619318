//! What the page says to people about a failure, in words for readers who have never heard of a gateway.
//!
//! The page asks for an [`Advice`] once, before it writes anything. Headings and prospects are chosen by the kind where it says
//! more than its class, and otherwise by the class. This module must not know markup, and it must never advise to send again what
//! may have been processed.

use crate::{
    failure::{FailureClass, FailureKind, RetrySafety},
    format::{
        PublicFailure,
        english::{
            self, COME_BACK, LOAD_AGAIN, NO_HELP, OUTLOOK_UNKNOWN, PERMANENT, PROBABLY_TEMPORARY, UNTIL_REPAIRED, WAIT,
        },
    },
};

/// The sentences of one page that depend on the failure, in English.
#[derive(Debug, PartialEq)]
pub(super) struct Advice {
    /// The heading of the page, unless the user has set one.
    pub(super) heading: &'static str,
    /// Whether the failure is temporary.
    pub(super) outlook: &'static str,
    /// What the reader should do; empty where the answer has `Retry-After`, as the page names that time instead.
    pub(super) next: &'static str,
    /// What has become of the data that the request has sent; `None` after a safe method and where the outlook is [`PERMANENT`].
    pub(super) sent: Option<&'static str>,
    /// Whether the upstream has refused the request with a 4xx: no hop has failed then.
    pub(super) is_refusal: bool,
}

impl Advice {
    /// The advice on one failure.
    ///
    /// A `Retry-After` makes every failure temporary, even of a kind that is not: a user who sets one expects the end of it.
    pub(super) fn on(failure: &PublicFailure<'_>) -> Self {
        let kind = failure.kind();
        if let Some((heading, outlook, next)) = refusal(failure) {
            return Self { heading, outlook, next, sent: None, is_refusal: true };
        }
        let (outlook, next) = if failure.retry_after().is_some() { (PROBABLY_TEMPORARY, "") } else { prospects(kind) };
        let sent = if failure.is_safe() || outlook == PERMANENT { None } else { Some(sent(failure)) };
        // A reload of the answer to a POST sends the POST again.
        let next = if next == LOAD_AGAIN && sent.is_some() { WAIT } else { next };
        Self { heading: heading(kind), outlook, next, sent, is_refusal: false }
    }
}

/// Heading, outlook and next step where the upstream has answered a 4xx, which was intercepted: it works, and has refused the request.
fn refusal(failure: &PublicFailure<'_>) -> Option<(&'static str, &'static str, &'static str)> {
    let status = failure.failure().upstream_status().filter(|_| failure.kind() == FailureKind::ReceivedStatus)?;
    if !status.is_client_error() {
        return None;
    }
    let has_retry_after = failure.retry_after().is_some();
    let unless_retry_after = |next| if has_retry_after { "" } else { next };
    Some(match status.as_u16() {
        401 | 403 | 407 => (english::NOT_ALLOWED, PERMANENT, NO_HELP),
        404 | 410 => (english::NO_SUCH_PAGE, PERMANENT, english::CHECK_ADDRESS),
        408 | 425 | 429 => (english::TOO_BUSY, PROBABLY_TEMPORARY, unless_retry_after(WAIT)),
        _ => (english::NOT_ACCEPTED, OUTLOOK_UNKNOWN, unless_retry_after(NO_HELP)),
    })
}

/// The heading for a kind.
fn heading(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::ConnectionTerminated => english::BROKE_OFF,
        FailureKind::DestinationUnavailable => english::NOT_AVAILABLE,
        FailureKind::HttpRequestDenied => english::NOT_ALLOWED,
        FailureKind::HttpUpgradeFailed => english::SWITCHED,
        FailureKind::ProxyLoopDetected => english::IN_CIRCLES,
        FailureKind::ReceivedStatus => english::REPORTED,
        _ => match kind.class() {
            Some(FailureClass::Timeout) => english::TOO_LONG,
            Some(FailureClass::Connection) => english::NOT_REACHED,
            Some(FailureClass::InvalidResponse) => english::BROKEN_ANSWER,
            Some(FailureClass::Overload) => english::TOO_BUSY,
            Some(FailureClass::Client) => english::LOST,
            Some(FailureClass::Gateway) => english::OUR_SIDE,
            None => english::NO_PROPER_ANSWER,
        },
    }
}

/// What to expect of a kind, and what to do about it, for an answer without `Retry-After`.
fn prospects(kind: FailureKind) -> (&'static str, &'static str) {
    match kind {
        FailureKind::HttpRequestDenied => (PERMANENT, NO_HELP),
        FailureKind::TlsCertificateError
        | FailureKind::DestinationIpProhibited
        | FailureKind::HttpUpgradeFailed
        | FailureKind::ProxyLoopDetected => (UNTIL_REPAIRED, COME_BACK),
        FailureKind::HttpResponseIncomplete => (PROBABLY_TEMPORARY, LOAD_AGAIN),
        _ => match kind.class() {
            Some(FailureClass::InvalidResponse | FailureClass::Gateway) => (UNTIL_REPAIRED, COME_BACK),
            None => (OUTLOOK_UNKNOWN, LOAD_AGAIN),
            _ => (PROBABLY_TEMPORARY, LOAD_AGAIN),
        },
    }
}

/// What has become of the data of a request that is not safe.
fn sent(failure: &PublicFailure<'_>) -> &'static str {
    // The kind must not decide: an attempt before the one whose connection was refused may have delivered the data.
    if failure.failure().retry_safety() == RetrySafety::Unknown {
        english::MAYBE_PROCESSED
    } else {
        english::NOT_PROCESSED
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::failure::{Failure, FailureKind::*};

    #[test]
    fn the_words_fit_the_kind() {
        let wrong: Vec<_> = [
            (ConnectionRefused, "The server cannot be reached", PROBABLY_TEMPORARY, LOAD_AGAIN),
            (ConnectionTerminated, "The server broke off", PROBABLY_TEMPORARY, LOAD_AGAIN),
            (DnsError, "The server cannot be reached", PROBABLY_TEMPORARY, LOAD_AGAIN),
            (TlsCertificateError, "The server cannot be reached", UNTIL_REPAIRED, COME_BACK),
            (DestinationIpProhibited, "The server cannot be reached", UNTIL_REPAIRED, COME_BACK),
            (HttpResponseTimeout, "The server took too long", PROBABLY_TEMPORARY, LOAD_AGAIN),
            (HttpProtocolError, "The server sent a broken answer", UNTIL_REPAIRED, COME_BACK),
            (HttpResponseIncomplete, "The server sent a broken answer", PROBABLY_TEMPORARY, LOAD_AGAIN),
            (HttpUpgradeFailed, "The server switched unasked", UNTIL_REPAIRED, COME_BACK),
            (ProxyLoopDetected, "Going round in circles", UNTIL_REPAIRED, COME_BACK),
            (ConnectionLimitReached, "Too busy at the moment", PROBABLY_TEMPORARY, LOAD_AGAIN),
            (DestinationUnavailable, "The server is not available", PROBABLY_TEMPORARY, LOAD_AGAIN),
            (HttpRequestError, "Something got lost on the way here", PROBABLY_TEMPORARY, LOAD_AGAIN),
            (HttpRequestDenied, "Not allowed", PERMANENT, "Trying again will not help."),
            (ProxyInternalError, "Something is wrong on our side", UNTIL_REPAIRED, COME_BACK),
            (ReceivedStatus, "The server reported an error", OUTLOOK_UNKNOWN, LOAD_AGAIN),
            (Unclassified, "The server did not answer properly", OUTLOOK_UNKNOWN, LOAD_AGAIN),
        ]
        .into_iter()
        .map(|(kind, heading, outlook, next)| {
            let failure = Failure::new(kind);
            let shown = Advice::on(&PublicFailure { is_safe: true, ..PublicFailure::of(&failure) });
            (kind, shown, Advice { heading, outlook, next, sent: None, is_refusal: false })
        })
        .filter(|(_, shown, expected)| shown != expected)
        .collect();
        assert!(wrong.is_empty(), "(kind, shown, expected): {wrong:#?}");
    }

    #[test]
    fn no_page_advises_to_send_again_what_may_have_arrived() {
        let wrong: Vec<_> = FailureKind::ALL
            .iter()
            .flat_map(|kind| {
                let all = [RetrySafety::Unknown, RetrySafety::NotSent, RetrySafety::NotProcessed];
                all.map(|safety| Failure::new(*kind).with_retry_safety(safety))
            })
            .map(|failure| {
                let advice = Advice::on(&PublicFailure::of(&failure));
                let says_safe = advice.sent.is_some_and(|sent| sent.contains("it is safe"));
                let is_safe = failure.retry_safety() != RetrySafety::Unknown;
                let denied = failure.kind() == HttpRequestDenied;
                (failure.kind(), failure.retry_safety(), advice.next, says_safe, is_safe && !denied)
            })
            .filter(|(.., next, says, is)| says != is || next.contains("load"))
            .collect();
        assert!(wrong.is_empty(), "(kind, safety, next, says, is): {wrong:#?}");
    }

    #[test]
    fn a_time_to_come_back_makes_any_failure_temporary() {
        let failure = Failure::new(HttpRequestDenied);
        let later = Some(Duration::from_secs(30));
        let advice = Advice::on(&PublicFailure { retry_after: later, is_safe: true, ..PublicFailure::of(&failure) });
        assert_eq!((advice.outlook, advice.next), (PROBABLY_TEMPORARY, ""));
    }
}
