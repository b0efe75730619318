//! One line of text.

use http::HeaderValue;

use super::{Format, PublicFailure, Representation, written};

/// `text/plain`: one line, such as `502 Bad Gateway: the upstream refused the connection`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainText;

impl Format for PlainText {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        let sentence = failure.summary().replace(char::is_control, " ");
        let line = format!("{} {}: {sentence}\n", failure.status().as_u16(), failure.reason_phrase());
        written(failure, MEDIA_TYPE, line)
    }
}

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
