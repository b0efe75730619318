//! Counters and histograms, through the `metrics` facade.

use std::{any::Any, borrow::Cow};

use http::StatusCode;
use metrics::{Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::{AbandonedEvent, FailureEvent};
use crate::{
    caught::caught,
    failure::{FailureKind, Phase},
};

/// Counts failures through the [`metrics`](https://docs.rs/metrics) facade, for any exporter it has.
///
/// | metric | labels | what |
/// | --- | --- | --- |
/// | `bad_gateway_failures_total` | `upstream`, `error`, `phase`, `status` | failures: answered ones, and bodies that broke after their head |
/// | `bad_gateway_time_to_failure_seconds` | `upstream`, `status` | histogram: from the call to the failure |
/// | `bad_gateway_abandoned_total` | `upstream`, `phase` | calls that a client left before the head, or before the end of the body |
/// | `bad_gateway_time_to_abandonment_seconds` | `upstream`, `phase` | histogram: from the call until it left |
/// | `bad_gateway_requests_total` | `upstream` | calls, with [`requests`](Self::requests) |
/// | `bad_gateway_requests_in_flight` | `upstream` | calls that have not come to the end of their body, with [`requests`](Self::requests) |
///
/// `upstream` is the name given by [`upstream`](crate::BadGatewayLayer::upstream), empty without one; `error` the token of the
/// [kind](FailureKind::token), `phase` the [phase](Phase::as_str). `status` is the HTTP status the client was answered, 200 for
/// gRPC, or for a broken body the one it had been sent; a status that is in no registry is its class, such as `5xx`. So no label
/// can take more values than there are kinds, phases and registered statuses, whatever comes from the network.
///
/// As soon as the layer wraps a service every kind has a series that stands at 0, with the phase and status it mostly has, so
/// that the first failure is an increase; not so where the phase or status is another, as with gRPC clients. Install the recorder
/// before. How many series a histogram has is the exporter's choice: with Prometheus three more than it has buckets, for each
/// status, and quantiles instead of buckets if none are set.
///
/// The time is measured from the call, or from the wait for readiness before it: with
/// metrics the clock is read in every call, and one allocation more is made. Nothing else is done in a healthy call without
/// [`requests`](Self::requests).
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, Metrics};
///
/// let layer = BadGatewayLayer::new().upstream("billing").metrics(Metrics::new().requests());
/// ```
///
/// Not for what depends on a request, such as its path: count that in [`on_failure`](crate::BadGatewayLayer::on_failure), and
/// bound it yourself. Not around another layer, whose answers are no failures of this one: count where they are made.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    requests: bool,
}

impl Metrics {
    /// Counts failures.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts calls too, all of them and those in flight.
    ///
    /// This costs four allocations a call. A tunnel (101, or 2xx to CONNECT) is over when its head is passed on.
    #[must_use]
    pub fn requests(mut self) -> Self {
        self.requests = true;
        self
    }

    /// One series a kind, at 0.
    pub(crate) fn register(&self, upstream: Option<&str>) {
        let upstream = label(upstream);
        describe_counter!(FAILURES, Unit::Count, "Failures of upstream calls, by proxy error type.");
        describe_histogram!(TIME_TO_FAILURE, Unit::Seconds, "Time from the call to its failure.");
        for kind in FailureKind::ALL {
            let phase = usual_phase(*kind);
            // A body breaks mostly after its head.
            let status = if phase == Phase::ResponseBody { StatusCode::OK } else { kind.status() };
            failures(&upstream, *kind, phase, status).increment(0);
        }
        describe_counter!(ABANDONED, Unit::Count, "Calls that a client left before their end.");
        describe_histogram!(TIME_TO_ABANDONMENT, Unit::Seconds, "Time from the call until its client left.");
        for phase in [Phase::ResponseHead, Phase::ResponseBody] {
            abandoned(&upstream, phase).increment(0);
        }
        if self.requests {
            describe_counter!(REQUESTS, Unit::Count, "Upstream calls.");
            describe_gauge!(IN_FLIGHT, Unit::Count, "Upstream calls that have not come to an end.");
            counter!(REQUESTS, "upstream" => upstream.clone()).increment(0);
            gauge!(IN_FLIGHT, "upstream" => upstream).increment(0);
        }
    }

    /// A call begins. It ends when what is returned is dropped.
    pub(crate) fn called(&self, upstream: Option<&Cow<'static, str>>) -> Option<Box<dyn Any + Send + Sync>> {
        if !self.requests {
            return None;
        }
        let upstream = upstream.cloned().unwrap_or_default();
        counter!(REQUESTS, "upstream" => upstream.clone()).increment(1);
        let gauge = gauge!(IN_FLIGHT, "upstream" => upstream);
        gauge.increment(1);
        Some(Box::new(InFlight(gauge)))
    }

    pub(crate) fn failed(&self, event: &FailureEvent<'_>) {
        let (failure, upstream) = (event.failure, label(event.upstream));
        failures(&upstream, failure.kind(), failure.phase(), event.status).increment(1);
        let elapsed = failure.elapsed().unwrap_or_default();
        histogram!(TIME_TO_FAILURE, "upstream" => upstream, "status" => status(event.status)).record(elapsed);
    }

    pub(crate) fn abandoned(&self, event: &AbandonedEvent<'_>) {
        let phase = if event.status.is_none() { Phase::ResponseHead } else { Phase::ResponseBody };
        let upstream = label(event.upstream);
        abandoned(&upstream, phase).increment(1);
        if let Some(elapsed) = event.elapsed {
            histogram!(TIME_TO_ABANDONMENT, "upstream" => upstream, "phase" => phase.as_str()).record(elapsed);
        }
    }
}

struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        // The recorder is somebody else's code, and this may be a panic already.
        caught(|| self.0.decrement(1));
    }
}

fn failures(upstream: &str, kind: FailureKind, phase: Phase, answered: StatusCode) -> metrics::Counter {
    counter!(
        FAILURES,
        "upstream" => upstream.to_owned(),
        "error" => kind.token(),
        "phase" => phase.as_str(),
        "status" => status(answered),
    )
}

fn abandoned(upstream: &str, phase: Phase) -> metrics::Counter {
    counter!(ABANDONED, "upstream" => upstream.to_owned(), "phase" => phase.as_str())
}

fn label(upstream: Option<&str>) -> String {
    upstream.unwrap_or_default().to_owned()
}

/// One of few, whatever an upstream makes up.
fn status(status: StatusCode) -> Cow<'static, str> {
    if status.canonical_reason().is_some() {
        return status.as_str().to_owned().into();
    }
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
    .into()
}

/// In which phase a kind is mostly met.
fn usual_phase(kind: FailureKind) -> Phase {
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

const FAILURES: &str = "bad_gateway_failures_total";
const TIME_TO_FAILURE: &str = "bad_gateway_time_to_failure_seconds";
const ABANDONED: &str = "bad_gateway_abandoned_total";
const TIME_TO_ABANDONMENT: &str = "bad_gateway_time_to_abandonment_seconds";
const REQUESTS: &str = "bad_gateway_requests_total";
const IN_FLIGHT: &str = "bad_gateway_requests_in_flight";

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
