//! Fields that are meant for one connection: refused over HTTP/2 and HTTP/3, removed over HTTP/1.
//!
//! The parent module calls [`rule`] first; `switching` calls [`strip`] once the framing was read, since it removes `Transfer-Encoding`. What `strip`
//! returns is kept with the call and given to `trailers` when a trailer section comes. This module knows the fields alone: neither the request nor the
//! status.
//!
//! | field | over HTTP/1 | over HTTP/2 and HTTP/3 |
//! | --- | --- | --- |
//! | `Connection`, `Keep-Alive`, `Proxy-Connection`, `Transfer-Encoding`, `Upgrade` | removed | the response is refused |
//! | `TE` | removed | removed |
//! | fields that `Connection` names | removed, as trailers too | cannot come: `Connection` is refused |
//!
//! A 101 and a 426 get a new `Connection: upgrade` and their `Upgrade` lines back; `switching` does that.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE},
};

use crate::{
    failure::{Failure, FailureKind},
    fields::elements,
};

/// Refuses a response with a connection-specific field, if its version has no such fields.
///
/// The caller has found at least one. Over HTTP/2 such a response is malformed, and an intermediary must not forward it
/// ([RFC 9113, sections 8.1.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.1.1) and
/// [8.2.2](https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2)); HTTP/3 says the same
/// ([RFC 9114, section 4.2](https://www.rfc-editor.org/rfc/rfc9114#section-4.2)).
///
/// # Errors
///
/// [`FailureKind::HttpProtocolError`] for every version from HTTP/2 on.
pub(super) fn rule(version: Version) -> Result<(), Failure> {
    if version >= Version::HTTP_2 {
        let reason = "a field that is for one connection (Connection, Keep-Alive, Transfer-Encoding...) over HTTP/2";
        return Err(Failure::new(FailureKind::HttpProtocolError).with_reason(reason));
    }
    Ok(())
}

/// Names of fields that `Connection` has named, and that may therefore not come as trailers either.
///
/// It is empty for nearly every response, and an empty one costs no allocation. The options that name no field (`close`,
/// `keep-alive`, `upgrade`) are left out. A name may be in it twice.
#[derive(Debug, Default)]
pub(crate) struct NotForTrailers(Vec<HeaderName>);

impl NotForTrailers {
    /// Whether there is nothing to keep for the trailer section.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `Connection` has named this field.
    pub(super) fn has(&self, name: &HeaderName) -> bool {
        self.0.contains(name)
    }

    /// Adds one element of `Connection`. An element that is no valid field name is ignored: no trailer can have that name.
    fn note(&mut self, name: &[u8]) {
        // Without this check the usual `Connection: close` would cost an allocation for a name that no trailer has.
        if [&b"close"[..], b"keep-alive", b"upgrade"].iter().any(|option| name.eq_ignore_ascii_case(option)) {
            return;
        }
        if let Ok(name) = HeaderName::from_bytes(name) {
            self.0.push(name);
        }
    }
}

/// Removes the fields that `Connection` names, `Connection` itself, and the fields that are always for one connection
/// ([RFC 9110, section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
///
/// `connection_lines` is the number of `Connection` lines in `headers`, as the caller has counted them.
pub(super) fn strip(headers: &mut HeaderMap, connection_lines: usize) -> NotForTrailers {
    let mut named = NotForTrailers::default();
    if connection_lines > 1 {
        // `HeaderMap::remove` returns the first line only: without these copies the fields named by the others would be forwarded.
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

/// Removes the fields that one line of `Connection` names, and adds their names to `named`.
fn remove_named(headers: &mut HeaderMap, line: &HeaderValue, named: &mut NotForTrailers) {
    for name in elements(line) {
        named.note(name);
        // `HeaderMap::remove` takes a `str`. A name that is not UTF-8 is not valid, so no field of the map has it.
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
