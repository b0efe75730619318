//! One event a failure for `tracing`.

use super::FailureEvent;
use crate::representation::shortened;

/// Never a header value, which may be a secret; an identifier is one only if somebody has made it one. The path may be logged,
/// the query may not.
pub(super) fn warn(event: &FailureEvent<'_>) {
    let (failure, request) = (event.failure, event.request);
    tracing::warn!(
        target: "tower_bad_gateway",
        {
        http.request.method = request.method().as_str(),
        url.path = shortened(request.path()),
        request_id = request.request_id().map(tracing::field::display),
        upstream = event.upstream,
        gateway = event.gateway.map(tracing::field::display),
        http.response.status_code = event.status.as_u16(),
        "error.type" = failure.kind().token(),
        phase = failure.phase().as_str(),
        blame = failure.blame().as_str(),
        retry_safety = failure.retry_safety().as_str(),
        limit = failure.limit().map(crate::failure::TimeLimit::as_str),
        elapsed_ms = failure.elapsed().map(|elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)),
        cause = %failure.private_chain(),
        },
        "upstream call failed: {failure}",
    );
}
