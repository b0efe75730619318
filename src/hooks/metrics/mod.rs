//! Counters, a gauge and histograms, through the `metrics` facade (feature `metrics`).
//!
//! The layer registers the series when it wraps its first service; after that each report of a call comes through
//! [`Observers`](super::Observers), after the log and before the hook of the user. `labels` holds the closed sets of label values,
//! `open_telemetry` the two histograms with OpenTelemetry's names.
//!
//! What must not be here: a label with text of a client or an upstream, and a handle that is kept from one call to the next. Every
//! report asks the recorder that is installed at that moment.

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
/// | `bad_gateway_failures_total` | `upstream`, `error`, `phase`, `blame`, `status`, `grpc_status` | failures: those that were answered, and bodies that broke after their head |
/// | `bad_gateway_fallbacks_total` | `upstream`, `error`, `outcome` | failures for which there was a [fallback](crate::fallback), and bodies of fallbacks that broke |
/// | `bad_gateway_time_to_failure_seconds` | `upstream`, `status` | histogram: from the call to the failure |
/// | `bad_gateway_abandoned_total` | `upstream`, `phase` | calls that a client left before the head, or before the end of the body |
/// | `bad_gateway_time_to_abandonment_seconds` | `upstream`, `phase` | histogram: from the call until its client left |
/// | `bad_gateway_events_left_out_total` | `upstream` | failures that have no event in the log, by the [limit](crate::BadGatewayLayer::event_limit) |
/// | `bad_gateway_requests_total` | `upstream` | calls, with [`requests`](Self::requests) |
/// | `bad_gateway_responses_total` | `upstream`, `class`, `intercepted` | responses of the upstream, with [`requests`](Self::requests) |
/// | `bad_gateway_time_to_end_seconds` | `upstream`, `class` | histogram: from the call to the end of a response's body, with [`requests`](Self::requests) |
/// | `bad_gateway_requests_in_flight` | `upstream` | calls that have not come to the end of their body, with [`requests`](Self::requests) |
///
/// | label | value |
/// | --- | --- |
/// | `upstream` | the name given by [`upstream`](crate::BadGatewayLayer::upstream); empty without a name |
/// | `endpoint` | only where [upstreams](Self::upstreams) were declared, of the counters of failures, responses, abandoned calls and left-out events: the name of the upstream of the call |
/// | `error` | the token of the [kind](FailureKind::token) |
/// | `phase` | the [phase](Phase::as_str) |
/// | `blame` | the side that is [to blame](Blame::as_str) |
/// | `status` | the HTTP status the client was answered (of a fallback that [keeps](crate::fallback::Fallback::keep_status) it that one; the one that it would have been answered if it left before), 200 for gRPC, or for a broken body the status that had been sent; for a status that is in no registry the class, such as `5xx` |
/// | `grpc_status` | the name of the [code](https://grpc.io/docs/guides/status-codes/) a gRPC caller was answered, such as `UNAVAILABLE`; empty otherwise |
/// | `outcome` | what has [become](crate::failure::FallbackOutcome::as_str) of the fallback |
/// | `class` | the class of the upstream's own status, such as `5xx`; a response with a 5xx is a response, and no failure |
/// | `intercepted` | `true` if a failure of kind [`received_status`](FailureKind::ReceivedStatus) was answered in its place, which counts as a failure as well; `false` if the response was forwarded to the end of its body |
///
/// A 101 and a 2xx to CONNECT are counted with their head: the layer does not see the end of a tunnel. No label can take more values
/// than there are kinds, phases, codes and registered statuses: clients and upstreams cannot create series.
///
/// As soon as the layer wraps a service, every kind has a series that stands at 0, with the phase, blame and status that the kind mostly
/// has, so that the first failure is an increase. A failure with another phase, blame or status, such as one of a gRPC call, begins a
/// series of its own at 1. Install the recorder before the layer wraps its first service: what was registered without a recorder is
/// lost, and it is registered once for each layer. The exporter decides how many series a histogram has: with Prometheus three more
/// than it has buckets, for each status, class or phase, and quantiles instead of buckets if none are set.
///
/// The time is measured from the call, or from the wait for readiness before it: with metrics the clock is read three times in
/// every call. Nothing else is done in a healthy call without [`requests`](Self::requests) and
/// [`open_telemetry`](Self::open_telemetry). A recorder that panics changes no answer; its count is lost.
///
/// ```
/// use tower_bad_gateway::{BadGatewayLayer, Metrics};
///
/// let layer = BadGatewayLayer::new().upstream("billing").metrics(Metrics::new().requests());
/// ```
///
/// Not for labels that depend on a request, such as its path: count those in [`on_failure`](crate::BadGatewayLayer::on_failure), and
/// limit the number of their values yourself. Not around another layer of this crate, whose answers are no failures of this one: put
/// the metrics on the layer that makes the answers.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Whether all calls and responses are counted, and not failures alone.
    requests: bool,
    /// Whether the histograms with OpenTelemetry's names are recorded as well.
    open_telemetry: bool,
    /// The upstreams that may stand in the label `endpoint`.
    upstreams: Vec<Upstream>,
}

impl Metrics {
    /// Counts failures, abandoned calls and left-out events, with their times. The setters add to that.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts calls too, all of them and those in flight, and the responses of the upstream with their times.
    ///
    /// A call is counted when it begins, also where the wrapped service was not ready and is not called at all. It is in flight until
    /// its response is at its end, was dropped or has failed; a tunnel (101, or 2xx to CONNECT) is at its end when its head is
    /// forwarded. This costs eight allocations a call, and what the recorder allocates for itself.
    #[must_use]
    pub fn requests(mut self) -> Self {
        self.requests = true;
        self
    }

    /// Declares the [upstreams](Upstream) that calls may go to: the counters get a label `endpoint`.
    ///
    /// Its value is the name of one of these upstreams, `other` for any other name that a call carries, and empty for a call that
    /// carries none. Upstreams of several calls of this setter add up. By default no upstream is declared, and there is no such label.
    ///
    /// The label `upstream` stays the name of the layer, so that the share of an endpoint can be computed. The series that stand at 0
    /// from the start have an empty `endpoint`. `bad_gateway_requests_total` has no `endpoint`: when a call begins, its upstream is not
    /// chosen yet.
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
    /// The duration runs from the call, or from the wait for readiness before it, to the end of the response or to the failure. A call
    /// that its client left is not recorded. By default nothing is recorded under these names.
    ///
    /// | attribute | value |
    /// | --- | --- |
    /// | `http.response.status_code` | the status that was *received* from the upstream, if it is in the registry |
    /// | `error.type` | only if the call failed, or the upstream answered a 4xx or 5xx: the token of the [kind](FailureKind::token), the name of the code a gRPC caller was answered, or the upstream's status |
    /// | `rpc.status_code` | only of a gRPC call that failed and was answered; the code of any other is in the trailers, which are not counted |
    /// | `server.address`, `server.port` | those of the [declared](Self::upstreams) upstream of the call, as they were declared |
    /// | `http.request.method` | one of ten well-known methods, or `_OTHER` |
    ///
    /// There is a series for every method and status that occurs, and with Prometheus three more than there are buckets: many, if
    /// clients try all methods. The conventions advise buckets of 5, 10, 25, 50, 75, 100, 250, 500 and 750 milliseconds and 1, 2.5, 5,
    /// 7.5 and 10 seconds. Prometheus has `_` for each dot.
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

    /// The declared upstream with the name that the call carries. Its address is the declared one: that of the call could be anything.
    fn declared(&self, call: CallDetails<'_>) -> Option<&Upstream> {
        let name = call.call_upstream?.name();
        self.upstreams.iter().find(|declared| declared.name() == name)
    }

    /// The labels that all counters of a call have.
    fn common(&self, call: CallDetails<'_>) -> CommonLabels {
        let endpoint = match call.call_upstream {
            _ if self.upstreams.is_empty() => None,
            Some(_) => Some(self.declared(call).map_or("other", Upstream::name).to_owned()),
            None => Some(String::new()),
        };
        CommonLabels { upstream: call.layer_upstream.unwrap_or_default().to_owned(), endpoint }
    }

    /// Describes all metrics to the recorder and registers their counters at 0: one series for each kind of failure, and more.
    ///
    /// Histograms are described only. `upstream` is the name of the layer.
    pub(crate) fn register(&self, upstream: Option<&str>, has_fallback: bool) {
        let upstream = upstream.unwrap_or_default().to_owned();
        let common =
            CommonLabels { upstream: upstream.clone(), endpoint: (!self.upstreams.is_empty()).then(String::new) };
        describe_counter!(FAILURES, Unit::Count, "Failures of upstream calls, by proxy error type.");
        describe_histogram!(TIME_TO_FAILURE, Unit::Seconds, "Time from the call to its failure.");
        for kind in FailureKind::ALL {
            let phase = labels::usual_phase(*kind);
            // A body mostly breaks after its head was sent: under 502 the first such failure would be a new series.
            let status = if phase == Phase::ResponseBody { StatusCode::OK } else { kind.status() };
            common.failures(*kind, phase, labels::usual_blame(*kind), status, None).increment(0);
        }
        if has_fallback {
            describe_counter!(
                FALLBACKS,
                Unit::Count,
                "Failures for which a fallback was asked, by what has become of it."
            );
            for kind in FailureKind::ALL {
                for outcome in ["answered", "failed", "broken", "busy", "abandoned"] {
                    common.fallbacks(*kind, outcome).increment(0);
                }
            }
        }
        describe_counter!(LEFT_OUT, Unit::Count, "Failures without an event in the log.");
        common.events_left_out().increment(0);
        describe_counter!(ABANDONED, Unit::Count, "Calls that a client left before their end.");
        describe_histogram!(TIME_TO_ABANDONMENT, Unit::Seconds, "Time from the call until its client left.");
        for phase in [Phase::ResponseHead, Phase::ResponseBody] {
            common.abandonments(phase).increment(0);
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

    /// Counts the beginning of a call and returns the guard that counts it as in flight; `None` without [`requests`](Self::requests).
    pub(crate) fn count_call(&self, upstream: Option<&Cow<'static, str>>) -> Option<Box<dyn Any + Send + Sync>> {
        if !self.requests {
            return None;
        }
        let upstream = upstream.cloned().unwrap_or_default();
        counter!(REQUESTS, "upstream" => upstream.clone()).increment(1);
        let gauge = gauge!(IN_FLIGHT, "upstream" => upstream);
        gauge.increment(1);
        Some(Box::new(InFlight(gauge)))
    }

    /// Counts a failure and records the time from the call until then.
    ///
    /// A failure of kind `received_status` stands for a response of the upstream that was intercepted, so it counts as a response too.
    pub(crate) fn record_failure(&self, event: &FailureEvent<'_>) {
        let (failure, common) = (event.failure, self.common(event.call));
        common.failures(failure.kind(), failure.phase(), failure.blame(), event.status, event.grpc_code).increment(1);
        self.count_fallback(event);
        // A body may say the same of itself: its response went out, and was not intercepted.
        let is_counted = self.requests && failure.kind() == FailureKind::ReceivedStatus && failure.is_answered();
        if let Some(status) = failure.upstream_status().filter(|_| is_counted) {
            common.responses(labels::class(status), true).increment(1);
        }
        if self.open_telemetry {
            open_telemetry::record_failure(event, self.declared(event.call));
        }
        let elapsed = failure.elapsed().unwrap_or_default();
        let status = labels::status(event.status);
        histogram!(TIME_TO_FAILURE, "upstream" => common.upstream, "status" => status).record(elapsed);
    }

    /// Counts what has become of the fallback, if there was one for the failure.
    pub(crate) fn count_fallback(&self, event: &FailureEvent<'_>) {
        if let Some(outcome) = event.failure.fallback() {
            self.common(event.call).fallbacks(event.failure.kind(), outcome.as_str()).increment(1);
        }
    }

    /// Counts a failure whose event was left out of the log.
    pub(crate) fn count_left_out(&self, event: &FailureEvent<'_>) {
        self.common(event.call).events_left_out().increment(1);
    }

    /// Records a response that was forwarded to its end: with [`requests`](Self::requests) in the counters of responses, and with
    /// [`open_telemetry`](Self::open_telemetry) in its histogram.
    pub(crate) fn record_success(&self, event: &SuccessEvent<'_>) {
        if self.open_telemetry {
            open_telemetry::record_success(event, self.declared(event.call));
        }
        if self.requests {
            let (common, class) = (self.common(event.call), labels::class(event.status));
            common.responses(class, false).increment(1);
            histogram!(TIME_TO_END, "upstream" => common.upstream, "class" => class).record(event.time_to_end);
        }
    }

    /// Counts a call that its client left: in phase `response_head` without a head, and in `response_body` with one.
    pub(crate) fn record_abandonment(&self, event: &AbandonedEvent<'_>) {
        let phase = if event.status.is_none() { Phase::ResponseHead } else { Phase::ResponseBody };
        let common = self.common(event.call);
        common.abandonments(phase).increment(1);
        if let Some(elapsed) = event.elapsed {
            histogram!(TIME_TO_ABANDONMENT, "upstream" => common.upstream, "phase" => phase.as_str()).record(elapsed);
        }
    }
}

/// The guard of a call that is in flight; its drop takes the call off the gauge.
struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        // The guard may be dropped while the thread unwinds, and a recorder that panics then would abort the process.
        caught(|| self.0.decrement(1));
    }
}

/// The labels `upstream` and `endpoint` of the counters of a call, and a constructor for each counter.
struct CommonLabels {
    /// The name of the layer's upstream, or empty.
    upstream: String,
    /// The value of `endpoint`; `None` leaves the label out, where no upstream was declared.
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

    fn fallbacks(&self, kind: FailureKind, outcome: &'static str) -> Counter {
        self.counter(FALLBACKS, [Label::new("error", kind.token()), Label::new("outcome", outcome)])
    }

    fn abandonments(&self, phase: Phase) -> Counter {
        self.counter(ABANDONED, [Label::new("phase", phase.as_str())])
    }

    fn events_left_out(&self) -> Counter {
        self.counter(LEFT_OUT, [])
    }

    fn responses(&self, class: &'static str, intercepted: bool) -> Counter {
        let intercepted = if intercepted { "true" } else { "false" };
        self.counter(RESPONSES, [Label::new("class", class), Label::new("intercepted", intercepted)])
    }

    /// A counter with the common labels around its own. The order is that of the table at [`Metrics`], with `endpoint` last.
    fn counter<const N: usize>(&self, name: &'static str, labels: [Label; N]) -> Counter {
        let mut all = Vec::with_capacity(N + 2);
        all.push(Label::new("upstream", self.upstream.clone()));
        all.extend(labels);
        all.extend(self.endpoint.clone().map(|endpoint| Label::new("endpoint", endpoint)));
        counter!(name, all)
    }
}

const FAILURES: &str = "bad_gateway_failures_total";
const FALLBACKS: &str = "bad_gateway_fallbacks_total";
const TIME_TO_FAILURE: &str = "bad_gateway_time_to_failure_seconds";
const ABANDONED: &str = "bad_gateway_abandoned_total";
const TIME_TO_ABANDONMENT: &str = "bad_gateway_time_to_abandonment_seconds";
const LEFT_OUT: &str = "bad_gateway_events_left_out_total";
const RESPONSES: &str = "bad_gateway_responses_total";
const TIME_TO_END: &str = "bad_gateway_time_to_end_seconds";
const REQUESTS: &str = "bad_gateway_requests_total";
const IN_FLIGHT: &str = "bad_gateway_requests_in_flight";
