//! The values of labels that are not fixed words.
//!
//! Every new value of a label is a new series, which the exporter keeps for ever. So no value may be free text of a client or an
//! upstream: what comes from the network is mapped to a member of a closed set here.
//!
//! | label | values |
//! | --- | --- |
//! | `status` | the registered status codes, and a class for all others |
//! | `class` | `1xx` to `5xx`, and `other` |
//!
//! The rest of the file says which phase and blame a kind of failure usually has, for the series that stand at 0 from the start.
//! `metrics` uses both parts, `open_telemetry` the first. Events and recorders do not belong here.

use std::borrow::Cow;

use http::StatusCode;

use crate::failure::{Blame, FailureKind, Phase};

/// A status: its number if it is registered, or else its class.
///
/// "Registered" means that the crate `http` knows a reason phrase for it
/// ([the registry](https://www.iana.org/assignments/http-status-codes/http-status-codes.xhtml)). An upstream that sends 299 and 998 in
/// turn makes no more than the series `2xx` and `other`.
pub(super) fn status(status: StatusCode) -> Cow<'static, str> {
    if status.canonical_reason().is_some() {
        return status.as_str().to_owned().into();
    }
    class(status).into()
}

/// The class of a status ([RFC 9110, section 15](https://www.rfc-editor.org/rfc/rfc9110#section-15)), and `other` from 600 on.
pub(super) fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

/// The blame that failures of a kind mostly have.
///
/// It is right for the series that is registered at 0, and never used for a failure that has happened.
pub(super) fn usual_blame(kind: FailureKind) -> Blame {
    match kind {
        // The common case is a readiness timeout, whose blame is unknown: under `Upstream` its first failure would be a new series.
        FailureKind::DestinationUnavailable => Blame::Unknown,
        kind => kind.blame(),
    }
}

/// The phase in which failures of a kind mostly occur, as [`usual_blame`] for the series at 0.
///
/// A failure that occurs in another phase has its own series from then on, which begins at 1. `Phase::Unknown` stands for the kinds that
/// no phase is typical of.
pub(super) fn usual_phase(kind: FailureKind) -> Phase {
    match kind {
        FailureKind::DnsTimeout | FailureKind::DnsError => Phase::Resolve,
        FailureKind::DestinationIpProhibited
        | FailureKind::DestinationIpUnroutable
        | FailureKind::ConnectionRefused
        | FailureKind::ConnectionTimeout => Phase::Connect,
        FailureKind::TlsProtocolError | FailureKind::TlsCertificateError | FailureKind::TlsAlertReceived => Phase::Tls,
        FailureKind::DestinationUnavailable | FailureKind::ConnectionLimitReached => Phase::Readiness,
        FailureKind::ConnectionWriteTimeout | FailureKind::HttpRequestError => Phase::RequestBody,
        FailureKind::ConnectionReadTimeout
        | FailureKind::HttpResponseIncomplete
        | FailureKind::HttpResponseBodySize
        | FailureKind::HttpResponseTrailerSectionSize
        | FailureKind::HttpResponseTrailerSize
        | FailureKind::HttpResponseContentCoding => Phase::ResponseBody,
        FailureKind::ConnectionTerminated
        | FailureKind::HttpResponseHeaderSectionSize
        | FailureKind::HttpResponseHeaderSize
        | FailureKind::HttpResponseTransferCoding
        | FailureKind::HttpResponseTimeout
        | FailureKind::HttpUpgradeFailed
        | FailureKind::HttpProtocolError
        | FailureKind::ReceivedStatus
        | FailureKind::Unclassified => Phase::ResponseHead,
        FailureKind::DestinationNotFound
        | FailureKind::HttpRequestDenied
        | FailureKind::ProxyInternalResponse
        | FailureKind::ProxyInternalError
        | FailureKind::ProxyConfigurationError
        | FailureKind::ProxyLoopDetected => Phase::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_upstream_can_make_up_a_status() {
        let labels: std::collections::BTreeSet<_> =
            (100..1000).map(|code| status(StatusCode::from_u16(code).unwrap())).collect();
        assert!(labels.len() < 75, "{}: {labels:?}", labels.len());
        let label = |code| status(StatusCode::from_u16(code).unwrap()).into_owned();
        assert_eq!([200, 299, 502, 599, 999].map(label), ["200", "2xx", "502", "5xx", "other"]);
    }
}
