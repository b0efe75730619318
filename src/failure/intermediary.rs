//! An intermediary that has handled a response, in the words of `Proxy-Status`.
//!
//! This module holds the data alone: `proxy_status::read` fills it from the field of a response, `proxy_status::write` writes it into
//! an answer. It stands among the words so that a failure can carry it, with or without feature `proxy-status`.

use std::borrow::Cow;

use super::{FailureKind, Parameter};

/// One member of a received `Proxy-Status`: an intermediary, and what it says of the response
/// ([RFC 9209, section 2](https://www.rfc-editor.org/rfc/rfc9209#section-2)).
///
/// **Untrusted**: the other side has written it. Names and texts are short visible ASCII, and no more than that is known of
/// them: names end after 128 characters, texts after 512.
///
/// See [`proxy_status`](crate::proxy_status) for an example.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Intermediary {
    pub(crate) name: String,
    pub(crate) error: Option<Cow<'static, str>>,
    pub(crate) received_status: Option<u16>,
    pub(crate) next_hop: Option<String>,
    pub(crate) next_protocol: Option<String>,
    pub(crate) details: Option<String>,
    pub(crate) parameters: Vec<Parameter>,
}

impl Intermediary {
    /// The name the intermediary has given itself: a service, a host name, an IP address or a generated string.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The proxy error type: a registered one, which [`kind`](Self::kind) knows, or any other token. An intermediary that only
    /// forwarded a response has none ([section 2.1.1](https://www.rfc-editor.org/rfc/rfc9209#section-2.1.1)).
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The proxy error type, if it is one of [RFC 9209](https://www.rfc-editor.org/rfc/rfc9209#section-2.3).
    #[must_use]
    pub fn kind(&self) -> Option<FailureKind> {
        self.error().and_then(FailureKind::from_proxy_error_type)
    }

    /// The status the intermediary received from the next hop inbound, if it received one
    /// ([section 2.1.4](https://www.rfc-editor.org/rfc/rfc9209#section-2.1.4)). The number may be no valid status at all.
    #[must_use]
    pub fn received_status(&self) -> Option<u16> {
        self.received_status
    }

    /// Where the intermediary had sent the request: a host name, an address or an alias
    /// ([section 2.1.2](https://www.rfc-editor.org/rfc/rfc9209#section-2.1.2)).
    #[must_use]
    pub fn next_hop(&self) -> Option<&str> {
        self.next_hop.as_deref()
    }

    /// The protocol the intermediary spoke to the next hop, as an ALPN identifier such as `h2`
    /// ([section 2.1.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.1.3)).
    #[must_use]
    pub fn next_protocol(&self) -> Option<&str> {
        self.next_protocol.as_deref()
    }

    /// What the intermediary says in its own words, for people to read
    /// ([section 2.1.5](https://www.rfc-editor.org/rfc/rfc9209#section-2.1.5)).
    #[must_use]
    pub fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }

    /// The extra parameters of the proxy error type; those that do not belong to the type are left out, and so are unknown ones.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }
}

/// The intermediary with an error that is nearest to the origin, which is the first of them in the list
/// ([RFC 9209, section 2](https://www.rfc-editor.org/rfc/rfc9209#section-2)).
pub(crate) fn origin(intermediaries: &[Intermediary]) -> Option<&Intermediary> {
    intermediaries.iter().find(|intermediary| intermediary.error.is_some())
}
