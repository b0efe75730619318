//! Counters and histograms, through the `metrics` facade.

mod labels;
mod open_telemetry;

use std::{any::Any, borrow::Cow};

use http::StatusCode;
use metrics::{
    Counter, Gauge, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::{AbandonedEvent, CallDetails, FailureEvent, SuccessEvent, grpc_status};
use crate::{
    caught::caught,
    failure::{Blame, FailureKind, Phase},
    upstream::Upstream,
};

/// Counts failures through the [`metrics`](https://docs.rs/metrics) facade, for any exporter it has.
///
/// | metric | labels | what |
/// | --- | --- | --- |
/// | `bad_gateway_failures_total` | `upstream`, `error`, `phase`, `blame`, `status`, `grpc_status` | failures: answered ones, and bodies that broke after their head |
/// | `bad_gateway_time_to_failure_seconds` | `upstream`, `status` | histogram: from the call to the failure |
/// | `bad_gateway_abandoned_total` | `upstream`, `phase` | calls that a client left before the head, or before the end of the body |
/// | `bad_gateway_time_to_abandonment_seconds` | `upstream`, `phase` | histogram: from the call until it left |
/// | `bad_gateway_events_left_out_total` | `upstream` | failures that have no event in the log, by the [limit](crate::BadGatewayLayer::event_limit) |
/// | `bad_gateway_requests_total` | `upstream` | calls, with [`requests`](Self::requests) |
/// | `bad_gateway_responses_total` | `upstream`, `class`, `intercepted` | responses of the upstream, with [`requests`](Self::requests) |
/// | `bad_gateway_time_to_end_seconds` | `upstream`, `class` | histogram: from the call to the end of a response's body, with [`requests`](Self::requests) |
/// | `bad_gateway_requests_in_flight` | `upstream` | calls that have not come to the end of their body, with [`requests`](Self::requests) |
///
/// | label | value |
/// | --- | --- |
/// | `upstream` | the name given by [`upstream`](crate::BadGatewayLayer::upstream), empty without one |
/// | `endpoint` | of the counters, where [upstreams](Self::upstreams) were declared: which of them it was |
/// | `error` | the token of the [kind](FailureKind::token) |
/// | `phase` | the [phase](Phase::as_str) |
/// | `blame` | whom it is [blamed on](Blame::as_str) |
/// | `status` | the HTTP status the client was answered, 200 for gRPC, or for a broken body the one it had been sent; a status that is in no registry is its class, such as `5xx` |
/// | `grpc_status` | the name of the [code](https://grpc.io/docs/guides/status-codes/) a gRPC caller was answered, such as `UNAVAILABLE`; empty otherwise |
/// | `class` | of the upstream's own status, such as `5xx`, which is a response as any other |
/// | `intercepted` | `true` if a failure of kind [`received_status`](FailureKind::ReceivedStatus) was answered in its place, which counts as a failure as well; `false` if it was passed on to the end of its body |
///
/// A 101 and a 2xx to CONNECT are counted with their head: nobody sees their end. No label can take more values than there are kinds,
/// phases, codes and registered statuses, whatever comes from the network.
///
/// As soon as the layer wraps a service every kind has a series that stands at 0, with the phase, blame and status it mostly has, so
/// that the first failure is an increase; not so where one of these is another, as with gRPC clients. Install the recorder
/// before. How many series a histogram has is the exporter's choice: with Prometheus three more than it has buckets, for each
/// status, class or phase, and quantiles instead of buckets if none are set.
///
/// The time is measured from the call, or from the wait for readiness before it: with metrics the clock is read three times in
/// every call. Nothing else is done in a healthy call without [`requests`](Self::requests).
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
    open_telemetry: bool,
    upstreams: Vec<Upstream>,
}

impl Metrics {
    /// Counts failures.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts calls too, all of them and those in flight, and the responses of the upstream with their times.
    ///
    /// This costs eight allocations a call, and what the recorder allocates for itself. A tunnel (101, or 2xx to CONNECT) is over when its
    /// head is passed on.
    #[must_use]
    pub fn requests(mut self) -> Self {
        self.requests = true;
        self
    }

    /// Declares the [upstreams](Upstream) that calls may go to: the counters get a label `endpoint`, which is the name of one of these,
    /// `other` for any other that a call has named, and empty where nobody has named one. Set several times, all of them count.
    ///
    /// The label `upstream` stays the name of the layer, so that shares of its calls can be had. What stands at 0 from the start has an
    /// empty `endpoint`.
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, Metrics, Upstream};
    ///
    /// let upstreams = ["billing-1", "billing-2"].map(Upstream::new);
    /// let layer = BadGatewayLayer::new().upstream("billing").metrics(Metrics::new().requests().upstreams(upstreams));
    /// ```
    #[must_use]
    pub fn upstreams(mut self, upstreams: impl IntoIterator<Item = Upstream>) -> Self {
        self.upstreams.extend(upstreams);
        self
    }

    /// Records the duration of each call under the names of
    /// [OpenTelemetry's semantic conventions](https://opentelemetry.io/docs/specs/semconv/) as well, in seconds:
    ///
    /// | metric | attributes |
    /// | --- | --- |
    /// | `http.client.request.duration` | `http.request.method`, `http.response.status_code`, `error.type`, `server.address`, `server.port` |
    /// | `rpc.client.call.duration`, of gRPC | `rpc.system.name`, `rpc.status_code`, `error.type`, `server.address`, `server.port` |
    ///
    /// They are from the call, or the wait for readiness before it, to the end of the response or to its failure; a call that a client
    /// left has none. The status is the one that was *received*, from the upstream, if it is in
    /// the registry. `error.type` is there if the call failed: the token
    /// of the [kind](FailureKind::token), of gRPC the name of the code, of a 4xx or 5xx of the upstream its number. The code of a gRPC
    /// call that did not fail stands in its trailers, which nobody reads here. The address is that of an upstream that was
    /// [declared](Self::upstreams), as it was declared; a method that is none of the ten well-known ones is `_OTHER`. There is a series
    /// of each for every method and status that was met, and with Prometheus three more than it has buckets: many, if clients try
    /// all methods. The buckets that are advised are 5, 10, 25, 50, 75, 100,
    /// 250, 500 and 750 milliseconds and 1, 2.5, 5, 7.5 and 10 seconds. Prometheus has `_` for each dot.
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, Metrics};
    ///
    /// let layer = BadGatewayLayer::new().upstream("billing").metrics(Metrics::new().open_telemetry());
    /// ```
    #[must_use]
    pub fn open_telemetry(mut self) -> Self {
        self.open_telemetry = true;
        self
    }

    /// The one of those that were declared, whatever else a call says of itself.
    fn declared(&self, call: CallDetails<'_>) -> Option<&Upstream> {
        let name = call.call_upstream?.name();
        self.upstreams.iter().find(|declared| declared.name() == name)
    }

    /// The labels that all series of a call have.
    fn common(&self, call: CallDetails<'_>) -> CommonLabels {
        let endpoint = match call.call_upstream {
            _ if self.upstreams.is_empty() => None,
            Some(_) => Some(self.declared(call).map_or("other", Upstream::name).to_owned()),
            None => Some(String::new()),
        };
        CommonLabels { upstream: call.layer_upstream.unwrap_or_default().to_owned(), endpoint }
    }

    /// One series a kind, at 0.
    pub(crate) fn register(&self, upstream: Option<&str>) {
        let upstream = upstream.unwrap_or_default().to_owned();
        let common =
            CommonLabels { upstream: upstream.clone(), endpoint: (!self.upstreams.is_empty()).then(String::new) };
        describe_counter!(FAILURES, Unit::Count, "Failures of upstream calls, by proxy error type.");
        describe_histogram!(TIME_TO_FAILURE, Unit::Seconds, "Time from the call to its failure.");
        for kind in FailureKind::ALL {
            let phase = labels::usual_phase(*kind);
            // A body breaks mostly after its head.
            let status = if phase == Phase::ResponseBody { StatusCode::OK } else { kind.status() };
            common.failures(*kind, phase, labels::usual_blame(*kind), status, None).increment(0);
        }
        describe_counter!(LEFT_OUT, Unit::Count, "Failures without an event in the log.");
        common.left_out().increment(0);
        describe_counter!(ABANDONED, Unit::Count, "Calls that a client left before their end.");
        describe_histogram!(TIME_TO_ABANDONMENT, Unit::Seconds, "Time from the call until its client left.");
        for phase in [Phase::ResponseHead, Phase::ResponseBody] {
            common.abandoned(phase).increment(0);
        }
        if self.open_telemetry {
            open_telemetry::describe();
        }
        if self.requests {
            describe_counter!(REQUESTS, Unit::Count, "Upstream calls.");
            describe_gauge!(IN_FLIGHT, Unit::Count, "Upstream calls that have not come to an end.");
            describe_counter!(RESPONSES, Unit::Count, "Responses of the upstream, by class of their status.");
            describe_histogram!(TIME_TO_END, Unit::Seconds, "Time from the call to the end of the response.");
            for class in ["2xx", "3xx", "4xx", "5xx"] {
                common.responses(class, false).increment(0);
            }
            common.responses("5xx", true).increment(0);
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
        let (failure, common) = (event.failure, self.common(event.call));
        common.failures(failure.kind(), failure.phase(), failure.blame(), event.status, event.grpc_code).increment(1);
        if let (true, FailureKind::ReceivedStatus, Some(status)) =
            (self.requests, failure.kind(), failure.upstream_status())
        {
            common.responses(labels::class(status), true).increment(1);
        }
        if self.open_telemetry {
            open_telemetry::failed(event, self.declared(event.call));
        }
        let elapsed = failure.elapsed().unwrap_or_default();
        let status = labels::status(event.status);
        histogram!(TIME_TO_FAILURE, "upstream" => common.upstream, "status" => status).record(elapsed);
    }

    /// A failure was counted and not written.
    pub(crate) fn left_out(&self, event: &FailureEvent<'_>) {
        self.common(event.call).left_out().increment(1);
    }

    pub(crate) fn succeeded(&self, event: &SuccessEvent<'_>) {
        if self.open_telemetry {
            open_telemetry::succeeded(event, self.declared(event.call));
        }
        if self.requests {
            let (common, class) = (self.common(event.call), labels::class(event.status));
            common.responses(class, false).increment(1);
            histogram!(TIME_TO_END, "upstream" => common.upstream, "class" => class).record(event.time_to_end);
        }
    }

    pub(crate) fn abandoned(&self, event: &AbandonedEvent<'_>) {
        let phase = if event.status.is_none() { Phase::ResponseHead } else { Phase::ResponseBody };
        let common = self.common(event.call);
        common.abandoned(phase).increment(1);
        if let Some(elapsed) = event.elapsed {
            histogram!(TIME_TO_ABANDONMENT, "upstream" => common.upstream, "phase" => phase.as_str()).record(elapsed);
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

/// By what the counters of a call are told from those of others.
struct CommonLabels {
    upstream: String,
    /// Where upstreams were declared.
    endpoint: Option<String>,
}

impl CommonLabels {
    fn failures(
        &self,
        kind: FailureKind,
        phase: Phase,
        blame: Blame,
        status: StatusCode,
        grpc_code: Option<u8>,
    ) -> Counter {
        let labels = [
            Label::new("error", kind.token()),
            Label::new("phase", phase.as_str()),
            Label::new("blame", blame.as_str()),
            Label::new("status", labels::status(status)),
            Label::new("grpc_status", grpc_code.map_or("", grpc_status::name)),
        ];
        self.counter(FAILURES, labels)
    }

    fn abandoned(&self, phase: Phase) -> Counter {
        self.counter(ABANDONED, [Label::new("phase", phase.as_str())])
    }

    fn left_out(&self) -> Counter {
        self.counter(LEFT_OUT, [])
    }

    fn responses(&self, class: &'static str, intercepted: bool) -> Counter {
        let intercepted = if intercepted { "true" } else { "false" };
        self.counter(RESPONSES, [Label::new("class", class), Label::new("intercepted", intercepted)])
    }

    fn counter<const N: usize>(&self, name: &'static str, labels: [Label; N]) -> Counter {
        let mut all = Vec::with_capacity(N + 2);
        all.push(Label::new("upstream", self.upstream.clone()));
        all.extend(labels);
        all.extend(self.endpoint.clone().map(|endpoint| Label::new("endpoint", endpoint)));
        counter!(name, all)
    }
}

const FAILURES: &str = "bad_gateway_failures_total";
const TIME_TO_FAILURE: &str = "bad_gateway_time_to_failure_seconds";
const ABANDONED: &str = "bad_gateway_abandoned_total";
const TIME_TO_ABANDONMENT: &str = "bad_gateway_time_to_abandonment_seconds";
const LEFT_OUT: &str = "bad_gateway_events_left_out_total";
const RESPONSES: &str = "bad_gateway_responses_total";
const TIME_TO_END: &str = "bad_gateway_time_to_end_seconds";
const REQUESTS: &str = "bad_gateway_requests_total";
const IN_FLIGHT: &str = "bad_gateway_requests_in_flight";
