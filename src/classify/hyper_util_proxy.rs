//! hyper-util's connectors through a proxy: HTTP's CONNECT and SOCKS (feature `hyper-util-proxy-0_1`).
//!
//! Their error types stand in private modules, and can be named only as associated types, together with their variants. A new
//! version of hyper-util may close this way; then this module stops compiling, which is why it has a feature of its own.
//!
//! | error | kind |
//! | --- | --- |
//! | `ProxyAuthRequired`, `MissingHost`, `MissingPort` | proxy_configuration_error |
//! | `TunnelUnexpectedEof` | connection_terminated |
//! | `DnsFailure` | dns_error |
//! | any other | left to the other readers, which see what failed below |
//!
//! All of these happen while connecting: the proxy is no upstream, and the request has not been sent.

use std::error::Error;

use http::Uri;
use hyper_util::client::legacy::connect::{
    HttpConnector,
    proxy::{SocksV5, Tunnel},
};
use tower_service::Service;

use super::{Cause, Verdict};
use crate::failure::{FailureKind, Phase};

/// The error of a tunnel by CONNECT
/// ([RFC 9110, section 9.3.6](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6)).
type TunnelError = <Tunnel<HttpConnector> as Service<Uri>>::Error;
/// The error of a SOCKS connector around an `HttpConnector`; SOCKS4 and SOCKS5 share the type.
type SocksError = <SocksV5<HttpConnector> as Service<Uri>>::Error;

/// The verdict on an error of one of these connectors.
pub(super) fn read(cause: &Cause<'_>) -> Option<Verdict> {
    let kind = match cause.find::<TunnelError>() {
        Some(TunnelError::ProxyAuthRequired | TunnelError::MissingHost) => FailureKind::ProxyConfigurationError,
        Some(TunnelError::TunnelUnexpectedEof) => FailureKind::ConnectionTerminated,
        // Either what the proxy answered is lost, or there is a source, which another reader knows better.
        Some(_) => return None,
        None => match cause.find::<SocksError>()? {
            SocksError::DnsFailure => FailureKind::DnsError,
            SocksError::MissingHost | SocksError::MissingPort => FailureKind::ProxyConfigurationError,
            _ => return None,
        },
    };
    Some(Verdict::not_sent(kind, Phase::Connect))
}

/// The error inside a SOCKS error, which has no [`source`](Error::source). Without this function a proxy that refuses the connection
/// would be an unknown error.
pub(super) fn hidden_source<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref()? {
        SocksError::Inner(error) => Some(error),
        SocksError::Io(error) => Some(error),
        _ => None,
    }
}
