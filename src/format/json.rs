//! JSON, plain and as problem details.

use std::sync::OnceLock;

use bytes::Bytes;
use http::HeaderValue;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{Format, PlainText, PublicFailure, Representation, written};
use crate::failure::FailureKind;

/// `application/json`: `error` (a sentence), `code` (the token), `status`, and `retry_after` in seconds where it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Format for Json {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        static USUAL: [Usual; KINDS] = [const { OnceLock::new() }; KINDS];
        const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/json");
        document(failure, MEDIA_TYPE, &USUAL, Members::Json(failure))
    }
}

/// `application/problem+json`: problem details ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).
///
/// `type` is `about:blank`, so `title` is the reason phrase of the status; `detail` is the sentence. The extension members
/// are `code` (the token) and, where it is known, `retry_after` in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Problem;

impl Format for Problem {
    fn write(&self, failure: &PublicFailure<'_>) -> Representation {
        static USUAL: [Usual; KINDS] = [const { OnceLock::new() }; KINDS];
        const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
        document(failure, MEDIA_TYPE, &USUAL, Members::Problem(failure))
    }
}

/// A document that was written before, and its length.
type Usual = OnceLock<(Bytes, HeaderValue)>;
const KINDS: usize = FailureKind::ALL.len();

/// Writes a document, or takes the one written before for this kind: while an upstream is down, all are the same.
fn document(
    failure: &PublicFailure<'_>,
    media_type: HeaderValue,
    usual: &[Usual; KINDS],
    members: Members<'_>,
) -> Representation {
    let write = || serde_json::to_vec(&members).map(Bytes::from);
    let Some(usual) = usual.get(failure.kind().index()).filter(|_| failure.is_usual()) else {
        return write().map_or_else(|_| PlainText.write(failure), |content| written(failure, media_type, content));
    };
    let (content, length) = usual.get_or_init(|| {
        let content = write().unwrap_or_default();
        let length = HeaderValue::from(content.len());
        (content, length)
    });
    written(failure, media_type, content.clone()).length(length.clone())
}

enum Members<'a> {
    Json(&'a PublicFailure<'a>),
    Problem(&'a PublicFailure<'a>),
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let failure = match self {
            Self::Json(failure) => {
                map.serialize_entry("error", failure.summary())?;
                failure
            }
            Self::Problem(failure) => {
                map.serialize_entry("type", "about:blank")?;
                map.serialize_entry("title", failure.reason_phrase())?;
                map.serialize_entry("detail", failure.summary())?;
                failure
            }
        };
        map.serialize_entry("code", failure.kind().token())?;
        map.serialize_entry("status", &failure.status().as_u16())?;
        if let Some(retry_after) = failure.retry_after() {
            map.serialize_entry("retry_after", &retry_after.as_secs())?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        failure::Failure,
        representation::{Envelope, respond},
    };

    fn value(format: &dyn Format, failure: &PublicFailure<'_>) -> Value {
        let envelope =
            Envelope { status: failure.status(), method: &http::Method::GET, retry_after: None, fields: &[] };
        let response = respond(format.write(failure), envelope);
        serde_json::from_slice(response.body()).unwrap()
    }

    #[test]
    fn the_members_are_those_of_the_documents() {
        let failure = Failure::new(FailureKind::ConnectionLimitReached);
        let mut failure = PublicFailure::of(&failure);
        failure.retry_after = Some(std::time::Duration::from_secs(3));
        let sentence = "too many requests to the upstream at the moment";
        assert_eq!(
            value(&Json, &failure),
            json!({ "error": sentence, "code": "connection_limit_reached", "status": 503, "retry_after": 3 })
        );
        assert_eq!(
            value(&Problem, &failure),
            json!({
                "type": "about:blank", "title": "Service Unavailable", "detail": sentence,
                "code": "connection_limit_reached", "status": 503, "retry_after": 3
            })
        );
    }

    #[test]
    fn what_was_written_before_is_not_shown_in_the_wrong_place() {
        let (refused, late) = (Failure::new(FailureKind::ConnectionRefused), Failure::new(FailureKind::DnsTimeout));
        let code = |failure: &PublicFailure<'_>| value(&Problem, failure)["code"].as_str().unwrap().to_owned();
        for failure in [&refused, &late, &refused, &late] {
            assert_eq!(code(&PublicFailure::of(failure)), failure.kind().token());
        }
        let mut mapped = PublicFailure::of(&refused);
        mapped.status = http::StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(value(&Problem, &mapped)["status"], 503);
        let own = Failure::new(FailureKind::ConnectionRefused).with_message("mine");
        assert_eq!(value(&Problem, &PublicFailure::of(&own))["detail"], "mine");
        assert_eq!(value(&Json, &PublicFailure::of(&refused))["error"], refused.kind().summary());
    }

    #[test]
    fn a_sentence_cannot_break_out_of_its_string() {
        let hostile = "\"}\r\n</script>\u{2028}\u{0}";
        let failure = Failure::new(FailureKind::DnsError).with_message(hostile);
        assert_eq!(value(&Json, &PublicFailure::of(&failure))["error"], hostile);
        assert_eq!(value(&Problem, &PublicFailure::of(&failure))["detail"], hostile);
    }
}
