//! Whether the head of a response may be forwarded, and which of its fields.
//!
//! [`BadGatewayLayer::new`](crate::BadGatewayLayer::new) refuses a response that breaks a rule of HTTP: the client is answered 502,
//! and the body is dropped. It removes fields that may not be forwarded. Rules of your own are [validators](Validate), which run
//! afterwards, on the fields that are left. Where nothing is wrong with a response, and its client is to see another all the same, there is
//! [`Intercept`]. [`for_router`](crate::BadGatewayLayer::for_router) has none of the rules below but the
//! [`SizeLimits`] and validators that are set.
//!
//! | refused | failure | standard |
//! | --- | --- | --- |
//! | a section or field above its [limit](SizeLimits), if one is set | `http_response_header_size` and relatives | [RFC 9110, 5.4] |
//! | a status above 599 that is not [allowed], a 1xx other than 101 | `http_protocol_error` | [RFC 9110, 15] |
//! | a connection-specific field over HTTP/2 or HTTP/3 | `http_protocol_error` | [RFC 9113, 8.2.2] |
//! | a 101 to a protocol that was not requested | `http_upgrade_failed` | [RFC 9110, 7.8] |
//! | a `Content-Length` that is not one number | `http_protocol_error` | [RFC 9110, 8.6] |
//! | a transfer coding other than a single `chunked` (1) | `http_response_transfer_coding` | [RFC 9112, 6.1] |
//! | a `Content-Length` beside `Transfer-Encoding` (1) | `http_protocol_error` | [RFC 9112, 6.3] |
//!
//! (1) Where these fields frame the message, which they do not after HEAD and in 204, 304, 101 and a 2xx to CONNECT.
//!
//! [allowed]: crate::BadGatewayLayer::allow_status
//! [RFC 9110, 5.4]: https://www.rfc-editor.org/rfc/rfc9110#section-5.4
//! [RFC 9110, 7.8]: https://www.rfc-editor.org/rfc/rfc9110#section-7.8
//! [RFC 9110, 8.6]: https://www.rfc-editor.org/rfc/rfc9110#section-8.6
//! [RFC 9110, 15]: https://www.rfc-editor.org/rfc/rfc9110#section-15
//! [RFC 9112, 6.1]: https://www.rfc-editor.org/rfc/rfc9112#section-6.1
//! [RFC 9112, 6.3]: https://www.rfc-editor.org/rfc/rfc9112#section-6.3
//! [RFC 9113, 8.2.2]: https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2
//!
//! Removed are connection-specific fields and those that `Connection` names, a `Content-Length` in a 204, a 205 (unless it is 0), a
//! 101 and a 2xx to CONNECT, the reason phrase, and fields that may not be trailers. The version becomes that of the request,
//! HTTP/1.1 at least. Everything else is forwarded, strange or not: a 206 without `Content-Range`, an invalid date, two media types.
//!
//! ```
//! use http::{StatusCode, header::CONTENT_RANGE};
//! use tower_bad_gateway::{BadGatewayLayer, FailureKind, context::RequestContext, validate::ResponseHead};
//!
//! // A client cannot place a part of unknown position (RFC 9110, section 15.3.7).
//! let layer = BadGatewayLayer::new().validate(|head: &ResponseHead<'_>, _: &RequestContext| {
//!     let bare = head.status() == StatusCode::PARTIAL_CONTENT && !head.headers().contains_key(CONTENT_RANGE);
//!     if bare { Err(FailureKind::HttpProtocolError) } else { Ok(()) }
//! });
//! ```

mod accepted;
mod ending;
mod hop_by_hop;
mod intercept;
mod length;
mod size;
mod status;
mod switching;
mod trailers;
mod transfer_coding;
mod users;

use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TE, TRANSFER_ENCODING, UPGRADE},
};
use http_body::Body;

use self::length::Length;
pub(crate) use self::{
    accepted::{Accepted, Content, GrpcStatus, Trailers},
    hop_by_hop::NotForTrailers,
};
pub use self::{
    intercept::Intercept,
    size::SizeLimits,
    users::{ResponseHead, Validate},
};
use crate::{
    body_kind::{BodyKind, may_pause},
    context::{Protocol, RequestContext},
    failure::{Failure, Phase},
    fields::PROXY_STATUS,
};

/// The rules of a layer for the responses of its wrapped service, part of its `Policy`.
///
/// `policy` calls [`judge`](Self::judge) for each head, `body` [`judge_trailers`](Self::judge_trailers) for each trailer section, and
/// both call [`strip_proxy_status`](Self::strip_proxy_status) on heads that go out. The default is that of a router: nothing is checked or
/// removed.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    /// Whether the rules of this crate apply: `true` in `new`, `false` in `for_router`. Users set the other fields.
    pub(crate) applies_http_rules: bool,
    /// Codes above 599 that are forwarded.
    pub(crate) statuses: Vec<StatusCode>,
    pub(crate) sizes: SizeLimits,
    /// Whether `is_end_stream` of every body type is believed, not of hyper's alone; for HTTP/2.
    pub(crate) trusts_end_of_stream: bool,
    pub(crate) strips_proxy_status: bool,
    /// In the order in which they run.
    pub(crate) validators: Vec<Arc<dyn Validate>>,
}

impl Rules {
    /// Checks the head of a response and removes the fields that may not be forwarded.
    ///
    /// The order: size limits, the rules of this crate, validators. `Proxy-Status` stays, for
    /// [`strip_proxy_status`](Self::strip_proxy_status).
    ///
    /// # Errors
    ///
    /// The failure to answer instead, with the upstream's status and, unless it has a phase, [`Phase::ResponseHead`]. The head
    /// may have been changed by then.
    #[inline(always)] // called in one place, for every response
    pub(crate) fn judge<B: Body + 'static>(
        &self,
        context: &RequestContext,
        response: &mut Response<B>,
    ) -> Result<Accepted, Failure> {
        let (status, version) = (response.status(), response.version());
        self.apply(context, response, ending::detects_early_end::<B>(version, self.trusts_end_of_stream)).map_err(
            |failure| {
                let failure =
                    if failure.phase() == Phase::Unknown { failure.with_phase(Phase::ResponseHead) } else { failure };
                failure.with_upstream_status(status)
            },
        )
    }

    /// Applies the rules one after another; [`judge`](Self::judge) completes their failures.
    #[inline(always)] // called in one place, for every response
    fn apply<B: Body>(
        &self,
        context: &RequestContext,
        response: &mut Response<B>,
        detects_early_end: bool,
    ) -> Result<Accepted, Failure> {
        let (status, version) = (response.status(), response.version());
        if !self.sizes.are_off() {
            self.sizes.head(response.headers())?;
        }
        let accepted = if self.applies_http_rules {
            status::rule(status, &self.statuses)?;
            let accepted =
                self.apply_framing_rules(context, status, version, response.headers_mut(), detects_early_end)?;
            *response.version_mut() = own_version(context);
            status::remove_reason_phrase(response.extensions_mut());
            accepted
        } else {
            self.accept_without_rules(context, response, detects_early_end)
        };
        if !self.validators.is_empty() && !context.skips_validators() {
            let head = ResponseHead::of(response, version, &accepted, context);
            users::run(&self.validators, &head, context)?;
        }
        Ok(accepted)
    }

    /// Removes `Proxy-Status`, if the user has asked for that, from a head or trailer section that is forwarded.
    ///
    /// A head is stripped only when it goes out: of one that is refused, even after its body has failed, the field says
    /// which hop has failed. The field can show how a network is built
    /// ([RFC 9209, section 4](https://www.rfc-editor.org/rfc/rfc9209#section-4)).
    #[inline]
    pub(crate) fn strip_proxy_status(&self, fields: &mut HeaderMap) {
        if self.strips_proxy_status {
            remove_proxy_status(fields);
        }
    }

    /// Accepts the response of a router: no length is enforced, and `is_end_stream` counts only if the user has said so.
    ///
    /// Stream and content are still found out, so that hooks learn when a body is complete.
    fn accept_without_rules<B: Body>(
        &self,
        context: &RequestContext,
        response: &Response<B>,
        detects_early_end: bool,
    ) -> Accepted {
        if leaves_http(context, response.status()) {
            return Accepted::unwatched(BodyKind::Tunnel);
        }
        let body_knows_length = response.body().size_hint().exact().is_some();
        let content = if !is_framed(context, response.status()) {
            Content::Absent
        } else if body_knows_length {
            Content::NotStated
        } else {
            let mut length = Length::default();
            response.headers().get_all(CONTENT_LENGTH).iter().for_each(|line| length.add(line));
            length.rule().ok().flatten().map_or(Content::NotStated, Content::Exactly)
        };
        let detects_early_end = detects_early_end && self.trusts_end_of_stream;
        Accepted { content, detects_early_end, ..Accepted::unwatched(BodyKind::Ordinary) }
    }

    /// Applies the rules of this crate to a head whose status was accepted, and removes what they do not allow.
    fn apply_framing_rules(
        &self,
        context: &RequestContext,
        status: StatusCode,
        version: Version,
        headers: &mut HeaderMap,
        detects_early_end: bool,
    ) -> Result<Accepted, Failure> {
        let scan = HeadScan::of(headers);
        if scan.connection_specific {
            hop_by_hop::rule(version)?;
        }
        if leaves_http(context, status) {
            switching::rule(context, headers, status)?;
            switching::tidy(headers, status, &scan);
            return Ok(Accepted::unwatched(BodyKind::Tunnel));
        }
        let length = scan.length.rule()?;
        if scan.transfer_encoding && is_framed(context, status) {
            transfer_coding::rule(headers, length.is_some())?;
        }
        let not_for_trailers =
            if scan.hop_by_hop { switching::strip(context, headers, status, &scan) } else { NotForTrailers::default() };
        let has_content = is_framed(context, status) && status != StatusCode::RESET_CONTENT;
        if let Some(length) = length {
            if may_have_length(status, length) && !scan.transfer_encoding {
                if !scan.length.is_canonical() {
                    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
                }
            } else {
                headers.remove(CONTENT_LENGTH);
            }
        }
        let may_pause = scan.may_pause || context.protocol() == Protocol::Grpc;
        Ok(Accepted {
            body_kind: if may_pause { BodyKind::MayPause } else { BodyKind::Ordinary },
            content: match length {
                _ if !has_content => Content::Absent,
                Some(length) => Content::Exactly(length),
                None => Content::NotStated,
            },
            enforces_length: true,
            detects_early_end,
            trailers: Some(not_for_trailers),
            is_answered: false,
            grpc_status: GrpcStatus::NotDue,
        })
    }

    /// Checks the size of a trailer section and, if `tidies`, removes the fields that may not be trailers; `named` are those
    /// that `Connection` has named. Afterwards the section may be empty.
    ///
    /// # Errors
    ///
    /// A section or field above its limit.
    pub(crate) fn judge_trailers(
        &self,
        fields: &mut HeaderMap,
        tidies: bool,
        named: Option<&NotForTrailers>,
    ) -> Result<(), Failure> {
        if !self.sizes.are_off() {
            self.sizes.trailers(fields)?;
        }
        if tidies {
            trailers::tidy(fields, named);
        }
        self.strip_proxy_status(fields);
        Ok(())
    }
}

/// Removes `Proxy-Status`; out of line, since few layers strip it.
#[cold]
fn remove_proxy_status(fields: &mut HeaderMap) {
    fields.remove(PROXY_STATUS);
}

/// Whether the connection is a tunnel, or speaks another protocol, after this response.
fn leaves_http(context: &RequestContext, status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || (context.method() == Method::CONNECT && status.is_success())
}

/// Whether the fields decide where the message ends; if not, it ends with its head
/// ([RFC 9112, section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)).
fn is_framed(context: &RequestContext, status: StatusCode) -> bool {
    context.method() != Method::HEAD && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// Whether a `Content-Length` of this value may be forwarded: not in a 204
/// ([RFC 9110, section 8.6](https://www.rfc-editor.org/rfc/rfc9110#section-8.6)), and only 0 in a 205
/// ([section 15.3.6](https://www.rfc-editor.org/rfc/rfc9110#section-15.3.6)).
fn may_have_length(status: StatusCode, length: u64) -> bool {
    status != StatusCode::NO_CONTENT && (status != StatusCode::RESET_CONTENT || length == 0)
}

/// The version of a forwarded response: an intermediary sends its own, not that of the upstream
/// ([RFC 9112, section 2.3](https://www.rfc-editor.org/rfc/rfc9112#section-2.3)).
fn own_version(context: &RequestContext) -> Version {
    // Without `max` a response to HTTP/1.0 would have that version. The server decides how it speaks to such a client.
    context.version().max(Version::HTTP_11)
}

/// What one pass over the header section finds. One pass replaces several lookups by name, which cost three times as much.
#[derive(Default)]
struct HeadScan {
    /// The number of `Connection` lines.
    connection_lines: usize,
    /// Whether there is a field that `hop_by_hop::strip` removes: a connection-specific one or `TE`.
    hop_by_hop: bool,
    /// Whether there is a field that HTTP/2 forbids in a response. `TE` is not counted, so that it is removed, not refused.
    connection_specific: bool,
    transfer_encoding: bool,
    length: Length,
    /// Whether `Content-Type` names a body in which silence is lawful.
    may_pause: bool,
}

impl HeadScan {
    /// Walks over all field lines once.
    fn of(headers: &HeaderMap) -> Self {
        let mut scan = Self::default();
        for (name, value) in headers {
            // Names of the `http` crate's own list compare as numbers. For the rest a look at the length avoids comparing text.
            if *name == CONTENT_TYPE {
                scan.may_pause |= may_pause(value.as_bytes());
            } else if *name == CONTENT_LENGTH {
                scan.length.add(value);
            } else if matches!(name.as_str().len(), 2 | 7 | 10 | 16 | 17) {
                // The lengths of te, upgrade, connection and keep-alive, proxy-connection, transfer-encoding.
                scan.note(name);
            }
        }
        scan
    }

    /// Notes a field whose name is as long as that of a connection-specific one.
    #[inline(never)]
    fn note(&mut self, name: &HeaderName) {
        if *name == CONNECTION {
            self.connection_lines += 1;
        }
        let specific = [CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name)
            || ["keep-alive", "proxy-connection"].contains(&name.as_str());
        self.connection_specific |= specific;
        self.hop_by_hop |= specific || *name == TE;
        self.transfer_encoding |= *name == TRANSFER_ENCODING;
    }
}
