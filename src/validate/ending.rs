//! Whose body tells a clean end from one that was cut short.

use std::any::TypeId;

use http::Version;

/// Whether `is_end_stream` is to be believed once such a body has ended.
///
/// HTTP/2 completes a response by END_STREAM and nothing else
/// ([RFC 9113, section 8.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.1)), but hyper's client ends a body cleanly when the
/// stream is reset with NO_ERROR half-way, too; only `is_end_stream` stays `false` then. Most wrappers do not pass that on:
/// theirs is `false` after a genuine end as well, so that a wrapped body counts only if the user says so. h2 itself tells the truth
/// from 0.4.16 on: before, a reset after END_STREAM hid it.
pub(super) fn detects_early_end<B: 'static>(version: Version, trusted: bool) -> bool {
    version == Version::HTTP_2 && (trusted || is_incoming::<B>())
}

fn is_incoming<B: 'static>() -> bool {
    let body = TypeId::of::<B>();
    #[cfg(feature = "hyper-util")]
    let incoming = TypeId::of::<hyper::body::Incoming>();
    #[cfg(not(feature = "hyper-util"))]
    let incoming = TypeId::of::<std::convert::Infallible>(); // no body at all
    body == incoming
}
