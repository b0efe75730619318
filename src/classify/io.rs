//! `std::io::Error`, by kind and, where there is no stable kind, by number.
//!
//! The innermost error counts, since TLS libraries wrap the socket's. The same error means something else at each place of the
//! call, so most rows depend on [`super::place`]:
//!
//! | error | while connecting | in a response body | otherwise |
//! | --- | --- | --- | --- |
//! | refused | connection_refused | the same | the same, not sent |
//! | no route, network down | destination_ip_unroutable | the same | the same |
//! | permission denied, with a number | destination_ip_prohibited | the same | the same |
//! | not found, not a directory, no stream socket | connection_refused | - | - |
//! | would block | destination_unavailable | - | - |
//! | timed out | connection_timeout | connection_read_timeout | http_response_timeout |
//! | reset, aborted, broken pipe, not connected, write zero | connection_terminated | the same | the same |
//! | unexpected end | connection_terminated | http_response_incomplete or http_response_content_coding | connection_terminated |
//! | invalid input | proxy_configuration_error | as invalid data | - |
//! | invalid data | - | http_response_transfer_coding or http_response_content_coding | below hyper tls_protocol_error |
//! | no descriptors, ports or buffers | connection_limit_reached | the same | the same |
//! | no memory | proxy_internal_error | the same | the same |
//!
//! Where a dash stands the reader does not know the error. All errors of connecting are of the phase connect, and nothing was sent.
//!
//! This reader stands near the end of the order: hyper, h2, rustls and the connectors say more of the same failure.

use std::io::{Error, ErrorKind};

use super::{
    Cause, Verdict,
    place::{is_body, is_connecting},
    time::timeout_verdict,
};
use crate::failure::{FailureKind, Phase, RetrySafety};

/// The verdict on the innermost I/O error, if there is one.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let error = cause.innermost_io()?;
    let connecting = is_connecting(cause);
    let verdict = match error.kind() {
        _ if is_out_of_connections(error) => Verdict::new(FailureKind::ConnectionLimitReached),
        ErrorKind::OutOfMemory => Verdict::new(FailureKind::ProxyInternalError),
        ErrorKind::ConnectionRefused => Verdict::not_sent(FailureKind::ConnectionRefused, Phase::Connect),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown => {
            Verdict::new(FailureKind::DestinationIpUnroutable)
        }
        // A firewall on this machine, or the permissions of a Unix socket. Without a number a library says this of a file of its own,
        // which is not the address of an upstream.
        ErrorKind::PermissionDenied if error.raw_os_error().is_some() => {
            Verdict::new(FailureKind::DestinationIpProhibited)
        }
        // The path of a Unix socket where nothing is, or a file stands in the way: the same answer as for a TCP port without a listener.
        // Elsewhere any file may be missing.
        ErrorKind::NotFound | ErrorKind::NotADirectory if connecting => Verdict::new(FailureKind::ConnectionRefused),
        // The queue of a listening Unix socket is full. A TCP socket would wait; this one says at once that now is not the time.
        ErrorKind::WouldBlock if connecting => Verdict::new(FailureKind::DestinationUnavailable),
        _ if connecting && is_no_stream_socket(error) => Verdict::new(FailureKind::ConnectionRefused),
        ErrorKind::TimedOut => timeout_verdict(cause),
        ErrorKind::UnexpectedEof if may_be_body(cause) => broken_body(cause, FailureKind::HttpResponseIncomplete),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof
        | ErrorKind::WriteZero => Verdict::new(FailureKind::ConnectionTerminated),
        // A path that is too long, a URI that the connector does not take, or an address without its scope: the gateway's settings.
        ErrorKind::InvalidInput if connecting => Verdict::new(FailureKind::ProxyConfigurationError),
        ErrorKind::InvalidData | ErrorKind::InvalidInput => return invalid_data(error, cause),
        _ => return None,
    };
    Some(if connecting { verdict.phase(Phase::Connect).retry_safety(RetrySafety::NotSent) } else { verdict })
}

/// The verdict on data that could not be decoded. Which decoder says so follows from the place: hyper decodes chunks, TLS its records,
/// another layer the content coding.
fn invalid_data(error: &Error, cause: &Cause<'_>) -> Option<Verdict> {
    if may_be_body(cause) {
        return Some(broken_body(cause, FailureKind::HttpResponseTransferCoding));
    }
    // A connector may find many things invalid, so there nothing is claimed. On an established connection hyper reports the invalid
    // data of its own decoder in other ways, and only TLS is left.
    let is_of_tls = error.kind() == ErrorKind::InvalidData && below_hyper(cause) && !is_connecting(cause);
    is_of_tls.then(|| Verdict::new(FailureKind::TlsProtocolError).phase(Phase::Tls))
}

/// Whether the error can be of a response body. Where the caller has not said so, an error of hyper with no client around it counts as
/// one: of a head hyper reports the same failures by kinds of its own.
fn may_be_body(cause: &Cause<'_>) -> bool {
    is_body(cause) || (cause.seen_in() == Phase::Unknown && below_hyper(cause) && !cause.is_of_call())
}

/// The verdict on a body that ended early or could not be decoded: below hyper it is this kind. Otherwise hyper has found the body
/// whole, and a decoder of the content coding outside of hyper failed.
fn broken_body(cause: &Cause<'_>, kind: FailureKind) -> Verdict {
    Verdict::new(if below_hyper(cause) { kind } else { FailureKind::HttpResponseContentCoding })
}

/// Whether the error stands below one of hyper or of its client.
#[cfg(feature = "hyper-util")]
fn below_hyper(cause: &Cause<'_>) -> bool {
    cause.hyper().is_some() || cause.client().is_some()
}

/// Without the feature hyper's types cannot be named: each error of a body counts as hyper's.
#[cfg(not(feature = "hyper-util"))]
fn below_hyper(cause: &Cause<'_>) -> bool {
    is_body(cause)
}

/// Whether the machine of the gateway has run out of what a connection needs: file descriptors, local ports or buffers. The upstream has no
/// part in it, and it passes when other connections end. A local address that the machine does not have looks the same, and does not pass.
fn is_out_of_connections(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse)
        || (cfg!(unix) && error.raw_os_error().is_some_and(|number| EXHAUSTED_ERRNOS.contains(&number)))
}

/// Whether the number is EPROTOTYPE, for which there is no stable kind: the Unix socket on this path is not one of streams.
fn is_no_stream_socket(error: &Error) -> bool {
    cfg!(unix)
        && error.raw_os_error() == Some(if cfg!(any(target_os = "linux", target_os = "android")) { 91 } else { 41 })
}

/// The numbers that mean that the machine has run out of something, for which there is no stable kind: EMFILE and ENFILE, the same on
/// every Unix; ENOBUFS of Linux, and that of the BSDs everywhere else.
const EXHAUSTED_ERRNOS: &[i32] =
    &[24, 23, if cfg!(any(target_os = "linux", target_os = "android")) { 105 } else { 55 }];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn errors_are_named_by_what_they_say_of_the_upstream() {
        let kind = |kind: ErrorKind| Error::from(kind);
        let os = Error::from_raw_os_error;
        let wrong: Vec<_> = [
            (kind(ErrorKind::ConnectionRefused), FailureKind::ConnectionRefused),
            (kind(ErrorKind::ConnectionReset), FailureKind::ConnectionTerminated),
            (kind(ErrorKind::ConnectionAborted), FailureKind::ConnectionTerminated),
            (kind(ErrorKind::BrokenPipe), FailureKind::ConnectionTerminated),
            (kind(ErrorKind::UnexpectedEof), FailureKind::ConnectionTerminated),
            (kind(ErrorKind::TimedOut), FailureKind::HttpResponseTimeout),
            (kind(ErrorKind::HostUnreachable), FailureKind::DestinationIpUnroutable),
            (kind(ErrorKind::NetworkUnreachable), FailureKind::DestinationIpUnroutable),
            (kind(ErrorKind::AddrNotAvailable), FailureKind::ConnectionLimitReached),
            // Numbers of Linux.
            (os(111), FailureKind::ConnectionRefused),
            (os(104), FailureKind::ConnectionTerminated),
            (os(110), FailureKind::HttpResponseTimeout),
            (os(113), FailureKind::DestinationIpUnroutable),
            (os(101), FailureKind::DestinationIpUnroutable),
            (os(13), FailureKind::DestinationIpProhibited),
            (os(1), FailureKind::DestinationIpProhibited),
            (os(99), FailureKind::ConnectionLimitReached),
            (os(24), FailureKind::ConnectionLimitReached),
            (os(23), FailureKind::ConnectionLimitReached),
            (os(105), FailureKind::ConnectionLimitReached),
            (os(12), FailureKind::ProxyInternalError),
            // Without a number a library says these of its own files, not a socket of an upstream.
            (kind(ErrorKind::PermissionDenied), FailureKind::Unclassified),
            (kind(ErrorKind::NotFound), FailureKind::Unclassified),
            (Error::other("anything"), FailureKind::Unclassified),
            // The wrapped error counts.
            (Error::other(kind(ErrorKind::ConnectionReset)), FailureKind::ConnectionTerminated),
        ]
        .into_iter()
        .map(|(error, expected)| (error.to_string(), Failure::from_error(error).kind(), expected))
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(error, got, expected): {wrong:?}");
    }
}
