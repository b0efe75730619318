//! Is this head a response that may be passed on?
//!
//! The layer refuses what is invalid (502) and tidies what is untidy, one rule of a standard after another. What is invalid
//! beyond that is for you to say: a validator runs after ours, on what they have left.
//!
//! ```
//! use http::{StatusCode, header::CONTENT_RANGE};
//! use tower_bad_gateway::{BadGatewayLayer, FailureKind, context::RequestContext, validate::ResponseHead};
//!
//! // A part that does not say which (RFC 9110, section 15.3.7).
//! let layer = BadGatewayLayer::new().validate(|head: &ResponseHead<'_>, _: &RequestContext| {
//!     let bare = head.status() == StatusCode::PARTIAL_CONTENT && !head.headers().contains_key(CONTENT_RANGE);
//!     if bare { Err(FailureKind::HttpProtocolError) } else { Ok(()) }
//! });
//! ```

mod ending;
mod hop_by_hop;
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

pub(crate) use self::hop_by_hop::NotForTrailers;
use self::length::Length;
pub use self::{
    size::SizeLimits,
    users::{ResponseHead, Validate},
};
use crate::{
    context::{Protocol, RequestContext},
    failure::{Failure, Phase},
    fields::PROXY_STATUS,
    stream::{Stream, is_endless},
};

/// What is asked of a response.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    /// Ours; the rest is what users have set.
    pub(crate) framing: bool,
    pub(crate) statuses: Vec<StatusCode>,
    pub(crate) sizes: SizeLimits,
    pub(crate) trusts_end_of_stream: bool,
    pub(crate) strips_proxy_status: bool,
    pub(crate) validators: Vec<Arc<dyn Validate>>,
}

/// What the rest of the layer needs to know of a head that was found good.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    pub(crate) content: Content,
    /// Whether that is held against the body.
    pub(crate) counts: bool,
    /// Whether a body that ends without saying so was cut short.
    pub(crate) detects_early_end: bool,
    /// What may not be in its trailer section, if that is tidied at all.
    pub(crate) trailers: Option<NotForTrailers>,
    /// A layer further in has answered, and told of it.
    pub(crate) is_answered: bool,
}

/// What is known of the content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// There is none, whatever the body says (RFC 9110, section 6.4.1).
    Absent,
    /// So many bytes.
    Exactly(u64),
    /// As many as the body says, if it does.
    Unsaid,
}

impl Accepted {
    /// A response whose body is none of our business.
    pub(crate) fn unwatched(stream: Stream) -> Self {
        Self {
            stream,
            content: Content::Absent,
            counts: false,
            detects_early_end: false,
            trailers: None,
            is_answered: false,
        }
    }

    /// An answer of a layer further in.
    pub(crate) fn answered_further_in() -> Self {
        Self { is_answered: true, ..Self::unwatched(Stream::Endless) }
    }
}

impl Rules {
    /// Judges a head, and tidies it.
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
        let accepted = if self.framing {
            status::rule(status, &self.statuses)?;
            let accepted = self.framing(context, status, version, response.headers_mut(), detects_early_end)?;
            *response.version_mut() = own_version(context);
            status::forget_reason(response.extensions_mut());
            accepted
        } else {
            self.unframed(context, response, detects_early_end)
        };
        if !self.validators.is_empty() {
            users::run(&self.validators, &ResponseHead::of(response, version), context)?;
        }
        Ok(accepted)
    }

    /// Of a head that goes out, not before: one that is refused yet is asked who has failed. Nobody shall learn the inside of a
    /// network (RFC 9209, section 4).
    #[inline]
    pub(crate) fn strip(&self, fields: &mut HeaderMap) {
        if self.strips_proxy_status {
            strip(fields);
        }
    }

    /// Nothing is held against it, but for what the user asks for; that it has come to its end is known all the same.
    fn unframed<B: Body>(&self, context: &RequestContext, response: &Response<B>, detects_early_end: bool) -> Accepted {
        if leaves_http(context, response.status()) {
            return Accepted::unwatched(Stream::Tunnel);
        }
        let known = response.body().size_hint().exact().is_some();
        let content = if !is_framed(context, response.status()) {
            Content::Absent
        } else if known {
            Content::Unsaid
        } else {
            let mut length = Length::default();
            response.headers().get_all(CONTENT_LENGTH).iter().for_each(|line| length.add(line));
            length.rule().ok().flatten().map_or(Content::Unsaid, Content::Exactly)
        };
        let detects_early_end = detects_early_end && self.trusts_end_of_stream;
        Accepted { content, detects_early_end, ..Accepted::unwatched(Stream::Ordinary) }
    }

    fn framing(
        &self,
        context: &RequestContext,
        status: StatusCode,
        version: Version,
        headers: &mut HeaderMap,
        detects_early_end: bool,
    ) -> Result<Accepted, Failure> {
        let seen = HeadScan::of(headers);
        if seen.connection_specific {
            hop_by_hop::rule(version)?;
        }
        if leaves_http(context, status) {
            switching::rule(context, headers, status)?;
            switching::tidy(headers, status, &seen);
            return Ok(Accepted::unwatched(Stream::Tunnel));
        }
        let length = seen.length.rule()?;
        if seen.transfer_encoding && is_framed(context, status) {
            transfer_coding::rule(headers, length.is_some())?;
        }
        let not_for_trailers =
            if seen.hop_by_hop { hop_by_hop::strip(headers, seen.connection_lines) } else { NotForTrailers::default() };
        let has_content = is_framed(context, status) && status != StatusCode::RESET_CONTENT;
        if let Some(length) = length {
            if may_have_length(status, length) && !seen.transfer_encoding {
                if !seen.length.is_canonical() {
                    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
                }
            } else {
                headers.remove(CONTENT_LENGTH);
            }
        }
        let endless = seen.endless || context.protocol() == Protocol::Grpc;
        Ok(Accepted {
            stream: if endless { Stream::Endless } else { Stream::Ordinary },
            content: match length {
                _ if !has_content => Content::Absent,
                Some(length) => Content::Exactly(length),
                None => Content::Unsaid,
            },
            counts: true,
            detects_early_end,
            trailers: Some(not_for_trailers),
            is_answered: false,
        })
    }

    /// Judges a trailer section, and tidies it if it is ours to tidy. What is left may be nothing.
    pub(crate) fn judge_trailers(
        &self,
        fields: &mut HeaderMap,
        tidies: bool,
        unwanted: Option<&NotForTrailers>,
    ) -> Result<(), Failure> {
        if !self.sizes.are_off() {
            self.sizes.trailers(fields)?;
        }
        if tidies {
            trailers::tidy(fields, unwanted);
        }
        self.strip(fields);
        Ok(())
    }
}

#[cold]
fn strip(fields: &mut HeaderMap) {
    fields.remove(PROXY_STATUS);
}

/// A head that nobody judges still says whether HTTP goes on after it.
fn leaves_http(context: &RequestContext, status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || (context.method() == Method::CONNECT && status.is_success())
}

/// Whether the fields say where the message ends (RFC 9112, section 6.3).
fn is_framed(context: &RequestContext, status: StatusCode) -> bool {
    context.method() != Method::HEAD && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// Not in a 204 (RFC 9110, section 8.6), and in a 205 only to say that there is nothing (section 15.3.6).
fn may_have_length(status: StatusCode, length: u64) -> bool {
    status != StatusCode::NO_CONTENT && (status != StatusCode::RESET_CONTENT || length == 0)
}

/// An intermediary speaks its own version, not that of the other side
/// ([RFC 9112, section 2.3](https://www.rfc-editor.org/rfc/rfc9112#section-2.3)).
fn own_version(context: &RequestContext) -> Version {
    // What HTTP/1.0 needs is the server's to say.
    context.version().max(Version::HTTP_11)
}

/// What one pass over the fields finds: lookups by name cost three times as much.
#[derive(Default)]
struct HeadScan {
    connection_lines: usize,
    hop_by_hop: bool,
    connection_specific: bool,
    transfer_encoding: bool,
    length: Length,
    endless: bool,
}

impl HeadScan {
    fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            // The usual ones, by their number; of the others the length tells most.
            if *name == CONTENT_TYPE {
                seen.endless |= is_endless(value.as_bytes());
            } else if *name == CONTENT_LENGTH {
                seen.length.add(value);
            } else if matches!(name.as_str().len(), 2 | 7 | 10 | 16 | 17) {
                // As long as te, upgrade, connection and keep-alive, proxy-connection, transfer-encoding.
                seen.note(name);
            }
        }
        seen
    }

    /// One that may be for a connection.
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
