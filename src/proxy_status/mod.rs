//! `Proxy-Status`: which hop failed, and how ([RFC 9209](https://www.rfc-editor.org/rfc/rfc9209)).
//!
//! A gateway that has a [name](crate::BadGatewayLayer::gateway_name) adds itself to every answer it makes:
//!
//! ```http
//! Proxy-Status: edge-1;error=connection_refused
//! ```
//!
//! Where it had received a response, and refused it, those who have told of that response come first, nearest to the origin,
//! and then the gateway with `received-status`:
//!
//! ```http
//! Proxy-Status: origin-gateway;error=connection_refused, edge-1;received-status=502
//! ```
//!
//! A response that is passed on, a gRPC status of a gateway further in among them, gets nothing added and keeps what it has
//! ([`strip_proxy_status`](crate::BadGatewayLayer::strip_proxy_status) removes it). A body that breaks after its head cannot be
//! told of: a trailer would need a clean end.
//!
//! Anyone may read the field: `next-hop`, `details`, `next-protocol`, and parameters of DNS and TLS or with a text of the upstream are
//! left out, our own and those of others, unless the request is one to [disclose](crate::BadGatewayLayer::disclose) them to. What is left of
//! others is the name they have given themselves, a registered error type, the status and sizes.
//!
//! A failure of which no type is known stands there by the name alone.
//!
//! What others tell is at [`Failure::origin`](crate::Failure::origin), and `ProxyStatus` reads it from any response.

#[cfg(feature = "proxy-status")]
mod parameter;
#[cfg(feature = "proxy-status")]
mod read;
#[cfg(not(feature = "proxy-status"))]
mod without;
#[cfg(feature = "proxy-status")]
mod write;

#[cfg(feature = "proxy-status")]
use http::HeaderMap;

#[cfg(not(feature = "proxy-status"))]
pub(crate) use self::without::{Writer, received};
#[cfg(feature = "proxy-status")]
pub(crate) use self::write::Writer;
use crate::failure::Intermediary;
#[cfg(feature = "proxy-status")]
use crate::failure::origin;

/// The members of a `Proxy-Status` field.
///
/// ```
/// use http::HeaderValue;
/// use tower_bad_gateway::{FailureKind, proxy_status::ProxyStatus};
///
/// let mut response = http::Response::new(());
/// let field = HeaderValue::from_static("billing-gw;error=dns_error;rcode=\"NXDOMAIN\", edge-1;received-status=502");
/// response.headers_mut().insert("proxy-status", field);
///
/// let status = ProxyStatus::of(response.headers()).unwrap();
/// assert_eq!(status.intermediaries().len(), 2);
/// let origin = status.origin().unwrap();
/// assert_eq!((origin.name(), origin.kind()), ("billing-gw", Some(FailureKind::DnsError)));
/// ```
#[cfg(feature = "proxy-status")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProxyStatus(Vec<Intermediary>);

#[cfg(feature = "proxy-status")]
impl ProxyStatus {
    /// Reads all lines of the field.
    ///
    /// `None` where there is none, or where it is no list of structured fields: recipients ignore it as a whole then
    /// ([RFC 9651, section 4.2](https://www.rfc-editor.org/rfc/rfc9651#section-4.2)), and so is one of more than 8 KiB. A member
    /// that is neither a token nor a string is left out, and so is everything after the 16th; a parameter that has not the type it
    /// should have, or is unknown, is left out of its member. Texts end after 512 characters, names after 128.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        read::members(headers).map(Self)
    }

    /// The intermediaries, nearest to the origin first.
    #[must_use]
    pub fn intermediaries(&self) -> &[Intermediary] {
        &self.0
    }

    /// The one that tells of a failure and is nearest to the origin: the hop that failed.
    #[must_use]
    pub fn origin(&self) -> Option<&Intermediary> {
        origin(&self.0)
    }
}

/// Those who tell of a response that was received.
#[cfg(feature = "proxy-status")]
pub(crate) fn received(headers: &HeaderMap) -> Vec<Intermediary> {
    read::members(headers).unwrap_or_default()
}

/// Of a text, in characters: half of what every reader of strings has to bear (RFC 9651, section 3.3.3).
#[cfg(feature = "proxy-status")]
const LONGEST_TEXT: usize = 512;
