//! The name by which this gateway is known.
//!
//! A name is checked where it is made, so that no module has to check it again: all of its characters may stand in `Proxy-Status` and in
//! `Via` as they are.

use std::{borrow::Cow, error::Error, fmt};

/// The name of this deployment of the gateway: 1 to 64 characters, letters, digits and any of ``!#$%&'*+-.^_`|~``.
///
/// It names the deployment, not the software ([RFC 9209, section 2](https://www.rfc-editor.org/rfc/rfc9209#section-2)), and
/// may be the same in `Via`. The name is **public**: clients and other gateways read it in `Proxy-Status`, and formats may show it. See
/// [`BadGatewayLayer::gateway_name`](crate::BadGatewayLayer::gateway_name).
///
/// A name that comes from a configuration is made by `TryFrom`, one that stands in the program by
/// [`from_static`](Self::from_static).
///
/// ```
/// use tower_bad_gateway::GatewayName;
///
/// let name = GatewayName::from_static("edge-1");
/// assert_eq!(name.as_str(), "edge-1");
/// assert!(GatewayName::try_from("edge 1".to_owned()).is_err());
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct GatewayName(Cow<'static, str>);

impl GatewayName {
    /// Takes a name known when the program is built.
    ///
    /// # Panics
    ///
    /// When it is not a valid name; in a `const` or `static` that is an error of the build.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_valid(name.as_bytes()), "a gateway name has 1 to 64 characters of a token");
        Self(Cow::Borrowed(name))
    }

    /// The name, as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for GatewayName {
    type Error = InvalidGatewayName;

    /// Takes a name, and fails with [`InvalidGatewayName`] where it is empty, too long, or has any other character.
    fn try_from(name: String) -> Result<Self, InvalidGatewayName> {
        if is_valid(name.as_bytes()) { Ok(Self(Cow::Owned(name))) } else { Err(InvalidGatewayName(())) }
    }
}

impl TryFrom<&str> for GatewayName {
    type Error = InvalidGatewayName;

    /// The same for a borrowed name, which is copied.
    fn try_from(name: &str) -> Result<Self, InvalidGatewayName> {
        Self::try_from(name.to_owned())
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error of a text that is no [`GatewayName`]. It prints what a name may be, and not the text.
#[derive(Clone, Debug)]
pub struct InvalidGatewayName(());

impl fmt::Display for InvalidGatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a gateway name has 1 to 64 letters, digits or any of !#$%&'*+-.^_`|~")
    }
}

impl Error for InvalidGatewayName {}

/// Whether a name is a token of 1 to 64 characters ([RFC 9110, section 5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2)).
///
/// A loop over bytes, since iterators do not run in a `const`.
const fn is_valid(mut name: &[u8]) -> bool {
    if name.is_empty() || name.len() > 64 {
        return false;
    }
    while let [byte, rest @ ..] = name {
        if !matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
            && !byte.is_ascii_alphanumeric()
        {
            return false;
        }
        name = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_are_names() {
        let long = "x".repeat(65);
        let wrong: Vec<_> = [
            ("edge-1", true),
            ("10.0.0.1", true),
            ("!#$%&'*+-.^_`|~aZ09", true),
            (long.get(1..).unwrap(), true),
            (&long, false),
            ("", false),
            ("a b", false),
            ("a,b", false),
            ("a\"b", false),
            ("a(b", false),
            ("a/b", false),
            ("gr\u{fc}n", false),
            ("a\r\nb", false),
        ]
        .into_iter()
        .filter(|(name, valid)| GatewayName::try_from(*name).is_ok() != *valid)
        .collect();
        assert!(wrong.is_empty(), "(name, valid): {wrong:?}");
    }
}
