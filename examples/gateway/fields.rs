//! How many header fields a request or a response may have, and how large they may be together: the same over HTTP/1 and HTTP/2.
//!
//! The protocols' own limits lie above: hyper reads a head of HTTP/1 up to some 400 KiB, and a block of HTTP/2 up to [`MOST_OF_PEER`]. So what
//! is too large is found here, where it has a name. A block beyond that is refused by hyper as a fault of the protocol, and one far beyond
//! takes its connection along.

use http::HeaderMap;
use tower_bad_gateway::{
    FailureKind,
    context::RequestContext,
    validate::{ResponseHead, SizeLimits},
};

/// How many; hyper takes no more over HTTP/1.
const MOST: usize = 100;
/// How many bytes in all, each field counted as HTTP/2 does: name, value and 32
/// ([RFC 9113, section 6.5.2](https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2)).
const MOST_BYTES: u64 = 64 * 1024;
/// What a peer may send over HTTP/2, which is told so.
pub(crate) const MOST_OF_PEER: u32 = 400 * 1024;

pub(crate) fn are_too_large(fields: &HeaderMap) -> bool {
    let length = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        u64::try_from(name.as_str().len().saturating_add(value.len())).unwrap_or(u64::MAX).saturating_add(32)
    };
    fields.len() > MOST || fields.iter().map(length).fold(0, u64::saturating_add) > MOST_BYTES
}

/// The same for the trailers of responses, which the layer looks at.
pub(crate) fn limits() -> SizeLimits {
    SizeLimits::new().section(MOST_BYTES)
}

/// A response whose fields are too large. The upstream's protocol is in order, so the failure has a name of its own.
pub(crate) fn accept(head: &ResponseHead<'_>, _: &RequestContext) -> Result<(), FailureKind> {
    if are_too_large(head.headers()) { Err(FailureKind::HttpResponseHeaderSectionSize) } else { Ok(()) }
}
