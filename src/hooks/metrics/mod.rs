//! Counters and histograms, through the `metrics` facade.

mod labels;
mod open_telemetry;

use std::{any::Any, borrow::Cow};

use http::StatusCode;
use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::{AbandonedEvent, Call, FailureEvent, SuccessEvent, grpc_status};
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
/// `upstream` is the name given by [`upstream`](crate::BadGatewayLayer::upstream), empty without one, or one that was
/// [declared](Self::upstreams); `error` the token of the
/// [kind](FailureKind::token), `phase` the [phase](Phase::as_str), `blame` whom it is [blamed on](Blame::as_str). `status` is the
/// HTTP status the client was answered, 200 for gRPC, or for a broken body the one it had been sent; a status that is in no registry
/// is its class, such as `5xx`. `grpc_status` is the name of the [code](https://grpc.io/docs/guides/status-codes/) a gRPC caller was
/// answered, such as `UNAVAILABLE`, and empty otherwise. `class` is that of the upstream's own status: the 5xx among them are
/// responses as any other, and a 101 or a 2xx to CONNECT has no end that anybody sees. `intercepted` is `true` for those that a
/// [validator](crate::BadGatewayLayer::validate) has turned into a [failure](FailureKind::ReceivedStatus), which counts as that as
/// well, and `false` for those that were passed on to the end of their body. So no label
/// can take more values than there are kinds, phases, codes and registered statuses, whatever comes from the network.
///
/// As soon as the layer wraps a service every kind has a series that stands at 0, with the phase, blame and status it mostly has, so
/// that the first failure is an increase; not so where one of these is another, as with gRPC clients. Install the recorder
/// before. How many series a histogram has is the exporter's choice: with Prometheus three more than it has buckets, for each
/// status, class or phase, and quantiles instead of buckets if none are set.
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
    open_telemetry: bool,
    upstreams: Vec<Cow<'static, str>>,
}

impl Metrics {
    /// Counts failures.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts calls too, all of them and those in flight, and the responses of the upstream with their times.
    ///
    /// This costs four allocations a call, and what the recorder needs to count a response. A tunnel (101, or 2xx to CONNECT) is over
    /// when its head is passed on.
    #[must_use]
    pub fn requests(mut self) -> Self {
        self.requests = true;
        self
    }

    /// Declares the names of the [upstreams](Upstream) that calls may go to: these are values of the label `upstream`, and for any
    /// other name that a call has it is `other`. Set several times, all of them count.
    ///
    /// Without a declaration, and for a call of which nobody has said the upstream, it is the name of the layer. So it is in
    /// `bad_gateway_requests_total` and `bad_gateway_requests_in_flight` in any case: where a call goes to is not known when it
    /// begins. Each name has the series of all failures that it has met, and those that stand at 0 are of the layer's name alone.
    ///
    /// ```
    /// use tower_bad_gateway::{BadGatewayLayer, Metrics};
    ///
    /// let metrics = Metrics::new().requests().upstreams(["billing-1", "billing-2"]);
    /// let layer = BadGatewayLayer::new().upstream("billing").metrics(metrics);
    /// ```
    #[must_use]
    pub fn upstreams<N: Into<Cow<'static, str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.upstreams.extend(names.into_iter().map(Into::into));
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
    /// [declared](Self::upstreams); a method that is in no registry is `_OTHER`. The buckets that are advised are 5, 10, 25, 50, 75, 100,
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

    /// The label of a call.
    fn upstream(&self, call: Call<'_>) -> String {
        match call.call_upstream.filter(|_| !self.upstreams.is_empty()) {
            Some(_) => self.declared(call).map_or("other", Upstream::name).to_owned(),
            None => label(call.layer_upstream),
        }
    }

    fn declared<'a>(&self, call: Call<'a>) -> Option<&'a Upstream> {
        call.call_upstream.filter(|upstream| self.upstreams.iter().any(|declared| declared == upstream.name()))
    }

    /// One series a kind, at 0.
    pub(crate) fn register(&self, upstream: Option<&str>) {
        let upstream = label(upstream);
        describe_counter!(FAILURES, Unit::Count, "Failures of upstream calls, by proxy error type.");
        describe_histogram!(TIME_TO_FAILURE, Unit::Seconds, "Time from the call to its failure.");
        for kind in FailureKind::ALL {
            let phase = labels::usual_phase(*kind);
            // A body breaks mostly after its head.
            let status = if phase == Phase::ResponseBody { StatusCode::OK } else { kind.status() };
            failures(&upstream, *kind, phase, labels::usual_blame(*kind), status, None).increment(0);
        }
        describe_counter!(LEFT_OUT, Unit::Count, "Failures without an event in the log.");
        left_out(&upstream).increment(0);
        describe_counter!(ABANDONED, Unit::Count, "Calls that a client left before their end.");
        describe_histogram!(TIME_TO_ABANDONMENT, Unit::Seconds, "Time from the call until its client left.");
        for phase in [Phase::ResponseHead, Phase::ResponseBody] {
            abandoned(&upstream, phase).increment(0);
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
                responses(&upstream, class, false).increment(0);
            }
            responses(&upstream, "5xx", true).increment(0);
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
        let (failure, upstream) = (event.failure, self.upstream(event.call));
        failures(&upstream, failure.kind(), failure.phase(), failure.blame(), event.status, event.grpc_code)
            .increment(1);
        if let (true, FailureKind::ReceivedStatus, Some(status)) =
            (self.requests, failure.kind(), failure.upstream_status())
        {
            responses(&upstream, labels::class(status), true).increment(1);
        }
        if self.open_telemetry {
            open_telemetry::failed(event, self.declared(event.call));
        }
        let elapsed = failure.elapsed().unwrap_or_default();
        histogram!(TIME_TO_FAILURE, "upstream" => upstream, "status" => labels::status(event.status)).record(elapsed);
    }

    /// A failure was counted and not written.
    pub(crate) fn left_out(&self, event: &FailureEvent<'_>) {
        left_out(&self.upstream(event.call)).increment(1);
    }

    pub(crate) fn succeeded(&self, event: &SuccessEvent<'_>) {
        if self.open_telemetry {
            open_telemetry::succeeded(event, self.declared(event.call));
        }
        if !self.requests {
            return;
        }
        let (upstream, class) = (self.upstream(event.call), labels::class(event.status));
        responses(&upstream, class, false).increment(1);
        histogram!(TIME_TO_END, "upstream" => upstream, "class" => class).record(event.time_to_end);
    }

    pub(crate) fn abandoned(&self, event: &AbandonedEvent<'_>) {
        let phase = if event.status.is_none() { Phase::ResponseHead } else { Phase::ResponseBody };
        let upstream = self.upstream(event.call);
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

fn failures(
    upstream: &str,
    kind: FailureKind,
    phase: Phase,
    blame: Blame,
    status: StatusCode,
    grpc_code: Option<u8>,
) -> Counter {
    counter!(
        FAILURES,
        "upstream" => upstream.to_owned(),
        "error" => kind.token(),
        "phase" => phase.as_str(),
        "blame" => blame.as_str(),
        "status" => labels::status(status),
        "grpc_status" => grpc_code.map_or("", grpc_status::name),
    )
}

fn abandoned(upstream: &str, phase: Phase) -> Counter {
    counter!(ABANDONED, "upstream" => upstream.to_owned(), "phase" => phase.as_str())
}

fn left_out(upstream: &str) -> Counter {
    counter!(LEFT_OUT, "upstream" => upstream.to_owned())
}

fn responses(upstream: &str, class: &'static str, intercepted: bool) -> Counter {
    let intercepted = if intercepted { "true" } else { "false" };
    counter!(RESPONSES, "upstream" => upstream.to_owned(), "class" => class, "intercepted" => intercepted)
}

fn label(upstream: Option<&str>) -> String {
    upstream.unwrap_or_default().to_owned()
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
