//! The identifier of a request: the type, and which texts are one.
//!
//! `capture` looks for identifiers in extensions and fields; this file only checks a text. An identifier comes from outside and is
//! written into logs, fields and pages, so characters that could end a line there are refused here, once. To escape the others,
//! such as `<`, is the task of each writer.

use std::{error::Error, fmt, sync::Arc};

use http::HeaderValue;

/// A request extension: the identifier by which a request is found in logs, such as the value of `X-Request-Id`.
///
/// Formats show it to the client ("reference"), so that it can be quoted when asking for help, and the events of failures have it.
/// Hooks find it at [`RequestContext::request_id`](super::RequestContext::request_id).
///
/// An identifier has 1 to 128 visible ASCII characters. The layer takes the first that is valid of
///
/// 1. this extension,
/// 2. with feature `tower-http`, the extension of tower-http's `SetRequestIdLayer`,
/// 3. the [fields](crate::BadGatewayLayer::request_id_header) that are set for it, in the order in which they were set,
///
/// and never makes one up. Not for secrets: clients are shown it. An identifier costs an allocation or two a call.
///
/// ```
/// use tower_bad_gateway::context::RequestId;
///
/// # fn main() -> Result<(), tower_bad_gateway::context::InvalidRequestId> {
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(RequestId::try_from("7f3a-12")?);
///
/// assert!(RequestId::try_from("two words").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The identifier as a text, unchanged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Copies the text, which is one allocation.
impl TryFrom<&str> for RequestId {
    type Error = InvalidRequestId;

    fn try_from(id: &str) -> Result<Self, InvalidRequestId> {
        let valid = (1..=MAX_CHARACTERS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        if valid { Ok(Self(id.into())) } else { Err(InvalidRequestId(())) }
    }
}

impl TryFrom<String> for RequestId {
    type Error = InvalidRequestId;

    fn try_from(id: String) -> Result<Self, InvalidRequestId> {
        Self::try_from(id.as_str())
    }
}

impl TryFrom<&HeaderValue> for RequestId {
    type Error = InvalidRequestId;

    fn try_from(id: &HeaderValue) -> Result<Self, InvalidRequestId> {
        id.to_str().map_err(|_| InvalidRequestId(())).and_then(Self::try_from)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error of a text that is no identifier: empty, longer than 128 bytes, or with a space, a control or a non-ASCII character.
///
/// The text is not part of the error, so that it reaches no log unchecked. See [`RequestId`] for an example.
#[derive(Clone, Debug)]
pub struct InvalidRequestId(());

impl fmt::Display for InvalidRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request identifier has 1 to 128 visible ASCII characters")
    }
}

impl Error for InvalidRequestId {}

/// The most characters of an identifier; each is one byte.
const MAX_CHARACTERS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_visible_text_is_an_identifier() {
        let long = "x".repeat(129);
        let wrong: Vec<_> = [
            ("7f3a-12", true),
            ("<script>", true),
            (long.get(1..).unwrap(), true),
            (&long, false),
            ("", false),
            ("two words", false),
            ("a\r\nb", false),
            ("gr\u{fc}n", false),
        ]
        .into_iter()
        .filter(|(id, valid)| {
            let field = HeaderValue::from_bytes(id.as_bytes()).is_ok_and(|field| RequestId::try_from(&field).is_ok());
            let [text, owned] = [RequestId::try_from(*id), RequestId::try_from((*id).to_owned())].map(|id| id.is_ok());
            [text, owned, field] != [*valid; 3]
        })
        .collect();
        assert!(wrong.is_empty(), "(id, valid): {wrong:?}");
    }
}
