//! The histograms of OpenTelemetry's semantic conventions.

use std::{borrow::Cow, time::Duration};

use http::{Method, StatusCode};
use metrics::{Label, Unit, describe_histogram, histogram};

use super::{super::grpc_status, CallDetails, FailureEvent, SuccessEvent, labels};
use crate::{context::Protocol, upstream::Upstream};

pub(super) fn describe() {
    describe_histogram!(HTTP, Unit::Seconds, "Duration of HTTP client requests.");
    describe_histogram!(RPC, Unit::Seconds, "Duration of outgoing remote procedure calls.");
}

/// `server`: the upstream of the call, if its name was declared.
pub(super) fn failed(event: &FailureEvent<'_>, server: Option<&Upstream>) {
    let failure = event.failure;
    // What the upstream has answered, not what the client is.
    let received = failure.upstream_status();
    let error = event.grpc_code.map_or(failure.kind().token(), grpc_status::name);
    let elapsed = failure.elapsed().unwrap_or_default();
    record(event.call, received, event.grpc_code, Some(error.into()), elapsed, server);
}

pub(super) fn succeeded(event: &SuccessEvent<'_>, server: Option<&Upstream>) {
    let status = event.status;
    let is_error = status.is_client_error() || status.is_server_error();
    let error = is_error.then(|| labels::status(status));
    record(event.call, Some(status), None, error, event.time_to_end, server);
}

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
        // It is a number: a class has no place here.
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

/// A client can make methods up.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 10] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

const HTTP: &str = "http.client.request.duration";
const RPC: &str = "rpc.client.call.duration";
