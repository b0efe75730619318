//! Trailers.

use http::HeaderMap;

use super::hop_by_hop::NotForTrailers;

/// Removes what means nothing, or too much, once the content has been read
/// ([RFC 9110, section 6.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1)): framing, routing, authentication, response
/// controls and the form of the content. And what was for one connection: a trailer section is no way around that
/// ([section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
///
/// `Authentication-Info` and `ETag` are allowed by their definitions, and whatever nobody knows is passed on.
pub(super) fn tidy(fields: &mut HeaderMap, not_for_trailers: Option<&NotForTrailers>) {
    let unwanted: Vec<_> = fields
        .keys()
        .filter(|name| {
            FORBIDDEN.contains(&name.as_str()) || not_for_trailers.is_some_and(|unwanted| unwanted.has(name))
        })
        .cloned()
        .collect();
    for name in unwanted {
        fields.remove(name);
    }
}

const FORBIDDEN: &[&str] = &[
    // Framing, and what is for one connection.
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
    // The form of the content.
    "content-encoding",
    "content-range",
    "content-type",
];
