//! One event a failure for `tracing`.

use std::time::Duration;

use super::{AbandonedEvent, FailureEvent};
use crate::{
    failure::{Phase, TimeLimit},
    representation::shortened,
};

/// Never a header value, which may be a secret; an identifier is one only if somebody has made it one. The path may be logged,
/// the query may not.
pub(super) fn warn(event: &FailureEvent<'_>) {
    let (failure, request) = (event.failure, event.request);
    // A body that broke before its head was passed on has become an answer like any other.
    let status = event.status.as_u16();
    let sent = failure.phase() == Phase::ResponseBody && !failure.is_answered();
    let when = if sent { format_args!(" after {status}") } else { format_args!("") };
    tracing::warn!(
        target: "tower_bad_gateway",
        {
        http.request.method = request.method().as_str(),
        url.path = shortened(request.path()),
        request_id = request.request_id().map(tracing::field::display),
        upstream = event.upstream,
        gateway = event.gateway.map(tracing::field::display),
        http.response.status_code = status,
        "error.type" = failure.kind().token(),
        phase = failure.phase().as_str(),
        blame = failure.blame().as_str(),
        retry_safety = failure.retry_safety().as_str(),
        limit = failure.limit().map(TimeLimit::as_str),
        elapsed_ms = failure.elapsed().map(millis),
        cause = %failure.private_chain(),
        },
        "upstream call failed{when}: {failure}",
    );
}

/// Nobody's failure. It comes from `Drop`, where the span of the request may be gone, and so says all there is to say.
pub(super) fn debug(event: &AbandonedEvent<'_>) {
    let request = event.request;
    tracing::debug!(
        target: "tower_bad_gateway",
        {
        http.request.method = request.method().as_str(),
        url.path = shortened(request.path()),
        request_id = request.request_id().map(tracing::field::display),
        upstream = event.upstream,
        gateway = event.gateway.map(tracing::field::display),
        http.response.status_code = event.status.map(|status| status.as_u16()),
        elapsed_ms = event.elapsed.map(millis),
        },
        "upstream call abandoned",
    );
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
