//! One line of text.

use http::HeaderValue;

use super::{Format, PublicFailure, Representation, written};

/// `text/plain`: one line, such as `502 Bad Gateway: the upstream refused the connection`, with the identifier of the request
/// in brackets behind it where there is one.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainText;

impl Format for PlainText {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        let sentence = failure.summary().replace(char::is_control, " ");
        let reference = failure.request_id().map_or(String::new(), |id| format!(" (reference: {id})"));
        let line = format!("{} {}: {sentence}{reference}\n", failure.status().as_u16(), failure.reason_phrase());
        written(failure, MEDIA_TYPE, line)
    }
}

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
