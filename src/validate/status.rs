//! The status code.

use http::StatusCode;

use crate::failure::{Failure, FailureKind};

/// A code outside 100 to 599 has no class, so no client could say what it means
/// ([RFC 9110, section 15](https://www.rfc-editor.org/rfc/rfc9110#section-15)); client libraries let it pass.
pub(super) fn rule(status: StatusCode) -> Result<(), Failure> {
    if status.as_u16() > 599 {
        return Err(Failure::new(FailureKind::HttpProtocolError));
    }
    Ok(())
}
