//! Transfer-Encoding.

use http::{HeaderMap, header::TRANSFER_ENCODING};

use crate::{
    failure::{Failure, FailureKind, Parameter},
    fields::list,
};

/// A client library has undone exactly one coding, `chunked`
/// ([RFC 9112, section 6.1](https://www.rfc-editor.org/rfc/rfc9112#section-6.1)).
///
/// With any other the content we would pass on is still coded, and with a `Content-Length` beside it nobody knows where the
/// message ends ([section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)). The field itself is always dropped, so
/// the client would never know.
pub(super) fn rule(headers: &HeaderMap, with_content_length: bool) -> Result<(), Failure> {
    let mut codings = list(headers, TRANSFER_ENCODING).filter(|coding| !coding.is_empty());
    let (first, second) = (codings.next().unwrap_or_default(), codings.next());
    let undone = first.eq_ignore_ascii_case(b"chunked");
    if let Some(coding) = if undone { second } else { Some(first) } {
        let failure = Failure::new(FailureKind::HttpResponseTransferCoding).with_reason(if undone {
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

/// Whatever the upstream calls it, if it is short and a token.
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
