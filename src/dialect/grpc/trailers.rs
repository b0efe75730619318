//! The status of a gRPC call, as an upstream has written it: in its trailers, or in the head of a Trailers-Only response.
//!
//! Clients read a status that is none in different ways: some take it for success, some for a code that does not exist, some lose it. So it
//! is judged here, and no client sees it.

use http::HeaderMap;
use percent_encoding::percent_decode;

use super::{GRPC_MESSAGE, GRPC_STATUS, encoded};
use crate::failure::{Failure, FailureKind};

/// The code in `grpc-status`: one field line with one number from 0 to 16, without leading zeros. `None` if there is no such field.
///
/// # Errors
///
/// There is something else in it.
pub(super) fn read_status(fields: &HeaderMap) -> Option<Result<u8, NoStatus>> {
    let mut lines = fields.get_all(GRPC_STATUS).iter();
    let first = lines.next()?;
    if lines.next().is_some() {
        return Some(Err(NoStatus));
    }
    Some(match first.as_bytes() {
        [digit @ b'0'..=b'9'] => Ok(digit - b'0'),
        [b'1', digit @ b'0'..=b'6'] => Ok(10 + digit - b'0'),
        _ => Err(NoStatus),
    })
}

/// Whether there is such a field, with any value.
pub(crate) fn has_status(fields: &HeaderMap) -> bool {
    fields.contains_key(GRPC_STATUS)
}

/// A `grpc-status` that is no single number from 0 to 16.
#[derive(Debug, PartialEq)]
pub(super) struct NoStatus;

/// Encodes a `grpc-message` anew that a client could not decode (broken escapes, or bytes that are no UTF-8 or not visible), and keeps the first
/// of several lines. Some clients lose the code beside such a message.
pub(super) fn mend_message(fields: &mut HeaderMap) {
    let mut lines = fields.get_all(GRPC_MESSAGE).iter();
    let Some(message) = lines.next() else { return };
    if lines.next().is_none() && is_valid(message.as_bytes()) {
        return;
    }
    // What is no escape stays as it is, and is encoded.
    let text = percent_decode(message.as_bytes()).decode_utf8_lossy().into_owned();
    match encoded(&text) {
        Some(message) => fields.insert(GRPC_MESSAGE, message),
        None => fields.remove(GRPC_MESSAGE),
    };
}

/// Whether a message is percent-encoded UTF-8 with visible ASCII alone.
fn is_valid(message: &[u8]) -> bool {
    let is_plain = message.iter().all(|&byte| matches!(byte, b' '..=b'~'));
    is_plain
        && message
            .split(|&byte| byte == b'%')
            .skip(1)
            .all(|behind| behind.first_chunk().is_some_and(|digits: &[u8; 2]| digits.iter().all(u8::is_ascii_hexdigit)))
        && percent_decode(message).decode_utf8().is_ok()
}

/// Judges the trailers that end a gRPC body, and mends their message. `is_between`: all messages before them were whole. `reaches_client`: the
/// server of the client sends them.
///
/// A status other than 0 is the upstream's own verdict and is forwarded, wherever it comes: four of five clients understand it inside of a
/// message as well.
///
/// # Errors
///
/// There is no status, or success inside of a message, or a failure that the client would not learn of.
pub(crate) fn judge(trailers: &mut HeaderMap, is_between: bool, reaches_client: bool) -> Result<(), Failure> {
    match read_status(trailers) {
        None => return Err(no_status("the trailers have no grpc-status")),
        Some(Err(NoStatus)) => return Err(no_status("grpc-status is no single number from 0 to 16")),
        Some(Ok(0)) if !is_between => return Err(cut("grpc-status 0 inside of a message")),
        // A server that drops the trailers would end the message cleanly, and the client take it for success.
        Some(Ok(1..)) if !reaches_client => {
            return Err(cut("a grpc-status other than 0, in trailers that the client does not get"));
        }
        Some(Ok(_)) => {}
    }
    mend_message(trailers);
    Ok(())
}

/// The failure of a gRPC body that has ended without trailers.
pub(crate) fn missing(is_between: bool) -> Failure {
    if is_between { no_status("the end without a grpc-status") } else { cut("the end inside of a message") }
}

/// The upstream does not keep to gRPC.
pub(super) fn no_status(reason: &'static str) -> Failure {
    Failure::new(FailureKind::HttpProtocolError).with_reason(reason)
}

/// A message is cut short.
fn cut(reason: &'static str) -> Failure {
    Failure::new(FailureKind::HttpResponseIncomplete).with_reason(reason)
}

/// The value of a field, for tests.
#[cfg(test)]
fn value(text: &[u8]) -> http::HeaderValue {
    http::HeaderValue::from_bytes(text).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_number() {
        let wrong: Vec<_> = [
            (&["0"][..], Some(Ok(0))),
            (&["9"], Some(Ok(9))),
            (&["10"], Some(Ok(10))),
            (&["16"], Some(Ok(16))),
            (&[], None),
            (&[""], Some(Err(NoStatus))),
            (&["17"], Some(Err(NoStatus))),
            (&["-1"], Some(Err(NoStatus))),
            (&["00"], Some(Err(NoStatus))),
            (&["014"], Some(Err(NoStatus))),
            (&["999"], Some(Err(NoStatus))),
            (&["abc"], Some(Err(NoStatus))),
            (&["1 4"], Some(Err(NoStatus))),
            (&["14", "4"], Some(Err(NoStatus))),
            (&["14", "14"], Some(Err(NoStatus))),
        ]
        .into_iter()
        .map(|(lines, expected)| {
            let fields = lines.iter().map(|line| (GRPC_STATUS, value(line.as_bytes()))).collect();
            (lines, read_status(&fields), expected)
        })
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(lines, got, expected): {wrong:?}");
    }

    /// What comes from the network may be anything: a status is one of seventeen, and a message can be decoded afterwards.
    #[test]
    fn random_trailers_are_judged_and_mended() {
        const BYTES: &[u8] = b"%0123456789abcdefABCDEF -+ \xff\xc3\xbc\t~z";
        let mut seed = 7_u32;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            usize::try_from(seed >> 8).unwrap() % below
        };
        for _ in 0..20_000 {
            let mut text = |longest| (0..random(longest)).map(|_| BYTES[random(BYTES.len())]).collect::<Vec<_>>();
            let (status, message) = (text(4), text(12));
            let mut fields = HeaderMap::from_iter([(GRPC_STATUS, value(&status)), (GRPC_MESSAGE, value(&message))]);
            let is_number = std::str::from_utf8(&status).ok().and_then(|text| text.parse::<u8>().ok());
            let is_valid_number = is_number.is_some_and(|code| code <= 16 && code.to_string().as_bytes() == status);
            assert_eq!(judge(&mut fields, true, true).is_ok(), is_valid_number, "{status:?}");
            mend_message(&mut fields);
            assert!(is_valid(fields[GRPC_MESSAGE].as_bytes()), "{message:?}");
        }
    }

    #[test]
    fn a_message_that_is_not_validly_encoded_is_encoded_anew() {
        let wrong: Vec<_> = [
            (&b"plain, with %25 and %C3%BC"[..], "plain, with %25 and %C3%BC"),
            (b"100 % done", "100 %25 done"),
            (b"%zz", "%25zz"),
            (b"%4", "%254"),
            (b"%", "%25"),
            ("gr\u{fc}n".as_bytes(), "gr%C3%BCn"),
            (b"%ff", "%EF%BF%BD"),
            (b"a\xffb", "a%EF%BF%BDb"),
            (b"a\tb", "a%09b"),
        ]
        .into_iter()
        .map(|(message, expected)| {
            let mut fields = HeaderMap::from_iter([(GRPC_MESSAGE, value(message))]);
            mend_message(&mut fields);
            (message, fields[GRPC_MESSAGE].to_str().unwrap().to_owned(), expected)
        })
        .filter(|(_, got, expected)| got != expected)
        .collect();
        assert!(wrong.is_empty(), "(message, got, expected): {wrong:?}");
    }
}
