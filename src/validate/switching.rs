//! Responses after which the connection is no longer HTTP: 101 Switching Protocols, and 2xx to CONNECT.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, UPGRADE},
};

use super::{HeadScan, hop_by_hop};
use crate::{
    context::RequestContext,
    failure::{Failure, FailureKind},
    fields::{elements, list},
};

/// A 101 says to which protocol, and only to one that the client had asked for
/// ([RFC 9110, section 7.8](https://www.rfc-editor.org/rfc/rfc9110#section-7.8)).
pub(super) fn rule(context: &RequestContext, headers: &HeaderMap, status: StatusCode) -> Result<(), Failure> {
    if status != StatusCode::SWITCHING_PROTOCOLS || chooses_among(context.upgrade(), headers) {
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

fn chooses_among(asked: Option<&HeaderValue>, headers: &HeaderMap) -> bool {
    let Some(asked) = asked else { return false };
    let mut chosen = list(headers, UPGRADE).filter(|protocol| !protocol.is_empty()).peekable();
    chosen.peek().is_some() && chosen.all(|protocol| elements(asked).any(|other| other.eq_ignore_ascii_case(protocol)))
}

/// Neither has content, so neither has a length
/// ([sections 8.6](https://www.rfc-editor.org/rfc/rfc9110#section-8.6) and
/// [9.3.6](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6)); of what is for one connection, a 101 keeps what makes it one.
pub(super) fn tidy(headers: &mut HeaderMap, status: StatusCode, seen: &HeadScan) {
    headers.remove(CONTENT_LENGTH);
    if status != StatusCode::SWITCHING_PROTOCOLS {
        if seen.hop_by_hop {
            hop_by_hop::strip(headers, seen.connection_lines);
        }
        return;
    }
    let protocols: Vec<_> = headers.get_all(UPGRADE).iter().cloned().collect();
    hop_by_hop::strip(headers, seen.connection_lines);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    for protocol in protocols {
        headers.append(UPGRADE, protocol);
    }
}
