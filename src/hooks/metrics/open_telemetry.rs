//! The histograms of [OpenTelemetry's semantic conventions](https://opentelemetry.io/docs/specs/semconv/), for layers with
//! [`open_telemetry`](super::Metrics::open_telemetry).
//!
//! A call is recorded once, in one of two histograms: `rpc.client.call.duration` if the request was gRPC, and
//! `http.client.request.duration` otherwise. Calls that were abandoned are not recorded. Names and values of the attributes follow the
//! conventions, not the words of this crate, and the labels of the other metrics do not occur here.
//!
//! [`Metrics`](super::Metrics) calls it after its own counters.

use std::{borrow::Cow, time::Duration};

use http::{Method, StatusCode};
use metrics::{Label, Unit, describe_histogram, histogram};

use super::{super::grpc_status, CallDetails, FailureEvent, SuccessEvent, labels};
use crate::{context::Protocol, upstream::Upstream};

/// Describes both histograms to the recorder. No series is registered at 0: a histogram without a value says nothing.
pub(super) fn describe() {
    describe_histogram!(HTTP, Unit::Seconds, "Duration of HTTP client requests.");
    describe_histogram!(RPC, Unit::Seconds, "Duration of outgoing remote procedure calls.");
}

/// Records a call that failed, with the time until its failure.
///
/// `server` is the upstream of the call, if its name was declared. `error.type` is the name of the gRPC code the caller was answered, or
/// else the token of the kind: also for a gRPC body that was aborted after its head.
pub(super) fn record_failure(event: &FailureEvent<'_>, server: Option<&Upstream>) {
    let failure = event.failure;
    // The conventions want the status that was received. The client's 502 would look as if the upstream had sent it.
    let received = failure.upstream_status();
    let error = event.grpc_code.map_or(failure.kind().token(), grpc_status::name);
    let elapsed = failure.elapsed().unwrap_or_default();
    record(event.call, received, event.grpc_code, Some(error.into()), elapsed, server);
}

/// Records a call whose response was forwarded to its end, with the time until then.
///
/// A 4xx or 5xx of the upstream has an `error.type`, its number, as the conventions ask for; in the other metrics it is a response.
pub(super) fn record_success(event: &SuccessEvent<'_>, server: Option<&Upstream>) {
    let status = event.status;
    let is_error = status.is_client_error() || status.is_server_error();
    let error = is_error.then(|| labels::status(status));
    record(event.call, Some(status), None, error, event.time_to_end, server);
}

/// Adds one duration to the histogram of the request's protocol.
///
/// An attribute without a value is left out. `grpc_code` is `None` for a gRPC call that did not fail: its code is in the trailers, which
/// are not counted.
fn record(
    call: CallDetails<'_>,
    received: Option<StatusCode>,
    grpc_code: Option<u8>,
    error: Option<Cow<'static, str>>,
    elapsed: Duration,
    server: Option<&Upstream>,
) {
    let mut attributes = Vec::with_capacity(6);
    let metric = if call.request.protocol() == Protocol::Grpc {
        attributes.push(Label::new("rpc.system.name", "grpc"));
        attributes.extend(grpc_code.map(|code| Label::new("rpc.status_code", grpc_status::name(code))));
        RPC
    } else {
        attributes.push(Label::new("http.request.method", method(call.request.method())));
        // The attribute is a number in the conventions: the class of an unregistered status would break queries that compare it.
        let received = received.filter(|status| status.canonical_reason().is_some());
        attributes.extend(received.map(|status| Label::new("http.response.status_code", labels::status(status))));
        HTTP
    };
    attributes.extend(error.map(|error| Label::new("error.type", error)));
    if let Some((address, port)) = server.and_then(Upstream::address) {
        attributes.push(Label::new("server.address", address.to_owned()));
        attributes.extend(port.map(|port| Label::new("server.port", port.to_string())));
    }
    histogram!(metric, attributes).record(elapsed);
}

/// The method if it is one of the ten that the conventions list, and `_OTHER` if not: a client that invents methods would otherwise
/// create a series with each.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 10] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// The histogram of HTTP requests.
const HTTP: &str = "http.client.request.duration";
/// The histogram of gRPC calls.
const RPC: &str = "rpc.client.call.duration";
