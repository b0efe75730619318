//! Which fields of a trailer section are forwarded.
//!
//! The parent module calls [`tidy`] for each trailer section of a response whose head went through the rules, after the size
//! limits. Responses of [`for_router`](crate::BadGatewayLayer::for_router) and of tunnels do not come here. Nothing is refused: a
//! forbidden trailer is removed, and the caller drops a section of which nothing is left.

use http::HeaderMap;

use super::hop_by_hop::NotForTrailers;

/// Removes the fields that may not be trailers.
///
/// Forbidden are fields of framing, routing, authentication, response control and content format, which a recipient has to know
/// before it reads the content
/// ([RFC 9110, section 6.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1)), and fields that are meant for one
/// connection: those of the list below, and those that `Connection` has named in the header section
/// ([section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
///
/// Every other field is forwarded, unknown ones included. `Authentication-Info` and `ETag` belong to groups of the list, but
/// their definitions allow them as trailers.
pub(super) fn tidy(fields: &mut HeaderMap, not_for_trailers: Option<&NotForTrailers>) {
    let forbidden: Vec<_> = fields
        .keys()
        .filter(|name| FORBIDDEN.contains(&name.as_str()) || not_for_trailers.is_some_and(|named| named.has(name)))
        .cloned()
        .collect();
    for name in forbidden {
        fields.remove(name);
    }
}

/// Names of fields that may not be trailers, in lower case, by the groups of RFC 9110.
const FORBIDDEN: &[&str] = &[
    // Framing, and fields that are meant for one connection.
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // Routing.
    "host",
    "max-forwards",
    // Authentication.
    "authorization",
    "proxy-authenticate",
    "proxy-authorization",
    "set-cookie",
    "www-authenticate",
    // Response controls.
    "age",
    "cache-control",
    "date",
    "expires",
    "location",
    "pragma",
    "retry-after",
    "vary",
    "warning",
    // Content format.
    "content-encoding",
    "content-range",
    "content-type",
];
