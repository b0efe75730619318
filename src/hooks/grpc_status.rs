//! The names of gRPC status codes, for the field `rpc.status_code` of an event and the labels of metrics.
//!
//! They are written as the gRPC documentation and the semantic conventions of OpenTelemetry write them: in capitals, with underscores.
//! The number itself is in [`FailureEvent::grpc_code`](super::FailureEvent::grpc_code).

/// The [name](https://grpc.io/docs/guides/status-codes/) of a code, and `other` for a number that gRPC does not define.
///
/// The failures of this crate carry defined codes only. The fallback keeps the set of label values closed without a panic.
pub(super) fn name(code: u8) -> &'static str {
    NAMES.get(usize::from(code)).copied().unwrap_or("other")
}

/// The names of the codes 0 to 16, in the order of their numbers.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
