//! hyper-util's connectors through a proxy, HTTP's CONNECT and SOCKS.
//!
//! Their errors stand in private modules; as somebody's associated type they can be named, variants and all.

use std::error::Error;

use http::Uri;
use hyper_util::client::legacy::connect::{
    HttpConnector,
    proxy::{SocksV5, Tunnel},
};
use tower_service::Service;

use super::{Cause, Verdict};
use crate::failure::{FailureKind, Phase};

type TunnelError = <Tunnel<HttpConnector> as Service<Uri>>::Error;
/// The same for version 4.
type SocksError = <SocksV5<HttpConnector> as Service<Uri>>::Error;

pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let kind = match cause.find::<TunnelError>() {
        Some(TunnelError::ProxyAuthRequired | TunnelError::MissingHost) => FailureKind::ProxyConfigurationError,
        Some(TunnelError::TunnelUnexpectedEof) => FailureKind::ConnectionTerminated,
        // What the proxy answered is lost, or there is a source.
        Some(_) => return None,
        None => match cause.find::<SocksError>()? {
            SocksError::DnsFailure => FailureKind::DnsError,
            SocksError::MissingHost | SocksError::MissingPort => FailureKind::ProxyConfigurationError,
            _ => return None,
        },
    };
    Some(Verdict::not_sent(kind, Phase::Connect))
}

/// What it holds and does not give as its source.
pub(super) fn step<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref()? {
        SocksError::Inner(error) => Some(error),
        SocksError::Io(error) => Some(error),
        _ => None,
    }
}
