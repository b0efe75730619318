//! Limits for the size of header and trailer sections.
//!
//! The parent module asks [`SizeLimits::head`] before any other rule, so that an oversized section is refused before it is
//! searched or copied, and [`SizeLimits::trailers`] before a trailer section is tidied. Both skip the walk over the fields when
//! [nothing is limited](SizeLimits::are_off). The size of content is no concern of this module.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::failure::{Failure, FailureKind, Parameter};

/// How large a header or trailer section may be, in bytes. By default there is no limit but the client library's own.
///
/// The same limits apply to the header section and, anew, to the trailer section. They are checked on the fields as the upstream
/// sent them, before any is removed, and in [`for_router`](crate::BadGatewayLayer::for_router) as well. A field counts as it is
/// written in HTTP/1.1, over HTTP/2 too: its name, its value, and four bytes for the colon, the space and the end of the line. The
/// status line does not count. A section or field of exactly the limit passes.
///
/// | what is too large | the failure ([RFC 9209](https://www.rfc-editor.org/rfc/rfc9209#section-2.3)) | what happens |
/// | --- | --- | --- |
/// | a field of the head | `http_response_header_size` | 502 |
/// | the header section | `http_response_header_section_size` | 502 |
/// | a trailer field | `http_response_trailer_size` | the body ends in an error, so that the server aborts the message |
/// | the trailer section | `http_response_trailer_section_size` | the same |
///
/// The private reason of the failure names the field, its size and the limit. If both limits are exceeded, the field is
/// reported.
///
/// Not for memory: the client library has read the whole section by then. Its own limit is what bounds that.
///
/// See [`BadGatewayLayer::limit_fields`](crate::BadGatewayLayer::limit_fields) for an example.
#[derive(Clone, Copy, Debug, Default)]
pub struct SizeLimits {
    section: Option<u64>,
    field: Option<u64>,
}

impl SizeLimits {
    /// Starts without limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits all the fields of a section together, in bytes. `None`, the default, is no limit.
    #[must_use]
    pub fn section(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.section = bytes.into();
        self
    }

    /// Limits each field line, in bytes. `None`, the default, is no limit.
    ///
    /// Lines of the same name are not added up.
    #[must_use]
    pub fn field(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.field = bytes.into();
        self
    }

    /// Whether there is no limit, so that the fields need not be walked over.
    pub(super) fn are_off(self) -> bool {
        self.section.is_none() && self.field.is_none()
    }

    /// Checks a header section.
    ///
    /// # Errors
    ///
    /// A failure with the name of the field and its size, or with the size of the section. The size of the section is
    /// complete, not only what went beyond the limit.
    pub(super) fn head(self, fields: &HeaderMap) -> Result<(), Failure> {
        self.check(fields).map_err(|excess| match excess {
            Excess::Field(name, size) => too_large(FailureKind::HttpResponseHeaderSize)
                .with_reason(self.field_reason(&name, size))
                .with_parameter(Parameter::HeaderName(name))
                .with_parameter(Parameter::HeaderSize(size)),
            Excess::Section(size) => too_large(FailureKind::HttpResponseHeaderSectionSize)
                .with_reason(self.section_reason(size))
                .with_parameter(Parameter::HeaderSectionSize(size)),
        })
    }

    /// Checks a trailer section; the failures have kinds and parameters of their own.
    ///
    /// # Errors
    ///
    /// As [`head`](Self::head).
    pub(super) fn trailers(self, fields: &HeaderMap) -> Result<(), Failure> {
        self.check(fields).map_err(|excess| match excess {
            Excess::Field(name, size) => too_large(FailureKind::HttpResponseTrailerSize)
                .with_reason(self.field_reason(&name, size))
                .with_parameter(Parameter::TrailerName(name))
                .with_parameter(Parameter::TrailerSize(size)),
            Excess::Section(size) => too_large(FailureKind::HttpResponseTrailerSectionSize)
                .with_reason(self.section_reason(size))
                .with_parameter(Parameter::TrailerSectionSize(size)),
        })
    }

    /// The private reason of a field that is too large.
    fn field_reason(self, name: &HeaderName, size: u64) -> String {
        format!("{name} has {size} bytes, of {} (limit_fields)", self.field.unwrap_or_default())
    }

    /// The private reason of a section that is too large.
    fn section_reason(self, size: u64) -> String {
        format!("the section has {size} bytes, of {} (limit_fields)", self.section.unwrap_or_default())
    }

    /// Finds the first field above its limit or, if there is none, a section above its limit.
    fn check(self, fields: &HeaderMap) -> Result<(), Excess> {
        let mut section = 0_u64;
        for (name, value) in fields {
            let size = size(name, value);
            if self.field.is_some_and(|limit| size > limit) {
                return Err(Excess::Field(name.clone(), size));
            }
            section = section.saturating_add(size);
        }
        if self.section.is_some_and(|limit| section > limit) { Err(Excess::Section(section)) } else { Ok(()) }
    }
}

/// To a gRPC caller it is a limit of this gateway, and no fault of the protocol.
fn too_large(kind: FailureKind) -> Failure {
    Failure::new(kind).with_grpc_code(RESOURCE_EXHAUSTED)
}

/// The gRPC code of what is above a limit.
const RESOURCE_EXHAUSTED: u8 = 8;

/// What is too large, with its size in bytes.
enum Excess {
    /// One field line.
    Field(HeaderName, u64),
    /// All fields together; each is within its own limit.
    Section(u64),
}

/// The size of a field line in HTTP/1.1, in bytes: `name: value\r\n`.
fn size(name: &HeaderName, value: &HeaderValue) -> u64 {
    u64::try_from(name.as_str().len() + value.len() + 4).unwrap_or(u64::MAX)
}
