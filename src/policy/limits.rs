//! The time limits of a call, and the failures of limits that ran out.
//!
//! | limit | runs | default |
//! | --- | --- | --- |
//! | ready | from the first `poll_ready` that is pending until the service is ready | 10 s |
//! | head | from the start of the call (below) to the complete head, the 101 or the 2xx to CONNECT | 45 s, with exceptions |
//! | idle | from a pending body to its next frame | 45 s with a known length, 5 min without, with exceptions |
//! | total | from `call` to the end of the body | none |
//! | stream idle | of gRPC alone: from the last frame of either side, in a body from the first poll that is pending after it | none |
//!
//! A call starts with the first wait for readiness, if there was one and readiness has a limit; with `call`, where durations are measured; and otherwise with its first
//! poll that is pending.
//!
//! With a tap the limit of the head counts while it is the upstream's turn. In a [router](crate::BadGatewayLayer::for_router) all are off by default. Where several settings concern a limit, the first of
//! these counts: the request's own [`Timeouts`](crate::context::Timeouts), the layer's setter, the default with its exceptions. After
//! that the deadline of a gRPC client (`grpc-timeout`) counts as the total limit where it is shorter, or the only one; in a router too.
//!
//! The exceptions belong to the defaults alone. A limit that a user has set applies to every request, since the user may know that an
//! event stream has to begin within a second.
//!
//! This file says how long something may take. It does not measure: the clocks are read, and timers kept, by `timer`, `body`, `future`
//! (a held head) and `service` (readiness), which ask here for the durations.

use std::time::Duration;

use http::{HeaderMap, Method, Response};

use crate::{
    body_kind::{BodyKind, comes_in_parts, is_read_while_made},
    classify,
    context::{Protocol, RequestContext},
    failure::{Blame, Failure, FailureKind, Phase, RetrySafety, TimeLimit},
    validate::{Accepted, Content},
};

/// The time limits of a layer, and how long a head is held. A time limit of `None` is no limit; what `None` means for a hold stands at its field.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Set by [`head_timeout`](crate::BadGatewayLayer::head_timeout).
    pub(crate) head: Limit,
    /// Set by [`idle_timeout`](crate::BadGatewayLayer::idle_timeout).
    pub(crate) idle: Limit,
    /// Set by [`total_timeout`](crate::BadGatewayLayer::total_timeout).
    pub(crate) total: Option<Duration>,
    /// How long a gRPC call may be silent in both directions together; `None` for ever.
    pub(crate) stream_idle: Option<Duration>,
    /// Set by [`ready_timeout`](crate::BadGatewayLayer::ready_timeout).
    pub(crate) ready: Option<Duration>,
    /// Whether a body is polled once before its head is forwarded.
    pub(crate) peek: bool,
    /// How long a head waits for the first byte of its body. `None` does not hold the head; but with `hold_body` the head waits all the same,
    /// without a limit of its own.
    pub(crate) hold_head: Option<Duration>,
    /// How much of a body is held with its head; `None` holds nothing of it.
    pub(crate) hold_body: Option<HoldBody>,
}

/// How much of a body is held, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct HoldBody {
    /// The held response goes out as soon as so many bytes have come.
    pub(crate) bytes: usize,
    /// The held response goes out when this time has passed since the first byte.
    pub(crate) time: Duration,
}

/// A limit that has a default with exceptions.
///
/// | state | value | exceptions |
/// | --- | --- | --- |
/// | `Implicit` | the default | those of the limit |
/// | `Set(Some(limit))` | `limit` | none |
/// | `Set(None)` | no limit | none |
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// No user has set the limit.
    Implicit,
    /// A user has set the limit, or has turned it off.
    Set(Option<Duration>),
}

/// Whether a head waits for its body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hold {
    /// The head goes out at once.
    No,
    /// The body is polled once, and the head goes out if that is pending.
    Peek,
    /// The head waits for the first byte of its body, for the time of `hold_head`.
    Head,
    /// The head waits for the first byte of its body, for the time of `hold_head` (without a limit of its own if that is `None`), and after that
    /// for as much of the body as `hold_body` says.
    Body,
}

impl Limit {
    /// The duration that applies: of the request's own [`Timeouts`](crate::context::Timeouts), or else as set, or else by default.
    #[inline]
    fn resolve(
        self,
        of_request: Option<Option<Duration>>,
        implicit: impl FnOnce() -> Option<Duration>,
    ) -> Option<Duration> {
        match (of_request, self) {
            (Some(limit), _) | (None, Self::Set(limit)) => limit,
            (None, Self::Implicit) => implicit(),
        }
    }
}

impl Limits {
    /// The limits of [`BadGatewayLayer::new`](crate::BadGatewayLayer::new).
    pub(super) fn for_upstream() -> Self {
        Self {
            head: Limit::Implicit,
            idle: Limit::Implicit,
            total: None,
            stream_idle: None,
            ready: Some(READY_TIMEOUT),
            peek: true,
            hold_head: None,
            hold_body: None,
        }
    }

    /// The limits of [`BadGatewayLayer::for_router`](crate::BadGatewayLayer::for_router): none, and no peeking.
    pub(super) fn for_router() -> Self {
        Self {
            head: Limit::Set(None),
            idle: Limit::Set(None),
            total: None,
            stream_idle: None,
            ready: None,
            peek: false,
            hold_head: None,
            hold_body: None,
        }
    }

    /// How long the upstream may take to the complete response head, of an upgrade to its 101.
    ///
    /// `has_tap` says whether a [`RequestBodyTap`](crate::RequestBodyTap) watches the upload, so that its end is known.
    pub(crate) fn head_limit(&self, request: &RequestContext, has_tap: bool) -> Option<Duration> {
        let of_request = request.timeouts().and_then(|timeouts| timeouts.head);
        self.head.resolve(of_request, || implicit_head_limit(request, has_tap))
    }

    /// A lower bound of [`head_limit`](Self::head_limit) that is cheap to compute.
    ///
    /// `Accept` is not parsed here. The timer is set by this value at the first wait, and `head_limit` is asked when it runs out: most
    /// calls are answered before.
    #[inline]
    pub(crate) fn least_head_limit(&self, request: &RequestContext, has_tap: bool) -> Option<Duration> {
        let of_request = request.timeouts().and_then(|timeouts| timeouts.head);
        self.head.resolve(of_request, || match request.protocol() {
            Protocol::Grpc => None,
            Protocol::Http | Protocol::GrpcWeb if request.flags.long_upload => implicit_head_limit(request, has_tap),
            Protocol::Http | Protocol::GrpcWeb => Some(HEAD_TIMEOUT),
        })
    }

    /// How long both directions of a gRPC call together may be silent; `None` for a call of plain HTTP, and for one that brings an idle
    /// limit of its own.
    #[inline]
    pub(crate) fn stream_idle_limit(&self, request: &RequestContext) -> Option<Duration> {
        let limit = self.stream_idle?;
        let has_own = request.timeouts().is_some_and(|timeouts| timeouts.idle.is_some());
        (request.protocol() == Protocol::Grpc && !has_own).then_some(limit)
    }

    /// The failure of a call whose time for the head was used up by the wait for readiness; `None` if there is time left.
    ///
    /// The wrapped service is not called then, so the failure is a 503 that is safe to send again. `waited` is how long readiness has
    /// taken: zero if the service was ready at once, or if there is no limit for readiness.
    #[inline]
    pub(crate) fn readiness_took_all(
        &self,
        request: &RequestContext,
        has_tap: bool,
        waited: Duration,
    ) -> Option<Failure> {
        if waited == Duration::ZERO {
            return None;
        }
        let limit = self.head_limit(request, has_tap);
        limit.filter(|limit| *limit <= waited).map(|limit| Self::not_ready(TimeLimit::Head, limit, waited))
    }

    /// How long the wrapped service may take to become ready: never longer than a head limit that was set on the layer.
    ///
    /// No request is known at that time (`poll_ready` has none), so the request's own limits cannot be considered.
    pub(crate) fn ready_limit(&self) -> Option<Duration> {
        let ready = self.ready?;
        match self.head {
            Limit::Set(Some(head)) => Some(ready.min(head)),
            Limit::Set(None) | Limit::Implicit => Some(ready),
        }
    }

    /// The failure of a call whose service was not ready in time, and how long it was waited for.
    #[cold]
    pub(crate) fn ready_late(&self, waited: Duration) -> Failure {
        let limit = self.ready_limit().unwrap_or(waited);
        let name = if self.ready.is_some_and(|ready| limit < ready) { TimeLimit::Head } else { TimeLimit::Ready };
        Self::not_ready(name, limit, waited)
    }

    /// The failure of a service that was not ready in time, by the setting that ended the wait.
    fn not_ready(name: TimeLimit, limit: Duration, waited: Duration) -> Failure {
        Self::late(TimeLimit::Ready, limit)
            .with_limit(name)
            .with_elapsed(waited)
            .with_reason(format!("not ready within {}", describe_limit(name, limit)))
    }

    /// How long head and body may take together, and by whose limit: the layer's or the request's (`Total`), or the deadline of the
    /// client (`Client`) if that is shorter.
    #[inline]
    pub(crate) fn total_limit(&self, request: &RequestContext) -> Option<(Duration, TimeLimit)> {
        let total = request.timeouts().and_then(|timeouts| timeouts.total).unwrap_or(self.total);
        match (total, request.client_deadline()) {
            (None, None) => None,
            (Some(total), Some(client)) if client < total => Some((client, TimeLimit::Client)),
            (Some(total), _) => Some((total, TimeLimit::Total)),
            (None, Some(client)) => Some((client, TimeLimit::Client)),
        }
    }

    /// The [`total_limit`](Self::total_limit) of a call that is past its deadline: there is one, since the deadline was computed from it.
    pub(crate) fn total_limit_over(&self, request: &RequestContext) -> (Duration, TimeLimit) {
        self.total_limit(request).unwrap_or((Duration::ZERO, TimeLimit::Total))
    }

    /// How long a body may be silent while the server waits for it.
    ///
    /// A tunnel (101, or 2xx to CONNECT) has no limit, also where one was set: what is in it is not HTTP. By default there is none for
    /// streams in which silence is lawful either. `has_length` says whether a field or the body itself gives the length.
    pub(crate) fn idle_limit(&self, request: &RequestContext, kind: BodyKind, has_length: bool) -> Option<Duration> {
        if kind == BodyKind::Tunnel {
            return None;
        }
        let of_request = request.timeouts().and_then(|timeouts| timeouts.idle);
        self.idle.resolve(of_request, || match kind {
            BodyKind::MayPause | BodyKind::Tunnel => None,
            BodyKind::Ordinary if has_length => Some(IDLE_TIMEOUT),
            BodyKind::Ordinary => Some(IDLE_TIMEOUT_UNKNOWN_LENGTH),
        })
    }

    /// How long a head is held until its body has begun, and how much of the body with it.
    ///
    /// | value | what happens |
    /// | --- | --- |
    /// | `No` | the head is forwarded and the body not touched |
    /// | `Peek` | the body is polled once before the head is forwarded, and not waited for |
    /// | `Head` | the head is held until the first byte, trailers, the end or a failure, or until its time is over |
    /// | `Body` | the same, and after the first byte until the end, until enough has come, or until the time of the body is over |
    ///
    /// gRPC and responses without content, tunnels among them, are never held: a stream of gRPC may begin hours after its head. Event
    /// streams and their like are at most peeked at, and of what [is read while it is made](is_read_while_made) the head alone is held.
    #[inline]
    pub(crate) fn hold<B>(&self, request: &RequestContext, accepted: &Accepted, response: &Response<B>) -> Hold {
        if accepted.content == Content::Absent || request.protocol() == Protocol::Grpc {
            return Hold::No;
        }
        let hold = if self.hold_head.is_none() && self.hold_body.is_none() {
            Hold::No
        } else {
            self.hold_as_set(accepted, response.headers())
        };
        if hold == Hold::No && self.peek { Hold::Peek } else { hold }
    }

    /// Whether a response with content is held, in a layer that holds heads or bodies.
    #[cold]
    fn hold_as_set(&self, accepted: &Accepted, headers: &HeaderMap) -> Hold {
        // The head of a router's response was accepted without rules, and `accepted` calls every body ordinary. Without a look
        // at the media type the head of an event stream would be held.
        let may_pause = accepted.body_kind != BodyKind::Ordinary || BodyKind::of(headers) != BodyKind::Ordinary;
        if may_pause && !comes_in_parts(headers) {
            return Hold::No;
        }
        if self.hold_body.is_some() && !is_read_while_made(headers) {
            return Hold::Body;
        }
        if self.hold_head.is_some() { Hold::Head } else { Hold::No }
    }

    /// The failure of a limit that ran out. Its private reason fits a call that waits for its head, and `StreamIdle` in a body as well; for
    /// `Idle`, `Total` and `Client` in a body [`body_late`](Self::body_late) writes another reason.
    ///
    /// | limit | kind | HTTP | blame |
    /// | --- | --- | --- | --- |
    /// | `Ready` | `destination_unavailable` | 503 | unknown: the service may be waiting for its upstream, or for itself |
    /// | `Idle`, `StreamIdle` | `connection_read_timeout` | 504 | upstream |
    /// | `Head`, `Total`, `Client` | `http_response_timeout` | 504 | upstream |
    ///
    /// `length` is that of the limit. It becomes the elapsed time of the failure and stands in its private reason.
    pub(crate) fn late(name: TimeLimit, length: Duration) -> Failure {
        let (failure, what) = match name {
            TimeLimit::Ready => {
                let failure = Failure::new(FailureKind::DestinationUnavailable)
                    .with_blame(Blame::Unknown)
                    .with_retry_safety(RetrySafety::NotSent);
                (failure.with_phase(Phase::Readiness), "not ready")
            }
            TimeLimit::Idle => {
                (Failure::new(FailureKind::ConnectionReadTimeout).with_phase(Phase::ResponseBody), "no content")
            }
            TimeLimit::StreamIdle => {
                let failure = Failure::new(FailureKind::ConnectionReadTimeout).with_phase(Phase::ResponseHead);
                (failure, "nothing in either direction")
            }
            TimeLimit::Head | TimeLimit::Total | TimeLimit::Client => {
                (Failure::new(FailureKind::HttpResponseTimeout).with_phase(Phase::ResponseHead), "no response head")
            }
        };
        failure
            .with_limit(name)
            .with_elapsed(length)
            .with_reason(format!("{what} within {}", describe_limit(name, length)))
    }

    /// The failure of a limit that ran out while a body was waited for: `Idle` if the body was silent, any other if it was not complete.
    ///
    /// `seen` begins the private reason and says how far the body had come.
    pub(crate) fn body_late(name: TimeLimit, length: Duration, seen: &str) -> Failure {
        let silent = if name == TimeLimit::Idle { "silent for" } else { "not complete within" };
        Self::late(name, length).with_reason(format!("{seen}{silent} {}", describe_limit(name, length)))
    }

    /// The failure of a client whose upload was not complete when the total limit ran out: 408, and the client to blame.
    pub(crate) fn client_late(length: Duration) -> Failure {
        let reason = format!("the upload was not complete within {}", describe_limit(TimeLimit::Total, length));
        classify::stalled_upload(length).with_limit(TimeLimit::Total).with_reason(reason)
    }

    /// The failure of an upstream that did not take the rest of an upload within the head limit: `connection_write_timeout`, 504.
    pub(crate) fn not_taken(length: Duration) -> Failure {
        Failure::new(FailureKind::ConnectionWriteTimeout)
            .with_phase(Phase::RequestBody)
            .with_limit(TimeLimit::Head)
            .with_reason(format!(
                "nothing more of the upload was taken within {}",
                describe_limit(TimeLimit::Head, length)
            ))
    }
}

/// The length of a limit and the name of its setting, such as `45s (head_timeout)`, for the private reason of a failure.
fn describe_limit(name: TimeLimit, length: Duration) -> String {
    format!("{length:?} ({})", name.as_str())
}

/// The default head limit of a request.
///
/// | request | limit |
/// | --- | --- |
/// | gRPC | none: the head may come with the first message, hours later |
/// | an upload over 64 KiB or of unknown length, without a tap | none: the upstream may still be waiting for the client |
/// | accepts `text/event-stream` | one hour |
/// | any other | 45 seconds |
///
/// A request for an upgrade and CONNECT count as no uploads, with any body: otherwise every client could turn the limit off.
fn implicit_head_limit(request: &RequestContext, has_tap: bool) -> Option<Duration> {
    let is_grpc = request.protocol() == Protocol::Grpc;
    let asks_to_switch = request.method() == Method::CONNECT || request.upgrade().is_some();
    let is_unwatched_upload = request.flags.long_upload && !has_tap && !asks_to_switch;
    if is_grpc || is_unwatched_upload {
        return None;
    }
    // With 45 seconds a slow event stream would end for good: a browser does not reconnect after a 504. With no limit at all a dead
    // upstream would hold the connection for ever.
    Some(if request.accepts_event_stream() { HEAD_TIMEOUT_EVENT_STREAM } else { HEAD_TIMEOUT })
}

/// The default head limit. It is below the 60 seconds of nginx and of load balancers, and the 50 of HAProxy's packaged template: a hop
/// in front that gives up first answers by itself, and without the cause.
const HEAD_TIMEOUT: Duration = Duration::from_secs(45);
/// The default head limit of requests that accept an event stream.
const HEAD_TIMEOUT_EVENT_STREAM: Duration = Duration::from_secs(60 * 60);
/// The default idle limit of a body whose length is known.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// The default idle limit of a body whose length is not known.
const IDLE_TIMEOUT_UNKNOWN_LENGTH: Duration = Duration::from_secs(5 * 60);
/// The default limit for the wrapped service to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
