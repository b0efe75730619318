//! Responses after which the connection is no longer HTTP: 101 Switching Protocols, and 2xx to CONNECT; and 426, which asks for that.
//!
//! The parent module calls [`rule`] and then [`tidy`], for the first two alone, after `hop_by_hop::rule`. The rules of length and
//! coding are not applied to them: neither response has content. What becomes of the connection afterwards (no
//! time limits above all) is decided by the readers of `BodyKind::Tunnel`, not here.
//!
//! | response | checked | left of the connection-specific fields |
//! | --- | --- | --- |
//! | 101 | every protocol in `Upgrade` was requested, and there is at least one | `Connection: upgrade` and the `Upgrade` lines |
//! | 2xx to CONNECT | nothing | none |
//! | 426 | nothing | those of a 101, for a client that can switch |

use http::{
    HeaderMap, HeaderValue, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, UPGRADE},
};

use super::{
    HeadScan,
    hop_by_hop::{self, NotForTrailers},
};
use crate::{
    context::RequestContext,
    failure::{Failure, FailureKind},
    fields::{elements, list},
};

/// Refuses a 101 that does not name its protocol, or names one that the request did not offer
/// ([RFC 9110, section 7.8](https://www.rfc-editor.org/rfc/rfc9110#section-7.8)).
///
/// The request is taken as the layer received it: an `Upgrade` field that was removed inside of the layer counts as sent.
///
/// # Errors
///
/// [`FailureKind::HttpUpgradeFailed`], with the reason that fits: no upgrade was requested, `Upgrade` is missing, or its protocol
/// was not requested.
pub(super) fn rule(context: &RequestContext, headers: &HeaderMap, status: StatusCode) -> Result<(), Failure> {
    if status != StatusCode::SWITCHING_PROTOCOLS || is_requested(context.upgrade(), headers) {
        return Ok(());
    }
    Err(Failure::new(FailureKind::HttpUpgradeFailed).with_reason(
        match (context.upgrade(), headers.contains_key(UPGRADE)) {
            (None, _) => "101 to a request that asked for no upgrade",
            (Some(_), false) => "101 without Upgrade",
            (Some(_), true) => "101 to a protocol that the request did not ask for",
        },
    ))
}

/// Whether `Upgrade` names at least one protocol, and only protocols of the request.
///
/// Protocol names are compared without regard to case, with their version: `foo/1` is not `foo/2`.
fn is_requested(requested: Option<&HeaderValue>, headers: &HeaderMap) -> bool {
    let Some(requested) = requested else { return false };
    let mut chosen = list(headers, UPGRADE).filter(|protocol| !protocol.is_empty()).peekable();
    chosen.peek().is_some()
        && chosen.all(|protocol| elements(requested).any(|offered| offered.eq_ignore_ascii_case(protocol)))
}

/// Removes `Content-Length` and the connection-specific fields, except for those that a 101 consists of.
///
/// Neither response may have a `Content-Length`
/// ([sections 8.6](https://www.rfc-editor.org/rfc/rfc9110#section-8.6) and
/// [9.3.6](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6)). A 101 has to carry `Upgrade`, and `Connection` has to name that
/// field, so both are written again after all connection-specific fields were removed.
pub(super) fn tidy(headers: &mut HeaderMap, status: StatusCode, scan: &HeadScan) {
    headers.remove(CONTENT_LENGTH);
    if status != StatusCode::SWITCHING_PROTOCOLS {
        if scan.hop_by_hop {
            hop_by_hop::strip(headers, scan.connection_lines);
        }
        return;
    }
    strip_all_but_upgrade(headers, scan);
}

/// Removes the connection-specific fields of any other response. A 426 is nothing without its `Upgrade`
/// ([RFC 9110, section 15.5.22](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.22)), which only HTTP/1.1 has.
pub(super) fn strip(
    context: &RequestContext,
    headers: &mut HeaderMap,
    status: StatusCode,
    scan: &HeadScan,
) -> NotForTrailers {
    if status == StatusCode::UPGRADE_REQUIRED && context.version() == Version::HTTP_11 && headers.contains_key(UPGRADE)
    {
        strip_all_but_upgrade(headers, scan)
    } else {
        hop_by_hop::strip(headers, scan.connection_lines)
    }
}

/// Removes the connection-specific fields but for `Upgrade`, which `Connection` has to name.
fn strip_all_but_upgrade(headers: &mut HeaderMap, scan: &HeadScan) -> NotForTrailers {
    let protocols: Vec<_> = headers.get_all(UPGRADE).iter().cloned().collect();
    let named = hop_by_hop::strip(headers, scan.connection_lines);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    for protocol in protocols {
        headers.append(UPGRADE, protocol);
    }
    named
}
