//! Limits for header and trailer sections.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::failure::{Failure, FailureKind, Parameter};

/// How large a header or trailer section may be, in bytes. By default there is no limit but the client's own.
///
/// A field counts as it is written in HTTP/1.1: its name, its value, and four bytes for the colon, the space and the end of the
/// line. What is larger is refused as `http_response_header_section_size`, `http_response_header_size` or the like for
/// trailers; trailers come last, so that all a gateway can do is to abort the message.
///
/// See [`BadGatewayLayer::limit_fields`](crate::BadGatewayLayer::limit_fields) for an example.
#[derive(Clone, Copy, Debug, Default)]
pub struct SizeLimits {
    section: Option<u64>,
    field: Option<u64>,
}

impl SizeLimits {
    /// No limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits all the fields of a section together, in bytes.
    #[must_use]
    pub fn section(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.section = bytes.into();
        self
    }

    /// Limits each field line, in bytes.
    #[must_use]
    pub fn field(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.field = bytes.into();
        self
    }

    pub(super) fn are_off(self) -> bool {
        self.section.is_none() && self.field.is_none()
    }

    pub(super) fn head(self, fields: &HeaderMap) -> Result<(), Failure> {
        self.check(fields).map_err(|excess| match excess {
            Excess::Field(name, size) => Failure::new(FailureKind::HttpResponseHeaderSize)
                .with_reason(self.field_reason(&name, size))
                .with_parameter(Parameter::HeaderName(name))
                .with_parameter(Parameter::HeaderSize(size)),
            Excess::Section(size) => Failure::new(FailureKind::HttpResponseHeaderSectionSize)
                .with_reason(self.section_reason(size))
                .with_parameter(Parameter::HeaderSectionSize(size)),
        })
    }

    pub(super) fn trailers(self, fields: &HeaderMap) -> Result<(), Failure> {
        self.check(fields).map_err(|excess| match excess {
            Excess::Field(name, size) => Failure::new(FailureKind::HttpResponseTrailerSize)
                .with_reason(self.field_reason(&name, size))
                .with_parameter(Parameter::TrailerName(name))
                .with_parameter(Parameter::TrailerSize(size)),
            Excess::Section(size) => Failure::new(FailureKind::HttpResponseTrailerSectionSize)
                .with_reason(self.section_reason(size))
                .with_parameter(Parameter::TrailerSectionSize(size)),
        })
    }

    fn field_reason(self, name: &HeaderName, size: u64) -> String {
        format!("{name} has {size} bytes, of {} (limit_fields)", self.field.unwrap_or_default())
    }

    fn section_reason(self, size: u64) -> String {
        format!("the section has {size} bytes, of {} (limit_fields)", self.section.unwrap_or_default())
    }

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

enum Excess {
    Field(HeaderName, u64),
    Section(u64),
}

fn size(name: &HeaderName, value: &HeaderValue) -> u64 {
    u64::try_from(name.as_str().len() + value.len() + 4).unwrap_or(u64::MAX)
}
