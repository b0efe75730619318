//! Which response bodies can be asked, at their end, whether the upstream has completed them.
//!
//! The parent module asks once for each response, before its rules; the answer goes with the call to `body`, which looks at
//! `is_end_stream` when the body has returned `None`. This module knows the type of the body and the version of the response, and
//! never polls a body.

use std::any::TypeId;

use http::Version;

/// Whether an `is_end_stream` that is `false` at the end of this body means that the body was cut short.
///
/// HTTP/2 completes a response by END_STREAM and nothing else
/// ([RFC 9113, section 8.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.1)), but hyper's client ends a body cleanly when the
/// stream is reset with NO_ERROR half-way, too; only `is_end_stream` stays `false` then. Most wrappers around a body do not
/// forward `is_end_stream`: theirs is `false` after a genuine end as well. So of all types only hyper's own counts, unless the
/// user has set [`trust_end_of_stream`](crate::BadGatewayLayer::trust_end_of_stream) (`trusted`).
///
/// Over HTTP/1 and HTTP/3 the answer is always `false`. Older releases of h2 hide an END_STREAM that a reset follows, so that a
/// complete body would count as cut short; the lowest release that `Cargo.toml` allows does not.
pub(super) fn detects_early_end<B: 'static>(version: Version, trusted: bool) -> bool {
    version == Version::HTTP_2 && (trusted || is_incoming::<B>())
}

/// Whether the body is [`hyper::body::Incoming`](https://docs.rs/hyper/latest/hyper/body/struct.Incoming.html) itself, without a
/// wrapper. Without feature `hyper-util` that type is not known, and no body is.
fn is_incoming<B: 'static>() -> bool {
    let body = TypeId::of::<B>();
    #[cfg(feature = "hyper-util")]
    let incoming = TypeId::of::<hyper::body::Incoming>();
    #[cfg(not(feature = "hyper-util"))]
    let incoming = TypeId::of::<std::convert::Infallible>(); // stands for a type that no body has
    body == incoming
}
