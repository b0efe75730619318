//! The events for `tracing`, all with target `tower_bad_gateway`.
//!
//! | event | level | written by |
//! | --- | --- | --- |
//! | a failure, answered or met in a body | WARN; INFO where the client is to blame | `failure` |
//! | how many events of a kind were left out | as the events that were left out | `events_left_out` |
//! | a handler's failure that no layer has answered | WARN | `unanswered_failure` |
//! | a call that its client has left | DEBUG | `abandonment` |
//! | many calls that their clients have left | WARN | `many_abandonments` |
//!
//! The line of a failure, as the formatter of `tracing-subscriber` writes it (on one line):
//!
//! ```text
//!  WARN tower_bad_gateway: upstream call failed: the upstream refused the connection
//!  http.request.method="GET" url.path="/path" request_id=7f3a-12 upstream="billing" gateway=edge-1
//!  http.response.status_code=502 error.type="connection_refused" phase="connect" blame="upstream"
//!  retry_safety="not_sent" cause=connection_refused in connect: connection refused
//! ```
//!
//! Fields that exist in the
//! [semantic conventions of OpenTelemetry](https://opentelemetry.io/docs/specs/semconv/registry/attributes/) have their names. A field
//! without a value is not written at all.
//!
//! An event is for the operator and may hold what no client is shown: names, addresses and the texts of errors. It never holds the
//! value of a header field, which may be a secret, or the query of the URI. The one exception is the identifier of the request, from a
//! field that the user has [named](crate::BadGatewayLayer::request_id_header).
//!
//! This file decides level, fields and words. Whether an event is written at all is decided by its callers: the limit in `event_log`,
//! the count in `abandonments`, and `silent` in `observers`.

use std::time::Duration;

use super::{AbandonedEvent, FailureEvent, grpc_status};
#[cfg(feature = "axum")]
use crate::failure::Failure;
use crate::{
    failure::{FailureKind, FallbackOutcome, Intermediary, TimeLimit},
    representation::shortened,
};

/// Writes an event with the fields that all events of a call have, followed by the fields of this one.
///
/// It is a macro because `tracing` needs level, target and field names at compile time. The path and the address are cut after 1 KiB.
macro_rules! event_of_call {
    ($level:expr, $call:expr, { $($fields:tt)* }, $message:literal $(,)?) => {
        tracing::event!(
            target: "tower_bad_gateway",
            $level,
            {
            http.request.method = $call.request.method().as_str(),
            url.path = shortened($call.request.path()),
            request_id = $call.request.request_id().map(tracing::field::display),
            upstream = $call.upstream(),
            server.address = $call.server().map(|(address, _)| shortened(address)),
            server.port = $call.server().and_then(|(_, port)| port),
            gateway = $call.gateway.map(tracing::field::display),
            $($fields)*
            },
            $message,
        )
    };
}

/// Writes the event of one failure: at INFO where the client is to blame, since the operator can do nothing about it, and otherwise at
/// WARN.
///
/// `left_out` is the number of events of the same kind that were not written before this one. The status is the one the client was
/// answered; for a body that broke it is the one that had been sent, and the message says "after 200".
///
/// It prints the chain of causes, so the `Display` of a user's error runs here and may panic; the caller catches the panic.
pub(super) fn failure(event: &FailureEvent<'_>, left_out: u64) {
    let failure = event.failure;
    let status = event.status.as_u16();
    // Of an answered failure only this is told a second time. Without words of its own it would read, and count, as another failure of the upstream.
    let broken_fallback = failure.fallback().and_then(|outcome| match outcome {
        FallbackOutcome::Broken(broken) => Some(broken),
        _ => None,
    });
    // Without the status in the message, a body that broke after a 200 would read like a failure that was answered.
    let is_after_head = broken_fallback.is_some() || !failure.is_answered();
    let when = if is_after_head { format_args!(" after {status}") } else { format_args!("") };
    let is_clients = event.is_clients();
    let what = match broken_fallback {
        Some(_) => "fallback",
        None if is_clients => "client's part",
        None => "upstream call",
    };
    let shown = broken_fallback.unwrap_or(failure);
    macro_rules! event_at {
        ($level:expr) => {
            event_of_call!(
                $level,
                event.call,
                {
                http.response.status_code = status,
                rpc.status_code = event.grpc_code.map(grpc_status::name),
                "error.type" = failure.kind().token(),
                phase = failure.phase().as_str(),
                blame = failure.blame().as_str(),
                retry_safety = failure.retry_safety().as_str(),
                received_status = failure.upstream_status().map(|status| status.as_u16()),
                origin.name = failure.origin().map(Intermediary::name),
                origin.error = failure.origin().and_then(Intermediary::error),
                origin.details = failure.origin().and_then(Intermediary::details),
                fallback = failure.fallback().map(FallbackOutcome::as_str),
                fallback.cause = failure.fallback().and_then(FallbackOutcome::failure).map(|failure| tracing::field::display(failure.private_chain())),
                limit = failure.limit().map(TimeLimit::as_str),
                elapsed_ms = failure.elapsed().map(millis),
                left_out = (left_out > 0).then_some(left_out),
                cause = %failure.private_chain(),
                },
                "{what} failed{when}: {shown}",
            )
        };
    }
    if is_clients { event_at!(tracing::Level::INFO) } else { event_at!(tracing::Level::WARN) }
}

/// Writes how many events of one kind were left out since the last one that was written.
///
/// It is called when the log is dropped, so no further event can carry the number. `is_clients`: the events would have been written at
/// INFO, since the client was to blame.
pub(super) fn events_left_out(kind: FailureKind, is_clients: bool, upstream: Option<&str>, left_out: u64) {
    macro_rules! event_at {
        ($level:expr) => {
            tracing::event!(
                target: "tower_bad_gateway",
                $level,
                { upstream, "error.type" = kind.token(), left_out },
                "{left_out} more events of this kind were left out",
            )
        };
    }
    if is_clients { event_at!(tracing::Level::INFO) } else { event_at!(tracing::Level::WARN) }
}

/// Writes the event of a failure that a handler has returned and no layer has answered.
///
/// The request is not known here, so the event has neither method nor path. Whether the request may be sent again is left out too: the
/// failure speaks of one attempt, and the handler may have made several.
#[cfg(feature = "axum")]
pub(super) fn unanswered_failure(failure: &Failure) {
    tracing::warn!(
        target: "tower_bad_gateway",
        {
        http.response.status_code = failure.status().as_u16(),
        "error.type" = failure.kind().token(),
        phase = failure.phase().as_str(),
        blame = failure.blame().as_str(),
        received_status = failure.upstream_status().map(|status| status.as_u16()),
        cause = %failure.private_chain(),
        },
        "handler failed, and no layer around it has answered: {failure}",
    );
}

/// Writes the warning that more clients have left than were answered, with both numbers.
///
/// The upstream is the layer's: the clients of all its calls are counted together.
pub(super) fn many_abandonments(upstream: Option<&str>, left: u32, answered: u32) {
    tracing::warn!(
        target: "tower_bad_gateway",
        { upstream, left, answered },
        "{left} clients have left before they were answered, {answered} were answered in that time",
    );
}

/// Writes the event of a call that was dropped before its end, at DEBUG: a client may leave at any time, and that is no failure.
///
/// It is written from a `Drop`, outside of the span of the request, so it has all fields of the call itself.
pub(super) fn abandonment(event: &AbandonedEvent<'_>) {
    event_of_call!(
        tracing::Level::DEBUG,
        event.call,
        {
        http.response.status_code = event.status.map(|status| status.as_u16()),
        elapsed_ms = event.elapsed.map(millis),
        },
        "upstream call abandoned",
    );
}

/// Whole milliseconds, rounded down; a number is easier to query than a duration with its unit.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
