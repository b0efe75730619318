//! The extra parameters of proxy error types: to which type each belongs, and whether every client may see it
//! ([RFC 9209, section 2.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.3)).
//!
//! Reader and writer ask here, so that both have the same rules. Both functions match every variant by name: a new parameter does not
//! compile until it is decided for whom it is.

use crate::failure::{FailureKind, Parameter};

/// Whether the proxy error type of this kind has the parameter.
///
/// Every parameter belongs to one type, except `coding`, which the errors of transfer and content codings both have. A parameter with
/// another type is neither read nor written: recipients would have to ignore it
/// ([RFC 9209, section 2.1.1](https://www.rfc-editor.org/rfc/rfc9209#section-2.1.1)).
pub(super) fn belongs_to(parameter: &Parameter, kind: FailureKind) -> bool {
    kind == match parameter {
        Parameter::Rcode(_) | Parameter::InfoCode(_) => FailureKind::DnsError,
        Parameter::AlertId(_) | Parameter::AlertMessage(_) => FailureKind::TlsAlertReceived,
        Parameter::StatusCode(_) | Parameter::StatusPhrase(_) => FailureKind::HttpRequestError,
        Parameter::HeaderSectionSize(_) => FailureKind::HttpResponseHeaderSectionSize,
        Parameter::HeaderName(_) | Parameter::HeaderSize(_) => FailureKind::HttpResponseHeaderSize,
        Parameter::BodySize(_) => FailureKind::HttpResponseBodySize,
        Parameter::TrailerSectionSize(_) => FailureKind::HttpResponseTrailerSectionSize,
        Parameter::TrailerName(_) | Parameter::TrailerSize(_) => FailureKind::HttpResponseTrailerSize,
        Parameter::Coding(_) => {
            return matches!(kind, FailureKind::HttpResponseTransferCoding | FailureKind::HttpResponseContentCoding);
        }
    }
}

/// Whether every client may see the parameter.
///
/// Public are sizes, statuses and registered codings: numbers, and words of a closed vocabulary
/// ([IANA](https://www.iana.org/assignments/http-parameters/http-parameters.xhtml)). The parameters of DNS and TLS are private although
/// some are numbers: they describe the network behind the gateway. Texts and field names of the upstream may say anything.
pub(super) fn is_public(parameter: &Parameter) -> bool {
    match parameter {
        Parameter::StatusCode(_)
        | Parameter::HeaderSectionSize(_)
        | Parameter::HeaderSize(_)
        | Parameter::BodySize(_)
        | Parameter::TrailerSectionSize(_)
        | Parameter::TrailerSize(_) => true,
        Parameter::Coding(name) => REGISTERED_CODINGS.contains(&&**name),
        Parameter::Rcode(_)
        | Parameter::InfoCode(_)
        | Parameter::AlertId(_)
        | Parameter::AlertMessage(_)
        | Parameter::StatusPhrase(_)
        | Parameter::HeaderName(_)
        | Parameter::TrailerName(_) => false,
    }
}

/// The content and transfer codings that are public. Any other name is text that an upstream has made up.
const REGISTERED_CODINGS: [&str; 13] = [
    "aes128gcm",
    "br",
    "chunked",
    "compress",
    "dcb",
    "dcz",
    "deflate",
    "exi",
    "gzip",
    "identity",
    "pack200-gzip",
    "x-gzip",
    "zstd",
];
