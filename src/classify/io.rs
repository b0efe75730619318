//! `std::io::Error`, by kind and, where there is no stable kind, by number.

use std::io::{Error, ErrorKind};

use super::{
    Cause, Verdict,
    stage::{is_body, is_connecting},
    time::late,
};
use crate::failure::{FailureKind, Phase};

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let error = innermost(cause)?;
    let connecting = is_connecting(cause);
    if out_of_resources(error) {
        return Some(Verdict::new(FailureKind::ProxyInternalError));
    }
    let verdict = match error.kind() {
        ErrorKind::ConnectionRefused => Verdict::not_sent(FailureKind::ConnectionRefused, Phase::Connect),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown => {
            Verdict::new(FailureKind::DestinationIpUnroutable)
        }
        // A firewall on this machine, or the permissions of a Unix socket.
        ErrorKind::PermissionDenied if error.raw_os_error().is_some() => {
            Verdict::new(FailureKind::DestinationIpProhibited)
        }
        // The path of a Unix socket: there is nothing, or a file in the way.
        ErrorKind::NotFound | ErrorKind::NotADirectory if connecting => Verdict::new(FailureKind::ConnectionRefused),
        // At once where a TCP socket would wait: the queue of a Unix socket that listens is full.
        ErrorKind::WouldBlock if connecting => Verdict::new(FailureKind::DestinationUnavailable),
        _ if connecting && is_no_stream_socket(error) => Verdict::new(FailureKind::ConnectionRefused),
        ErrorKind::TimedOut => late(cause),
        ErrorKind::UnexpectedEof if may_be_body(cause) => {
            below_hyper_or_coding(cause, FailureKind::HttpResponseIncomplete)
        }
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof
        | ErrorKind::WriteZero => Verdict::new(FailureKind::ConnectionTerminated),
        // A path that is too long, a URI that the connector does not take, an address without its scope: no byte was sent.
        ErrorKind::InvalidInput if connecting => Verdict::new(FailureKind::ProxyConfigurationError),
        ErrorKind::InvalidData | ErrorKind::InvalidInput => return invalid(error, cause),
        _ => return None,
    };
    Some(if connecting { Verdict::not_sent(verdict.kind, Phase::Connect).or(verdict) } else { verdict })
}

/// TLS stacks wrap the socket's error in one of their own.
pub(super) fn innermost<'a>(cause: &Cause<'a>) -> Option<&'a Error> {
    cause.iter().filter_map(|error| error.downcast_ref::<Error>()).last()
}

/// Whoever says that data is invalid has decoded it: hyper its chunks, TLS its records, somebody else the content.
fn invalid(error: &Error, cause: &Cause<'_>) -> Option<Verdict> {
    if may_be_body(cause) {
        return Some(below_hyper_or_coding(cause, FailureKind::HttpResponseTransferCoding));
    }
    // Of a connector that is not ours to know anything may be invalid; an established connection has only TLS to decode.
    let by_tls = error.kind() == ErrorKind::InvalidData && below_hyper(cause) && !is_connecting(cause);
    by_tls.then(|| Verdict::new(FailureKind::TlsProtocolError).phase(Phase::Tls))
}

/// hyper alone, without a client around it, reports these of a body; of a head it has words of its own.
fn may_be_body(cause: &Cause<'_>) -> bool {
    is_body(cause) || (cause.seen_in() == Phase::Unknown && below_hyper(cause) && !cause.is_of_call())
}

fn below_hyper_or_coding(cause: &Cause<'_>, kind: FailureKind) -> Verdict {
    Verdict::new(if below_hyper(cause) { kind } else { FailureKind::HttpResponseContentCoding })
}

#[cfg(feature = "hyper-util")]
fn below_hyper(cause: &Cause<'_>) -> bool {
    cause.hyper().is_some() || cause.client().is_some()
}

#[cfg(not(feature = "hyper-util"))]
fn below_hyper(cause: &Cause<'_>) -> bool {
    is_body(cause)
}

/// No file descriptor, no port, no memory: our own machine is at its end.
fn out_of_resources(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse | ErrorKind::OutOfMemory)
        || (cfg!(unix) && error.raw_os_error().is_some_and(|number| EXHAUSTED.contains(&number)))
}

/// EPROTOTYPE: what listens on this path is a Unix socket of another sort.
fn is_no_stream_socket(error: &Error) -> bool {
    cfg!(unix) && error.raw_os_error() == Some(if cfg!(target_os = "linux") { 91 } else { 41 })
}

/// EMFILE and ENFILE, the same on every Unix; ENOBUFS of Linux and of the BSDs.
const EXHAUSTED: &[i32] = &[24, 23, if cfg!(target_os = "linux") { 105 } else { 55 }];

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
            (kind(ErrorKind::AddrNotAvailable), FailureKind::ProxyInternalError),
            // Numbers of Linux.
            (os(111), FailureKind::ConnectionRefused),
            (os(104), FailureKind::ConnectionTerminated),
            (os(110), FailureKind::HttpResponseTimeout),
            (os(113), FailureKind::DestinationIpUnroutable),
            (os(101), FailureKind::DestinationIpUnroutable),
            (os(13), FailureKind::DestinationIpProhibited),
            (os(1), FailureKind::DestinationIpProhibited),
            (os(99), FailureKind::ProxyInternalError),
            (os(24), FailureKind::ProxyInternalError),
            (os(23), FailureKind::ProxyInternalError),
            (os(105), FailureKind::ProxyInternalError),
            (os(12), FailureKind::ProxyInternalError),
            // Said by a library about its own files, not by a socket.
            (kind(ErrorKind::PermissionDenied), FailureKind::Unclassified),
            (kind(ErrorKind::NotFound), FailureKind::Unclassified),
            (Error::other("anything"), FailureKind::Unclassified),
            // The wrapped error is the one that counts.
            (Error::other(kind(ErrorKind::ConnectionReset)), FailureKind::ConnectionTerminated),
        ]
        .into_iter()
        .map(|(error, expected)| (error.to_string(), Failure::from_error(error).kind(), expected))
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(error, got, expected): {wrong:?}");
    }
}
