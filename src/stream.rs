//! What is known of the time a body takes.

use http::{HeaderMap, HeaderValue, Method, Request, header::CONTENT_TYPE};

/// How a body is expected to come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stream {
    /// The connection leaves HTTP: no limit, no watching.
    Tunnel,
    /// Silence is part of it: event streams, gRPC.
    Endless,
    /// A body that is on its way.
    Ordinary,
}

impl Stream {
    /// By its media type alone.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if is_endless(content_type) { Self::Endless } else { Self::Ordinary }
    }

    /// What a client is going to send: of a tunnel what goes through it, of an upgrade what comes before the other protocol.
    pub(crate) fn of_request<A>(request: &Request<A>) -> Self {
        if request.method() == Method::CONNECT { Self::Tunnel } else { Self::of(request.headers()) }
    }
}

/// Whether a `Content-Type` names a body in which silence is lawful: event streams, pushed pictures, gRPC with its relatives
/// (`application/grpc-web+proto` and so on), Connect streams (`application/connect+json`).
pub(crate) fn is_endless(content_type: &[u8]) -> bool {
    // One letter tells most media types from all of these: the first, or the first of the subtype.
    let Some(letter) = content_type.get(MAIN_APPLICATION).or(content_type.first()) else { return false };
    let may_be = matches!(
        (content_type.first(), letter),
        (Some(b't' | b'T' | b'm' | b'M'), _) | (Some(b'a' | b'A'), b'g' | b'G' | b'c' | b'C')
    );
    may_be
        && ENDLESS.iter().any(|endless| {
            content_type.split_at_checked(endless.len()).is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(endless) && matches!(rest.first(), None | Some(b';' | b' ' | b'+' | b'-'))
            })
        })
}

/// The length of `application/`.
const MAIN_APPLICATION: usize = 12;

const ENDLESS: &[&[u8]] =
    &[b"text/event-stream", b"multipart/x-mixed-replace", b"application/grpc", b"application/connect"];

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
            ("text/event-streams", false),
            ("application/json", false),
            ("", false),
        ]
        .into_iter()
        .filter(|(value, expected)| is_endless(value.as_bytes()) != *expected)
        .collect();
        assert!(wrong.is_empty(), "(content-type, expected): {wrong:?}");
    }
}
