//! The status code, and what was said beside it.

use http::{Extensions, StatusCode};

use crate::failure::{Failure, FailureKind};

/// A code above 599 has no class, so no client could say what it means
/// ([RFC 9110, section 15](https://www.rfc-editor.org/rfc/rfc9110#section-15)); client libraries let it pass. A 1xx is no final
/// response ([section 15.2](https://www.rfc-editor.org/rfc/rfc9110#section-15.2)), except for 101, which has a rule of its own.
pub(super) fn rule(status: StatusCode, allowed: &[StatusCode]) -> Result<(), Failure> {
    let code = status.as_u16();
    let unknown = code > 599 && !allowed.contains(&status);
    let interim = code < 200 && status != StatusCode::SWITCHING_PROTOCOLS;
    let broken = |reason: String| Err(Failure::new(FailureKind::HttpProtocolError).with_reason(reason));
    if unknown {
        return broken(format!("status {code} is above 599"));
    }
    if interim {
        return broken(format!("status {code} is interim, and came as the final response"));
    }
    Ok(())
}

/// A reason phrase is for one connection: HTTP/2 has none, and nobody should read it
/// ([RFC 9112, section 4](https://www.rfc-editor.org/rfc/rfc9112#section-4)).
pub(super) fn forget_reason(extensions: &mut Extensions) {
    #[cfg(feature = "hyper-util")]
    extensions.remove::<hyper::ext::ReasonPhrase>();
    #[cfg(not(feature = "hyper-util"))]
    let _ = extensions;
}
