//! Fields that are meant for one connection.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE},
};

use crate::{
    failure::{Failure, FailureKind},
    fields::elements,
};

/// HTTP/2 and HTTP/3 know no such fields: with one of them a response is malformed, and must not be passed on
/// ([RFC 9113, sections 8.1.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.1.1) and
/// [8.2.2](https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2)).
pub(super) fn rule(version: Version) -> Result<(), Failure> {
    if version >= Version::HTTP_2 {
        let reason = "a field that is for one connection (Connection, Keep-Alive, Transfer-Encoding...) over HTTP/2";
        return Err(Failure::new(FailureKind::HttpProtocolError).with_reason(reason));
    }
    Ok(())
}

/// Fields that `Connection` has named: they may not come as trailers either. Hardly any response has one.
#[derive(Debug, Default)]
pub(crate) struct NotForTrailers(Vec<HeaderName>);

impl NotForTrailers {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, name: &HeaderName) -> bool {
        self.0.contains(name)
    }

    fn note(&mut self, name: &[u8]) {
        // The options that are no fields are the usual ones.
        if [&b"close"[..], b"keep-alive", b"upgrade"].iter().any(|option| name.eq_ignore_ascii_case(option)) {
            return;
        }
        if let Ok(name) = HeaderName::from_bytes(name) {
            self.0.push(name);
        }
    }
}

/// Removes what `Connection` names and what is for one connection anyway
/// ([RFC 9110, section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
pub(super) fn strip(headers: &mut HeaderMap, connection_lines: usize) -> NotForTrailers {
    let mut named = NotForTrailers::default();
    if connection_lines > 1 {
        // Rare enough to pay for copies: `remove` gives back the first line only.
        let lines: Vec<_> = headers.get_all(CONNECTION).iter().cloned().collect();
        for line in &lines {
            remove_named(headers, line, &mut named);
        }
    }
    if let Some(line) = headers.remove(CONNECTION) {
        remove_named(headers, &line, &mut named);
    }
    for name in [TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    named
}

fn remove_named(headers: &mut HeaderMap, line: &HeaderValue, named: &mut NotForTrailers) {
    for name in elements(line) {
        named.note(name);
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
        let named = strip(&mut headers, 2);
        assert_eq!(headers, map(&[("set-cookie", "a=b"), ("x-three", "3")]));
        assert_eq!(named.0, ["x-one", "x-two", "x-one"]);
    }

    #[test]
    fn the_usual_options_are_no_fields() {
        let named = strip(&mut map(&[("connection", "Keep-Alive, close"), ("connection", "upgrade, ,")]), 2);
        assert!(named.0.is_empty(), "{named:?}");
    }

    #[test]
    fn connection_may_name_itself() {
        let mut headers = map(&[("connection", "connection, close"), ("a", "1")]);
        strip(&mut headers, 1);
        assert_eq!(headers, map(&[("a", "1")]));
    }
}
