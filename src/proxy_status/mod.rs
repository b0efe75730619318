//! `Proxy-Status`: which hop failed, and how ([RFC 9209](https://www.rfc-editor.org/rfc/rfc9209)).
//!
//! A gateway that has a [name](crate::BadGatewayLayer::gateway_name) adds itself to every answer it makes:
//!
//! ```http
//! Proxy-Status: edge-1;error=connection_refused
//! ```
//!
//! Where it had received a response and refused it, the members that the response carried come first, nearest to the origin, and
//! then the gateway with `received-status`:
//!
//! ```http
//! Proxy-Status: origin-gateway;error=connection_refused, edge-1;received-status=502
//! ```
//!
//! A response that is forwarded, a gRPC status of a gateway further in among them, gets nothing added and keeps the field it has
//! ([`strip_proxy_status`](crate::BadGatewayLayer::strip_proxy_status) removes it). A body that breaks after its head is not
//! reported in the field: a trailer would need a clean end, which only gRPC has then, and its trailers have the status of the call.
//!
//! | parameter | who sees it |
//! | --- | --- |
//! | `error`, if it is a registered type | everyone |
//! | `received-status`, `status-code` | everyone |
//! | `header-size`, `body-size` and the other sizes, `coding` if it is registered | everyone |
//! | `rcode`, `info-code`, `alert-id`, `alert-message`, `status-phrase`, `header-name`, `trailer-name`, other codings | clients the layer [discloses](crate::BadGatewayLayer::disclose) them to |
//! | `next-hop`, `next-protocol`, `details` | the same clients |
//!
//! The table is for our own member and for those of other gateways alike; their names are seen by everyone. A failure without a type,
//! of kind [`unclassified`](crate::FailureKind::Unclassified), is a member with the name alone.
//!
//! The members of a received response are at [`Failure::intermediaries`](crate::Failure::intermediaries), the one that failed at
//! [`Failure::origin`](crate::Failure::origin), and `ProxyStatus` reads them from any response. Everything received is
//! **untrusted**: any hop can write any name.
//!
//! **Not for** decisions about access or retries: the field is a statement for people who search for a fault. The layer itself never
//! judges a response by it. Without feature `proxy-status` the field is neither read nor written.

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

/// The members of a `Proxy-Status` field
/// ([RFC 9209, section 2](https://www.rfc-editor.org/rfc/rfc9209#section-2)), in the order of the field.
///
/// For clients of a gateway, and for [validators](crate::validate) that look at received heads. For a failure of the layer there is no need to read the field:
/// [`Failure::origin`](crate::Failure::origin) has it.
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
    /// Reads all lines of the field as one list.
    ///
    /// `None` if there is no line, or if the lines are no list of structured fields: recipients ignore the field as a whole then
    /// ([RFC 9651, section 4.2](https://www.rfc-editor.org/rfc/rfc9651#section-4.2)). `None` as well if the lines have more than 8 KiB
    /// together.
    ///
    /// A member whose name is neither a token nor a string, or is empty, is left out, and so is every member after the 16th. A
    /// parameter of the wrong type, or one that the error type of its member does not have, is left out of the member. Texts end
    /// after 512 characters; names, error types, protocols and codings after 128.
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use tower_bad_gateway::proxy_status::ProxyStatus;
    ///
    /// let mut headers = HeaderMap::new();
    /// assert_eq!(ProxyStatus::of(&headers), None);
    /// headers.insert("proxy-status", HeaderValue::from_static("edge-1; error=\"a string, where a token has to be\""));
    /// assert_eq!(ProxyStatus::of(&headers).unwrap().intermediaries()[0].error(), None);
    /// headers.insert("proxy-status", HeaderValue::from_static("edge-1; error="));
    /// assert_eq!(ProxyStatus::of(&headers), None, "no list");
    /// ```
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        read::members(headers).map(Self)
    }

    /// The intermediaries, nearest to the origin first: each adds itself at the end
    /// ([RFC 9209, section 2](https://www.rfc-editor.org/rfc/rfc9209#section-2)). At most 16, and none for an empty field.
    #[must_use]
    pub fn intermediaries(&self) -> &[Intermediary] {
        &self.0
    }

    /// The hop that failed: of the intermediaries with an `error` the one nearest to the origin. `None` if no member has an `error`,
    /// such as when all of them have only forwarded the response.
    #[must_use]
    pub fn origin(&self) -> Option<&Intermediary> {
        origin(&self.0)
    }
}

/// The members that a received response carries; empty if the field is missing or cannot be read.
#[cfg(feature = "proxy-status")]
pub(crate) fn received(headers: &HeaderMap) -> Vec<Intermediary> {
    read::members(headers).unwrap_or_default()
}

/// The most characters of a text that are read or written: half of what every parser of strings has to support
/// ([RFC 9651, section 3.3.3](https://www.rfc-editor.org/rfc/rfc9651#section-3.3.3)).
#[cfg(feature = "proxy-status")]
const LONGEST_TEXT: usize = 512;
