//! The extra parameters of proxy error types.
//!
//! Readers and validators add them to a failure, and `proxy_status` writes those that belong to its kind. Which of them a client may
//! see is decided there.

use std::borrow::Cow;

use http::{HeaderName, StatusCode};

/// An extra parameter of a proxy error type, typed
/// ([RFC 9209, section 2.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.3)).
///
/// Those of DNS and TLS, and those that hold a text, may describe the upstream: they are private, and leave the gateway only where
/// the layer [discloses](crate::BadGatewayLayer::disclose) them. Sizes, statuses and registered codings stand in `Proxy-Status`.
///
/// ```
/// use tower_bad_gateway::{Failure, FailureKind, failure::Parameter};
///
/// let failure = Failure::new(FailureKind::TlsAlertReceived).with_parameter(Parameter::AlertId(40));
/// assert_eq!(failure.parameters()[0].name(), "alert-id");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Parameter {
    /// `rcode`: the DNS return code, of `dns_error`.
    Rcode(Cow<'static, str>),
    /// `info-code`: the extended DNS error code, of `dns_error`.
    InfoCode(u16),
    /// `alert-id`: the number of the TLS alert, of `tls_alert_received`
    /// ([RFC 8446, section 6](https://www.rfc-editor.org/rfc/rfc8446#section-6)).
    AlertId(u8),
    /// `alert-message`: the name of the TLS alert, of `tls_alert_received`.
    AlertMessage(Cow<'static, str>),
    /// `status-code`: the status answered in place of the origin, of `http_request_error`. A 4xx here is the
    /// [status of the failure](crate::Failure::status).
    StatusCode(StatusCode),
    /// `status-phrase`: the reason phrase beside that status, of `http_request_error`.
    StatusPhrase(Cow<'static, str>),
    /// `header-section-size`: the size of the whole section in bytes, of `http_response_header_section_size`.
    HeaderSectionSize(u64),
    /// `header-name`: the field that was too large, of `http_response_header_size`.
    HeaderName(HeaderName),
    /// `header-size`: the size of that field in bytes, of `http_response_header_size`.
    HeaderSize(u64),
    /// `body-size`: the size of the body in bytes, of `http_response_body_size`.
    BodySize(u64),
    /// `trailer-section-size`: the size of the whole section in bytes, of `http_response_trailer_section_size`.
    TrailerSectionSize(u64),
    /// `trailer-name`: the trailer field that was too large, of `http_response_trailer_size`.
    TrailerName(HeaderName),
    /// `trailer-size`: the size of that trailer field in bytes, of `http_response_trailer_size`.
    TrailerSize(u64),
    /// `coding`: the transfer or content coding that could not be decoded, of `http_response_transfer_coding` and
    /// `http_response_content_coding`.
    Coding(Cow<'static, str>),
}

impl Parameter {
    /// The registered name of the parameter, as it stands in `Proxy-Status`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rcode(_) => "rcode",
            Self::InfoCode(_) => "info-code",
            Self::AlertId(_) => "alert-id",
            Self::AlertMessage(_) => "alert-message",
            Self::StatusCode(_) => "status-code",
            Self::StatusPhrase(_) => "status-phrase",
            Self::HeaderSectionSize(_) => "header-section-size",
            Self::HeaderName(_) => "header-name",
            Self::HeaderSize(_) => "header-size",
            Self::BodySize(_) => "body-size",
            Self::TrailerSectionSize(_) => "trailer-section-size",
            Self::TrailerName(_) => "trailer-name",
            Self::TrailerSize(_) => "trailer-size",
            Self::Coding(_) => "coding",
        }
    }
}
