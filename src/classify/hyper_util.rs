//! `hyper_util::client::legacy::Error`: how far the call had come.
//!
//! The client's error says little of what went wrong, which stands in its sources, and much of where: while connecting, before the
//! request left, or after. So this module answers the questions of [`super::place`], and reads only what no other reader can: the
//! errors of the resolver and of the connector, and those of the client's own rules.
//!
//! | the error | kind | phase |
//! | --- | --- | --- |
//! | the resolver failed | dns_error | resolve |
//! | the connector does not take the scheme or the URI | proxy_configuration_error | connect |
//! | the client does not take the method, the version or the URI | proxy_configuration_error | connect |
//! | the TLS handshake ended early | tls_protocol_error or connection_terminated | tls |
//! | a socket failed | left to [`super::io`] | connect |
//!
//! Of all of these nothing was sent.

use std::{error::Error as _, io};

use hyper_util::client::legacy::Error;

use super::{Cause, Verdict};
use crate::failure::{Failure, FailureKind, Phase, RetrySafety};

/// The verdict on an error of connecting, and on a request that the client refuses to send.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    if is_connecting(cause) {
        connect(cause)
    } else if cause.client()?.source().is_none() {
        // A relative URI, a CONNECT over HTTP/1.0, or a version that the connection does not speak: the client refuses these before it
        // sends anything, and the code that made the request is at fault. As an unknown error the upstream would be blamed.
        Some(Verdict::not_sent(FailureKind::ProxyConfigurationError, Phase::Connect))
    } else {
        None
    }
}

/// Adds to `verdict` what the client knows of any error: whether the request had left. Only [`super::place::defaults`] calls this, for
/// errors that are not of connecting.
pub(super) fn stage(cause: &Cause<'_>, verdict: Verdict) -> Verdict {
    let Some(error) = cause.client() else { return verdict };
    // The client adds the connect info once HTTP was set up on a connection. Without it the request cannot have been written; it would
    // count as one that may have been processed.
    let canceled = cause.hyper().is_some_and(hyper::Error::is_canceled);
    if error.connect_info().is_none() || canceled { verdict.retry_safety(RetrySafety::NotSent) } else { verdict }
}

/// Whether the connection was being opened: the client says so. Where the error has no client around it, as in tonic, hyper-util's
/// pools and connections made by hand, an error of the connector says the same.
pub(super) fn is_connecting(cause: &Cause<'_>) -> bool {
    cause.client().map_or_else(|| cause.connector().is_some(), Error::is_connect)
}

/// Whether the name was being looked up: the source of the connector's error is not of `std::io`, so it is of a resolver that the
/// user has put in. An error of `getaddrinfo` is an [`io::Error`], and is known by [`connect`].
pub(super) fn is_resolving(cause: &Cause<'_>) -> bool {
    let source = cause.connector().and_then(|error| error.source());
    source.is_some_and(|source| !source.is::<io::Error>())
}

/// The verdict on an error of connecting; `None` where the socket failed, which [`super::io`] reads.
fn connect(cause: &Cause<'_>) -> Option<Verdict> {
    // An invalid argument is of the gateway's settings, such as an address without its scope. No name was looked up, so it must not
    // become a dns_error below.
    if cause.innermost_io().is_some_and(|error| error.kind() == io::ErrorKind::InvalidInput) {
        return super::io::read(cause);
    }
    match cause.connector() {
        Some(error) => match error.source() {
            // The connector has no source for a scheme or a URI that it does not take.
            None => Some(Verdict::not_sent(FailureKind::ProxyConfigurationError, Phase::Connect)),
            Some(source) => match source.downcast_ref::<io::Error>() {
                Some(error) if is_of_socket(error) => None,
                // An error of `getaddrinfo`, an answer without addresses, or a resolver with an error type of its own.
                _ => Some(Verdict::not_sent(FailureKind::DnsError, Phase::Resolve)),
            },
        },
        None => tls(cause),
    }
}

/// Whether the error is of a socket and not of `getaddrinfo`: sockets report the number of the operating system, `getaddrinfo` does not.
/// The connector's own time limit is a `TimedOut` without a number.
fn is_of_socket(error: &io::Error) -> bool {
    error.raw_os_error().is_some() || error.kind() == io::ErrorKind::TimedOut
}

/// The verdict on an I/O error inside another one, with no `HttpConnector` around it: a TLS stream fails so when the other side is gone
/// in the middle of the handshake.
///
/// What rustls says of the handshake stands in a type of its own, which [`super::rustls`] reads. Without that feature invalid data is
/// taken for a failure of TLS.
fn tls(cause: &Cause<'_>) -> Option<Verdict> {
    let mut errors = cause.iter().filter_map(|error| error.downcast_ref::<io::Error>());
    let (_outer, inner) = (errors.next()?, errors.next()?);
    let kind = match inner.kind() {
        io::ErrorKind::UnexpectedEof => FailureKind::TlsProtocolError,
        io::ErrorKind::InvalidData if cfg!(not(feature = "rustls")) => FailureKind::TlsProtocolError,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            FailureKind::ConnectionTerminated
        }
        _ => return None,
    };
    Some(Verdict::not_sent(kind, Phase::Tls))
}

/// Reads the error as [`Failure::from_error`] does, so that a handler can end in `?`.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from_error(error)
    }
}
