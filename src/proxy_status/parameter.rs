//! Which parameter goes with which type, and who may read it.

use crate::failure::{FailureKind, Parameter};

/// The proxy error type that has it.
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

/// Whether it may be told to anyone: a number, or a word of a closed vocabulary
/// ([IANA](https://www.iana.org/assignments/http-parameters/http-parameters.xhtml)).
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
