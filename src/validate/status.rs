//! The status code, and the reason phrase beside it.
//!
//! The parent module calls [`rule`] first among its rules of framing, and [`remove_reason_phrase`] once the others have accepted the head.
//! This module accepts every 101; `switching` has the rule for it.

use http::{Extensions, StatusCode};

use crate::failure::{Failure, FailureKind};

/// Refuses a status above 599, unless it is `allowed`, and a 1xx other than 101.
///
/// A code above 599 has no class, so no client could say what it means
/// ([RFC 9110, section 15](https://www.rfc-editor.org/rfc/rfc9110#section-15)); client libraries let it pass. A 1xx is no final
/// response ([section 15.2](https://www.rfc-editor.org/rfc/rfc9110#section-15.2)), and is refused even if it is `allowed`.
///
/// # Errors
///
/// [`FailureKind::HttpProtocolError`], with the code in its private reason.
pub(super) fn rule(status: StatusCode, allowed: &[StatusCode]) -> Result<(), Failure> {
    let code = status.as_u16();
    let unknown = code > 599 && !allowed.contains(&status);
    let interim = code < 200 && status != StatusCode::SWITCHING_PROTOCOLS;
    let protocol_error = |reason: String| Err(Failure::new(FailureKind::HttpProtocolError).with_reason(reason));
    if unknown {
        return protocol_error(format!("status {code} is above 599"));
    }
    if interim {
        return protocol_error(format!("status {code} is interim, and came as the final response"));
    }
    Ok(())
}

/// Removes the reason phrase of the upstream, so that a server over HTTP/1.1 writes the usual one of the status.
///
/// HTTP/2 has no reason phrase, and a client should ignore it
/// ([RFC 9112, section 4](https://www.rfc-editor.org/rfc/rfc9112#section-4)). It is a text of the upstream, which hyper's
/// client keeps in the extensions of the response and hyper's server would send to the client. Without feature `hyper-util` the
/// type of that extension is not known, and nothing is removed.
pub(super) fn remove_reason_phrase(extensions: &mut Extensions) {
    #[cfg(feature = "hyper-util")]
    extensions.remove::<hyper::ext::ReasonPhrase>();
    #[cfg(not(feature = "hyper-util"))]
    let _ = extensions;
}
