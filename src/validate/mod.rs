//! Is this head a response that may be passed on? One rule a function; broken means 502, untidy is tidied.

mod hop_by_hop;
mod status;
mod switching;
mod transfer_coding;

use http::{HeaderMap, Method, Response, StatusCode};

use crate::{
    context::{Protocol, RequestContext},
    failure::{Failure, Phase},
};

/// What the rest of the layer needs to know of a head that was found good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stream {
    /// The connection leaves HTTP: no limit, no watching.
    Tunnel,
    /// Silence is part of it: event streams, gRPC.
    Endless,
    /// A body that is on its way.
    Ordinary,
}

/// Judges a head, and tidies it.
pub(crate) fn head<B>(context: &RequestContext, response: &mut Response<B>) -> Result<Stream, Failure> {
    let status = response.status();
    rules(context, status, response.headers_mut())
        .map_err(|failure| failure.with_phase(Phase::ResponseHead).with_upstream_status(status))
}

fn rules(context: &RequestContext, status: StatusCode, headers: &mut HeaderMap) -> Result<Stream, Failure> {
    status::rule(status)?;
    if leaves_http(context, status) {
        return switching::rule(context, headers, status).map(|()| Stream::Tunnel);
    }
    let seen = Seen::scan(headers);
    if seen.transfer_encoding && has_content(context, status) {
        transfer_coding::rule(headers, seen.content_length)?;
    }
    if seen.hop_by_hop {
        hop_by_hop::strip(headers, seen.connection_lines);
    }
    let endless = seen.endless || context.protocol() == Protocol::Grpc;
    Ok(if endless { Stream::Endless } else { Stream::Ordinary })
}

/// A head that nobody judges still says whether HTTP goes on after it.
pub(crate) fn leaves_http(context: &RequestContext, status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || (context.method() == Method::CONNECT && status.is_success())
}

/// RFC 9110, section 6.4.1.
fn has_content(context: &RequestContext, status: StatusCode) -> bool {
    context.method() != Method::HEAD && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// What one pass over the fields finds: lookups by name cost three times as much.
#[derive(Default)]
struct Seen {
    connection_lines: usize,
    hop_by_hop: bool,
    transfer_encoding: bool,
    content_length: bool,
    endless: bool,
}

impl Seen {
    fn scan(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                "connection" => {
                    seen.connection_lines += 1;
                    seen.hop_by_hop = true;
                }
                "keep-alive" | "proxy-connection" | "te" | "upgrade" => seen.hop_by_hop = true,
                "transfer-encoding" => {
                    seen.transfer_encoding = true;
                    seen.hop_by_hop = true;
                }
                "content-length" => seen.content_length = true,
                "content-type" => seen.endless = is_endless(value.as_bytes()),
                _ => {}
            }
        }
        seen
    }
}

fn is_endless(content_type: &[u8]) -> bool {
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

/// gRPC here with its relatives: `application/grpc-web+proto` and so on. Connect streams are `application/connect+json`.
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
