//! One event a failure for `tracing`.

use std::time::Duration;

use super::{AbandonedEvent, FailureEvent, grpc_status};
#[cfg(feature = "axum")]
use crate::failure::Failure;
use crate::{
    failure::{Blame, FailureKind, Intermediary, TimeLimit},
    representation::shortened,
};

/// An event of a call: what all of them say of it, and then what this one says.
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

/// Never a header value, which may be a secret; an identifier is one only if somebody has made it one. The path may be logged,
/// the query may not. A client's own fault is no cause for alarm.
pub(super) fn failure(event: &FailureEvent<'_>, left_out: u64) {
    let failure = event.failure;
    // What is answered is answered in place of a head; the rest has one that was sent.
    let status = event.status.as_u16();
    let when = if failure.is_answered() { format_args!("") } else { format_args!(" after {status}") };
    let what = if failure.blame() == Blame::Client { "client's part" } else { "upstream call" };
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
                limit = failure.limit().map(TimeLimit::as_str),
                elapsed_ms = failure.elapsed().map(millis),
                left_out = (left_out > 0).then_some(left_out),
                cause = %failure.private_chain(),
                },
                "{what} failed{when}: {failure}",
            )
        };
    }
    if failure.blame() == Blame::Client { event_at!(tracing::Level::INFO) } else { event_at!(tracing::Level::WARN) }
}

/// What was counted and not written, when nothing more comes that could tell.
pub(super) fn left_out(kind: FailureKind, is_clients: bool, upstream: Option<&str>, left_out: u64) {
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

/// Of a handler's failure that no layer has answered: nothing is known of the request, nor whether it may be sent again.
#[cfg(feature = "axum")]
pub(super) fn unanswered(failure: &Failure) {
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

/// Many have left, and few were answered: whatever the upstream does, it does it too slowly for those who ask.
pub(super) fn abandonments(upstream: Option<&str>, left: u32, answered: u32) {
    tracing::warn!(
        target: "tower_bad_gateway",
        { upstream, left, answered },
        "{left} clients have left before they were answered, {answered} were answered in that time",
    );
}

/// Nobody's failure. It comes from `Drop`, where the span of the request may be gone, and so says all there is to say.
pub(super) fn debug(event: &AbandonedEvent<'_>) {
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

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
