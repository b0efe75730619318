//! The values that labels can take: few, whatever comes from the network.

use std::borrow::Cow;

use http::StatusCode;

use crate::failure::{Blame, FailureKind, Phase};

/// One of few, whatever an upstream makes up.
pub(super) fn status(status: StatusCode) -> Cow<'static, str> {
    if status.canonical_reason().is_some() {
        return status.as_str().to_owned().into();
    }
    class(status).into()
}

/// Its first digit.
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

/// Whom a kind is mostly blamed on.
pub(super) fn usual_blame(kind: FailureKind) -> Blame {
    match kind {
        // It was merely not ready in time.
        FailureKind::DestinationUnavailable => Blame::Unknown,
        kind => kind.blame(),
    }
}

/// In which phase a kind is mostly met.
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
