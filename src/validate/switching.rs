//! 101 Switching Protocols.

use http::{HeaderMap, StatusCode, header::UPGRADE};

use crate::{
    context::RequestContext,
    failure::{Failure, FailureKind},
};

/// A 101 says to which protocol, and only when the client had asked to leave
/// ([RFC 9110, section 7.8](https://www.rfc-editor.org/rfc/rfc9110#section-7.8)).
pub(super) fn rule(context: &RequestContext, headers: &HeaderMap, status: StatusCode) -> Result<(), Failure> {
    if status == StatusCode::SWITCHING_PROTOCOLS && !(context.traits.upgrade && headers.contains_key(UPGRADE)) {
        return Err(Failure::new(FailureKind::HttpUpgradeFailed));
    }
    Ok(())
}
