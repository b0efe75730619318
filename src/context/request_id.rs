//! The identifier of a request.

use std::{error::Error, fmt, sync::Arc};

/// A request extension: the identifier by which a request is found in logs, such as the value of `X-Request-Id`.
///
/// Formats show it to the client ("reference"), so that it can be quoted when asking for help. The layer makes up none: set
/// one where requests come in. 1 to 128 visible ASCII characters.
///
/// ```
/// use tower_bad_gateway::context::RequestId;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(RequestId::try_from("7f3a-12")?);
/// assert!(RequestId::try_from("two words").is_err());
/// # Ok::<(), tower_bad_gateway::context::InvalidRequestId>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for RequestId {
    type Error = InvalidRequestId;

    fn try_from(id: &str) -> Result<Self, InvalidRequestId> {
        let valid = (1..=MOST_CHARACTERS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        if valid { Ok(Self(id.into())) } else { Err(InvalidRequestId(())) }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error of an identifier that is none; see [`RequestId`].
#[derive(Clone, Debug)]
pub struct InvalidRequestId(());

impl fmt::Display for InvalidRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request identifier has 1 to 128 visible ASCII characters")
    }
}

impl Error for InvalidRequestId {}

const MOST_CHARACTERS: usize = 128;

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
        .filter(|(id, valid)| RequestId::try_from(*id).is_ok() != *valid)
        .collect();
        assert!(wrong.is_empty(), "(id, valid): {wrong:?}");
    }
}
