//! `hyper_util::client::legacy::Error`: how far the call had come.

use std::{error::Error as _, io};

use http::Uri;
use hyper_util::client::legacy::{Error, connect::HttpConnector};

use super::{Cause, Verdict};
use crate::failure::{Failure, FailureKind, Phase, RetrySafety};

/// The error of `HttpConnector` stands in a private module; as somebody's associated type it can be named.
type ConnectorError = <HttpConnector as tower_service::Service<Uri>>::Error;

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    if is_connecting(cause) {
        connect(cause)
    } else if cause.client()?.source().is_none() {
        // A relative URI, or a version the connection does not speak: the caller's doing.
        Some(Verdict::not_sent(FailureKind::ProxyConfigurationError, Phase::Connect))
    } else {
        None
    }
}

/// Fills in what the client knows of any error once there is a connection: whether the request had left.
pub(super) fn stage(cause: &Cause<'_>, verdict: Verdict) -> Verdict {
    let Some(error) = cause.client() else { return verdict };
    // Without connect info HTTP was not set up on it.
    let canceled = cause.hyper().is_some_and(hyper::Error::is_canceled);
    if error.connect_info().is_none() || canceled { verdict.retry_safety(RetrySafety::NotSent) } else { verdict }
}

/// Says so the client; where there is none around it, as in tonic, hyper-util's pools and connections made by hand, the
/// connector does.
pub(super) fn is_connecting(cause: &Cause<'_>) -> bool {
    cause.client().map_or_else(|| cause.find::<ConnectorError>().is_some(), Error::is_connect)
}

/// An error of the resolver: what stands below the connector's and is not of a socket.
pub(super) fn is_resolving(cause: &Cause<'_>) -> bool {
    let source = cause.find::<ConnectorError>().and_then(|error| error.source());
    source.is_some_and(|source| !source.is::<io::Error>())
}

fn connect(cause: &Cause<'_>) -> Option<Verdict> {
    // No name was looked up, whatever stands around it.
    if super::io::innermost(cause).is_some_and(|error| error.kind() == io::ErrorKind::InvalidInput) {
        return super::io::read(cause);
    }
    match cause.find::<ConnectorError>() {
        Some(error) => match error.source() {
            // A scheme or a URI it does not take.
            None => Some(Verdict::not_sent(FailureKind::ProxyConfigurationError, Phase::Connect)),
            Some(source) => match source.downcast_ref::<io::Error>() {
                Some(error) if is_of_socket(error) => None,
                // getaddrinfo, an empty answer, or a resolver with an error type of its own.
                _ => Some(Verdict::not_sent(FailureKind::DnsError, Phase::Resolve)),
            },
        },
        None => tls(cause),
    }
}

/// `getaddrinfo` reports no number, sockets do; a limit of the connector's own is a `TimedOut` without one.
fn is_of_socket(error: &io::Error) -> bool {
    error.raw_os_error().is_some() || error.kind() == io::ErrorKind::TimedOut
}

/// An I/O error inside another, below no `HttpConnector`: the TLS stream's own way of failing when the other side is gone. What TLS
/// itself has to say stands in a type of its own.
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

/// Reads it as [`Failure::from_error`] does, so that a handler can end in `?`.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from_error(error)
    }
}
