//! What is known of the time a body takes, by its head.
//!
//! Implicit time limits must not cut off bodies that are silent on purpose, and what is read while it is made must not be held back. The
//! validation of response heads, the limits of the policy and the tap of request bodies ask this module which bodies these are; it knows
//! media types, and neither the limits nor the clock.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header::CONTENT_TYPE};

/// How a body is expected to come.
///
/// | state | set by | implicit idle limit | idle limit set by the user |
/// | --- | --- | --- | --- |
/// | `Tunnel` | a 101, a 2xx to CONNECT, a CONNECT request | none | none |
/// | `MayPause` | the media type, a gRPC request, an answer of a layer further in | none | holds |
/// | `Ordinary` | all else | holds | holds |
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BodyKind {
    /// The connection leaves HTTP: no limit applies, and nothing is counted
    /// ([RFC 9110, section 9.3.6](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6) for CONNECT).
    Tunnel,
    /// Silence is lawful: event streams, lines of JSON, gRPC and its relatives. See [`may_pause`].
    MayPause,
    /// A body that comes without pauses, so that a long silence is a failure.
    Ordinary,
}

impl BodyKind {
    /// What a body is by its media type alone, so never a `Tunnel`. Without a `Content-Type` it is `Ordinary`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if may_pause(content_type) { Self::MayPause } else { Self::Ordinary }
    }

    /// What a client is going to send. The body of a CONNECT request is what goes through the tunnel; that of an upgrade comes before the
    /// other protocol, so it is judged by its media type.
    pub(crate) fn of_request<A>(request: &Request<A>) -> Self {
        if request.method() == Method::CONNECT { Self::Tunnel } else { Self::of(request.headers()) }
    }
}

/// Whether a `Content-Type` names a body in which silence is lawful: event streams, pushed pictures, gRPC with its relatives
/// (`application/grpc-web+proto` and so on), Connect streams (`application/connect+json`), and [what comes in
/// parts](comes_in_parts).
///
/// Case does not matter ([RFC 9110, section 8.3.1](https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1)), and parameters are not looked
/// at. Most healthy responses are asked this, so two letters rule out most types.
pub(crate) fn may_pause(content_type: &[u8]) -> bool {
    // Without this check each healthy response would be compared with the whole list. The bit makes a letter lower case; to what is no
    // letter it does no harm, since the list decides.
    let letter = |place: usize| content_type.get(place).map(|letter| letter | 0x20);
    let fifth_letter = || letter(APPLICATION_PREFIX + 4);
    let may_match = match letter(0) {
        Some(b't' | b'm') => true,
        Some(b'a') => match letter(APPLICATION_PREFIX) {
            Some(b'g' | b'c') => true,
            Some(b'j') => matches!(fifth_letter(), Some(b'l' | b'-')),
            Some(b'n') => fifth_letter() == Some(b'o'),
            Some(b's') => fifth_letter() == Some(b'a'),
            Some(b'v') => fifth_letter() == Some(b'd'),
            Some(b'x') => matches!(fifth_letter(), Some(b'j' | b'o')),
            _ => false,
        },
        _ => false,
    };
    may_match && [PAUSING_TYPES, TYPES_OF_PARTS].iter().any(|types| begins_with_one_of(content_type, types))
}

/// Whether a body comes in parts that are read one by one, by its media type: lines or sequences of JSON, the streams of Docker.
pub(crate) fn comes_in_parts(headers: &HeaderMap) -> bool {
    begins_with_one_of(headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes), TYPES_OF_PARTS)
}

/// Whether a body is read while it is made, so that its content must not be held back: one that [comes in parts](comes_in_parts), and
/// every body whose head says `X-Accel-Buffering: no`, by which applications ask nginx for the same. Event streams and the other bodies of
/// [`may_pause`] are not asked for here.
pub(crate) fn is_read_while_made(headers: &HeaderMap) -> bool {
    let is_asked_for = headers.get(X_ACCEL_BUFFERING).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"no"));
    is_asked_for || comes_in_parts(headers)
}

/// Whether a `Content-Type` is one of these media types, with any parameters and suffixes.
fn begins_with_one_of(content_type: &[u8], types: &[&[u8]]) -> bool {
    types.iter().any(|known| {
        content_type.split_at_checked(known.len()).is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(known) && matches!(rest.first(), None | Some(b';' | b' ' | b'\t' | b'+' | b'-'))
        })
    })
}

/// The length of `application/`, in bytes.
const APPLICATION_PREFIX: usize = 12;

/// The beginnings of the media types that [`may_pause`] knows, besides those of parts, in lower case. What follows one is the end, a
/// parameter, white space, or a suffix after `+` or `-`.
const PAUSING_TYPES: &[&[u8]] =
    &[b"text/event-stream", b"multipart/x-mixed-replace", b"application/grpc", b"application/connect"];

/// The media types whose parts are for reading one by one, in lower case: JSON by lines under the names in use, JSON text sequences
/// ([RFC 7464](https://www.rfc-editor.org/rfc/rfc7464)), Spring's streams, and the output of containers.
const TYPES_OF_PARTS: &[&[u8]] = &[
    b"application/x-ndjson",
    b"application/ndjson",
    b"application/jsonl",
    b"application/x-jsonlines",
    b"application/jsonlines",
    b"application/json-seq",
    b"application/stream+json",
    b"application/x-json-stream",
    b"application/vnd.docker.raw-stream",
    b"application/vnd.docker.multiplexed-stream",
];

/// By `no` an application asks a proxy to pass on what it writes as it comes
/// ([nginx](https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering)).
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_in_which_silence_is_lawful_are_known() {
        let wrong: Vec<_> = [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("multipart/x-mixed-replace; boundary=x", true),
            ("application/grpc+proto", true),
            ("Application/GRPC", true),
            ("APPLICATION/CONNECT+proto", true),
            ("application/grpc-web-text", true),
            ("application/connect+json", true),
            ("application/ndjson", true),
            ("application/x-ndjson; charset=utf-8", true),
            ("Application/JSONL", true),
            ("application/json-seq", true),
            ("application/stream+json", true),
            ("application/vnd.docker.raw-stream", true),
            ("text/event-streams", false),
            ("application/json", false),
            ("application/jsonld", false),
            ("application/json;stream=true", false),
            ("application/vnd.docker.distribution.manifest.v2+json", false),
            ("application/x", false),
            ("a", false),
            ("", false),
        ]
        .into_iter()
        .filter(|(value, expected)| may_pause(value.as_bytes()) != *expected)
        .collect();
        assert!(wrong.is_empty(), "(content-type, expected): {wrong:?}");
        let unknown: Vec<_> = PAUSING_TYPES.iter().chain(TYPES_OF_PARTS).filter(|known| !may_pause(known)).collect();
        assert!(unknown.is_empty(), "the two letters rule out types of the list: {unknown:?}");
    }

    #[test]
    fn bodies_that_are_read_while_they_are_made_are_known() {
        let wrong: Vec<_> = [
            ("content-type", "application/x-ndjson", true),
            ("content-type", "Application/NDJSON; charset=utf-8", true),
            ("content-type", "application/jsonl", true),
            ("content-type", "application/json-seq", true),
            ("content-type", "application/geo+json-seq", false),
            ("content-type", "application/vnd.docker.raw-stream", true),
            ("content-type", "application/json", false),
            ("content-type", "application/jsonld", false),
            ("x-accel-buffering", "no", true),
            ("x-accel-buffering", "No", true),
            ("x-accel-buffering", "yes", false),
        ]
        .into_iter()
        .filter(|(name, value, expected)| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            is_read_while_made(&headers) != *expected
        })
        .collect();
        assert!(wrong.is_empty(), "(field, value, expected): {wrong:?}");
    }
}
