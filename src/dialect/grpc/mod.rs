//! gRPC: HTTP 200, and the failure in `grpc-status`.
//!
//! The policy calls [`respond`] for a failure before the response head, and [`code`] for events; the conversion into tonic's `Status` calls that as
//! well, and `body` follows the messages. gRPC-Web is
//! answered in the same way before the head, and is plain HTTP after it, as Connect is everywhere.

mod head;
mod messages;
mod trailers;

use std::{error::Error, fmt::Write, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

pub(crate) use self::{
    head::{Head, judge as judge_head},
    messages::Messages,
    trailers::{has_status, judge as judge_trailers, missing as missing_status},
};
use crate::{
    context::{Protocol, RequestContext, RequestId},
    failure::{Failure, FailureKind},
    fields::PROXY_STATUS,
    representation::{add_fields, shortened},
};

/// A Trailers-Only answer
/// ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses)): one HEADERS frame that
/// ends the stream, on HTTP/1 a head with `Content-Length: 0`.
///
/// | argument | what it becomes |
/// | --- | --- |
/// | `request` | the media type, by its protocol: in gRPC-Web the head of an answer without content may carry the status as well; `Content-Length`, by its version: in HTTP/2 the frames end the message |
/// | `failure` | `grpc-status`, by [`code`] |
/// | `sentence`, the identifier of the request | `grpc-message`, by [`message`]; no message if the field cannot be written |
/// | `proxy_status` | `Proxy-Status`, if there is one |
/// | `retry_after` | `grpc-retry-pushback-ms`, if another attempt makes sense after that time |
/// | `fields` | the user's own fields; those of the layer, which are set later, replace them |
///
/// The status is 200 for every failure, as gRPC asks.
pub(crate) fn respond(
    request: &RequestContext,
    failure: &Failure,
    sentence: &str,
    proxy_status: Option<HeaderValue>,
    retry_after: Option<Duration>,
    fields: &[(HeaderName, HeaderValue)],
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    add_fields(headers, fields.iter().cloned());
    if let Some(proxy_status) = proxy_status {
        headers.insert(PROXY_STATUS, proxy_status);
    }
    headers.insert(CONTENT_TYPE, if request.protocol() == Protocol::GrpcWeb { WEB_MEDIA_TYPE } else { MEDIA_TYPE });
    insert_status(headers, failure, sentence, request.request_id());
    if let Some(millis) = retry_after.and_then(|delay| u64::try_from(delay.as_millis()).ok()) {
        headers.insert(RETRY_PUSHBACK, HeaderValue::from(millis));
    }
    if request.version() < Version::HTTP_2 {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// The trailers that end a body between two messages, where its head was sent before it broke: what was read so far stays whole, and
/// the caller learns why there is no more
/// ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses)).
pub(crate) fn trailers(failure: &Failure, sentence: &str, request_id: Option<&RequestId>) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    insert_status(&mut trailers, failure, sentence, request_id);
    trailers
}

/// Writes code and sentence.
fn insert_status(fields: &mut HeaderMap, failure: &Failure, sentence: &str, request_id: Option<&RequestId>) {
    fields.insert(GRPC_STATUS, HeaderValue::from(u16::from(code(failure))));
    if let Some(message) = message(sentence, request_id) {
        fields.insert(GRPC_MESSAGE, message);
    }
}

/// What the error of a gRPC body has as its source, where the body was aborted: around tonic's channel there is no reset that a client could
/// read. Only code and sentence are in it.
#[cfg(feature = "tonic-0_14")]
pub(crate) fn error_source(failure: &Failure, sentence: &str) -> Option<Arc<dyn Error + Send + Sync>> {
    Some(Arc::new(tonic::Status::new(tonic::Code::from(i32::from(code(failure))), sentence)))
}

/// Without the feature no client looks for one.
#[cfg(not(feature = "tonic-0_14"))]
pub(crate) fn error_source(_: &Failure, _: &str) -> Option<Arc<dyn Error + Send + Sync>> {
    None
}

/// The code a gRPC caller is answered, a number from 0 to 16
/// ([status codes](https://grpc.io/docs/guides/status-codes/)): that of the reader that has read the error, that of the intercepted status,
/// or that of the kind, in this order.
pub(crate) fn code(failure: &Failure) -> u8 {
    let code_of_kind = || match (failure.kind(), failure.upstream_status()) {
        // A failure after the head has that head's 200, which says nothing.
        (FailureKind::ReceivedStatus, Some(status)) if !status.is_success() => code_of_status(status),
        (kind, _) => kind.grpc_code(),
    };
    failure.grpc_code().unwrap_or_else(code_of_kind)
}

/// The code that a gRPC client would make of a plain HTTP answer
/// ([gRPC](https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md)), but for one thing: where that table says UNKNOWN, with
/// which a caller can do nothing, this is INTERNAL. An HTTP answer to a gRPC call is a fault of the path to the service.
fn code_of_status(status: StatusCode) -> u8 {
    match status.as_u16() {
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 13,
    }
}

/// The value of `grpc-message`: percent-encoded UTF-8
/// ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses)).
///
/// The sentence is cut at 1 KiB before it is encoded, since large header sections are refused on the way; encoded it may be three times as
/// long.
fn message(sentence: &str, request_id: Option<&RequestId>) -> Option<HeaderValue> {
    let mut encoded = encode(sentence);
    if let Some(id) = request_id {
        // A gRPC answer has no body, so a reference that a person can quote has no other place.
        write!(encoded, " (reference: {})", utf8_percent_encode(id.as_str(), ENCODED)).ok()?;
    }
    HeaderValue::try_from(encoded).ok()
}

/// A text as a `grpc-message`.
fn encoded(text: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(encode(text)).ok()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(shortened(text), ENCODED).to_string()
}

/// What is encoded: all bytes outside of 0x20 to 0x7E, and the percent sign.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');
/// For every answer to gRPC, with any suffix in the request's type: a suffix names the format of the messages, and an answer has no messages.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
/// The same of gRPC-Web.
const WEB_MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/grpc-web+proto");
/// The time in which a client with a retry policy should not try again
/// ([gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback)).
const RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
/// The number of the code, in decimal digits.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The sentence for people.
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

#[cfg(test)]
mod tests {
    use super::*;

    fn header(response: &Response<Bytes>, name: &str) -> Option<String> {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_message_survives_the_header() {
        let wrong: Vec<_> = [
            ("plain text, with \"quotes\"", "plain text, with \"quotes\""),
            ("100 %", "100 %25"),
            ("a\r\nb\u{0}", "a%0D%0Ab%00"),
            ("gr\u{fc}n", "gr%C3%BCn"),
        ]
        .into_iter()
        .map(|(sentence, expected)| (message(sentence, None).unwrap(), expected))
        .filter(|(got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(got, expected): {wrong:?}");
        assert_eq!(message(&"\u{fc}".repeat(5000), None).unwrap().len(), 512 * 6);
        let id = RequestId::try_from("7f%3a").unwrap();
        assert_eq!(message("late", Some(&id)).unwrap(), "late (reference: 7f%253a)");
    }

    #[test]
    fn an_intercepted_status_is_mapped_as_a_client_would() {
        let code = |status| {
            let status = StatusCode::from_u16(status).unwrap();
            code(&Failure::new(FailureKind::ReceivedStatus).with_upstream_status(status))
        };
        assert_eq!([302, 400, 401, 403, 404, 429, 500, 503].map(code), [13, 13, 16, 7, 12, 14, 13, 14]);
    }

    #[test]
    fn the_length_is_given_where_there_are_no_frames() {
        let failure = Failure::new(FailureKind::HttpResponseTimeout);
        let respond = |version| {
            let mut request = http::Request::new(String::new());
            *request.version_mut() = version;
            respond(&RequestContext::capture(&request), &failure, "late", None, None, &[])
        };
        let (old, new) = (respond(Version::HTTP_11), respond(Version::HTTP_2));
        assert_eq!(header(&old, "content-length").as_deref(), Some("0"));
        assert_eq!(header(&new, "content-length"), None);
        assert_eq!(header(&new, "grpc-status").as_deref(), Some("4"));
        assert_eq!(header(&new, "content-type").as_deref(), Some("application/grpc"));
        assert_eq!(new.status(), 200);
    }
}
