//! Fields that are meant for one connection.

use http::{
    HeaderMap, HeaderValue,
    header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE},
};

use crate::fields::elements;

/// Removes what `Connection` names and what is for one connection anyway
/// ([RFC 9110, section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
pub(super) fn strip(headers: &mut HeaderMap, connection_lines: usize) {
    if connection_lines > 1 {
        // Rare enough to pay for copies: `remove` gives back the first line only.
        let lines: Vec<_> = headers.get_all(CONNECTION).iter().cloned().collect();
        for line in &lines {
            remove_named(headers, line);
        }
    }
    if let Some(line) = headers.remove(CONNECTION) {
        remove_named(headers, &line);
    }
    for name in [TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

fn remove_named(headers: &mut HeaderMap, line: &HeaderValue) {
    for name in elements(line) {
        // What is no name is in no map.
        if let Ok(name) = std::str::from_utf8(name) {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_every_connection_line_names_is_removed() {
        let mut headers = map(&[
            ("connection", "X-One, close"),
            ("x-one", "1"),
            ("connection", " x-two ,, (no name"),
            ("x-two", "2"),
            ("x-two", "twice"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("set-cookie", "a=b"),
            ("x-three", "3"),
        ]);
        strip(&mut headers, 2);
        assert_eq!(headers, map(&[("set-cookie", "a=b"), ("x-three", "3")]));
    }

    #[test]
    fn connection_may_name_itself() {
        let mut headers = map(&[("connection", "connection, close"), ("a", "1")]);
        strip(&mut headers, 1);
        assert_eq!(headers, map(&[("a", "1")]));
    }
}
