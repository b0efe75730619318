//! gRPC codes as people and the semantic conventions of OpenTelemetry write them.

/// The [name](https://grpc.io/docs/guides/status-codes/) of a code; gRPC knows no others, but a service may make one up.
pub(super) fn name(code: u8) -> &'static str {
    NAMES.get(usize::from(code)).copied().unwrap_or("other")
}

/// By number.
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
