//! The `Transfer-Encoding` of a response: `chunked` once, or a reason to refuse the response.
//!
//! The parent module calls [`rule`] where the field frames the message, which is never over HTTP/2 and HTTP/3 (the field is
//! refused there), after HEAD, or in a 204 or 304. `hop_by_hop::strip` removes the field afterwards. This
//! module reads the field alone: the client library has decoded the chunks, or will.

use http::{HeaderMap, header::TRANSFER_ENCODING};

use crate::{
    failure::{Failure, FailureKind, Parameter},
    fields::list,
};

/// Refuses every transfer coding but a single `chunked`, and `chunked` beside a `Content-Length`.
///
/// A client library decodes exactly one coding, `chunked`
/// ([RFC 9112, section 6.1](https://www.rfc-editor.org/rfc/rfc9112#section-6.1)). After any other the content would be
/// forwarded in coded form, and the client could not know that, since the field is removed on the way. With a
/// `Content-Length` as well, two hops may disagree on where the message ends
/// ([section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)).
///
/// The lines of the field count as one list, empty elements do not count, and names are compared without regard to case. A
/// field without any element is refused too.
///
/// # Errors
///
/// [`FailureKind::HttpResponseTransferCoding`], with the name of the coding that is too much where it is [fit to be
/// shown](coding_name); [`FailureKind::HttpProtocolError`] for a `Content-Length` beside `chunked`.
pub(super) fn rule(headers: &HeaderMap, with_content_length: bool) -> Result<(), Failure> {
    let mut codings = list(headers, TRANSFER_ENCODING).filter(|coding| !coding.is_empty());
    let (first, second) = (codings.next().unwrap_or_default(), codings.next());
    let is_chunked = first.eq_ignore_ascii_case(b"chunked");
    if let Some(coding) = if is_chunked { second } else { Some(first) } {
        let failure = Failure::new(FailureKind::HttpResponseTransferCoding).with_reason(if is_chunked {
            "Transfer-Encoding names more than chunked"
        } else {
            "Transfer-Encoding is not chunked"
        });
        return Err(match coding_name(coding) {
            Some(name) => failure.with_parameter(Parameter::Coding(name.into())),
            None => failure,
        });
    }
    if with_content_length {
        let reason = "Content-Length beside Transfer-Encoding";
        return Err(Failure::new(FailureKind::HttpProtocolError).with_reason(reason));
    }
    Ok(())
}

/// The name of a coding for the parameter of the failure, in lower case and without the parameters of the coding.
///
/// `None` unless the name is a token ([RFC 9110, section 5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2)) of 1 to 32
/// bytes: the upstream has written it, and it goes into logs and into `Proxy-Status`; one that is not registered only for requests to which the
/// cause is [disclosed](crate::BadGatewayLayer::disclose).
fn coding_name(coding: &[u8]) -> Option<String> {
    let name = coding.split(|&byte| byte == b';').next()?.trim_ascii();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty() || name.len() > 32 || !name.iter().all(is_token) {
        return None;
    }
    Some(String::from_utf8_lossy(name).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_single_chunked_is_passed_on() {
        use FailureKind::{HttpProtocolError, HttpResponseTransferCoding as Coding};
        let wrong: Vec<_> = [
            (&["chunked"][..], false, None),
            (&["Chunked"], false, None),
            (&[" chunked ,"], false, None),
            (&["chunked"], true, Some((HttpProtocolError, None))),
            (&["gzip"], false, Some((Coding, Some("gzip")))),
            (&["gzip, chunked"], false, Some((Coding, Some("gzip")))),
            (&["chunked", "chunked"], false, Some((Coding, Some("chunked")))),
            (&["identity"], true, Some((Coding, Some("identity")))),
            (&["x y"], false, Some((Coding, None))),
            (&["abcdefghijklmnopqrstuvwxyz012345"], false, Some((Coding, Some("abcdefghijklmnopqrstuvwxyz012345")))),
            (&["abcdefghijklmnopqrstuvwxyz0123456"], false, Some((Coding, None))),
            (&[""], false, Some((Coding, None))),
        ]
        .into_iter()
        .map(|(lines, content_length, expected)| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(TRANSFER_ENCODING, HeaderValue::from_static(line));
            }
            let got = rule(&headers, content_length).err().map(|failure| {
                let coding = failure.parameters().first().map(|parameter| match parameter {
                    Parameter::Coding(name) => name.clone().into_owned(),
                    other => format!("{other:?}"),
                });
                (failure.kind(), coding)
            });
            (lines, got, expected.map(|(kind, coding)| (kind, coding.map(str::to_owned))))
        })
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(lines, got, expected): {wrong:#?}");
    }
}
