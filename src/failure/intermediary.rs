//! An intermediary that has handled a response, in the words of `Proxy-Status`.

use std::borrow::Cow;

use super::{FailureKind, Parameter};

/// One member of a received `Proxy-Status`: an intermediary, and what it says of the response
/// ([RFC 9209, section 2](https://www.rfc-editor.org/rfc/rfc9209#section-2)).
///
/// **Untrusted**: the other side has written it. Names and texts are short visible ASCII, and no more than that is known of
/// them.
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
    /// By what name it goes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The proxy error type, whether it is a registered one or not. An intermediary that only passed a response on has none.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The proxy error type, if it is one of [RFC 9209](https://www.rfc-editor.org/rfc/rfc9209#section-2.3).
    #[must_use]
    pub fn kind(&self) -> Option<FailureKind> {
        self.error().and_then(FailureKind::from_proxy_error_type)
    }

    /// The status it received from the next hop inbound, if it received one. It may be no valid status at all.
    #[must_use]
    pub fn received_status(&self) -> Option<u16> {
        self.received_status
    }

    /// Where it had sent the request.
    #[must_use]
    pub fn next_hop(&self) -> Option<&str> {
        self.next_hop.as_deref()
    }

    /// The protocol it spoke to the next hop, as an ALPN identifier.
    #[must_use]
    pub fn next_protocol(&self) -> Option<&str> {
        self.next_protocol.as_deref()
    }

    /// What it says in its own words.
    #[must_use]
    pub fn details(&self) -> Option<&str> {
        self.details.as_deref()
    }

    /// The extra parameters of its proxy error type.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }
}

/// The one that tells of a failure and is nearest to the origin: first in the list
/// ([RFC 9209, section 2](https://www.rfc-editor.org/rfc/rfc9209#section-2)).
pub(crate) fn origin(intermediaries: &[Intermediary]) -> Option<&Intermediary> {
    intermediaries.iter().find(|intermediary| intermediary.error.is_some())
}
