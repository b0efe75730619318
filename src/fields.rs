//! Fields whose value is a list.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Who has handled a response, and what they say of it (RFC 9209).
pub(crate) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The elements of all lines of a field, which count as one list
/// ([RFC 9110, section 5.3](https://www.rfc-editor.org/rfc/rfc9110#section-5.3)).
pub(crate) fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers.get_all(name).into_iter().flat_map(elements)
}

/// The elements of one line, without the white space around them; they may be empty.
pub(crate) fn elements(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}
