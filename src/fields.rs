//! Fields whose value is a list, the media types of gRPC, `Retry-After`, and the name of a field that the `http` crate does not have.
//!
//! The readers of requests and of response heads use these functions for `Connection`, `Upgrade`, `Transfer-Encoding`, `Content-Length` and
//! `Accept`. This module knows lines and commas, and neither parameters nor quoted strings: an element with a comma in quotes becomes two.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

/// `Proxy-Status`: who has handled a response, and what they say of it
/// ([RFC 9209, section 2](https://www.rfc-editor.org/rfc/rfc9209#section-2)).
pub(crate) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Whether a media type is that of gRPC: `application/grpc`, alone or followed by `+`, `;` or a space
/// ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)). gRPC-Web is another protocol.
pub(crate) fn is_grpc(media_type: &[u8]) -> bool {
    media_type.split_at_checked(GRPC.len()).is_some_and(|(name, rest)| {
        name.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// Whether a media type is that of gRPC-Web
/// ([gRPC-Web](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md)): binary or text, alone or with a suffix.
pub(crate) fn is_grpc_web(media_type: &[u8]) -> bool {
    media_type.split_at_checked(GRPC_WEB.len()).is_some_and(|(name, rest)| {
        let rest = rest.strip_prefix(b"-text").unwrap_or(rest);
        name.eq_ignore_ascii_case(GRPC_WEB) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// Whether the content of a message is gRPC.
pub(crate) fn has_grpc_content(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| is_grpc(value.as_bytes()))
}

/// The elements of all lines of a field, which count as one list
/// ([RFC 9110, section 5.3](https://www.rfc-editor.org/rfc/rfc9110#section-5.3)), in their order. Nothing if the field is absent.
pub(crate) fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).into_iter().flat_map(elements)
}

/// The elements of one line, without the white space around them. They may be empty, and one line always has at least one: a recipient has
/// to ignore empty ones ([RFC 9110, section 5.6.1.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1.2)).
pub(crate) fn elements(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// After what time the sender of a response asks for another attempt
/// ([RFC 9110, section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)). Nothing if that is said by a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    // `parse` would take a sign as well.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).map(Duration::from_secs)
}

/// The media type of gRPC without a suffix.
const GRPC: &[u8] = b"application/grpc";
/// That of gRPC-Web.
const GRPC_WEB: &[u8] = b"application/grpc-web";
