//! Which time limits apply to a call, and what it is when one runs out.

use std::time::Duration;

use http::{Method, Response};

use crate::{
    classify,
    context::{Protocol, RequestContext},
    failure::{Blame, Failure, FailureKind, Phase, RetrySafety, TimeLimit},
    stream::Stream,
    validate::{Accepted, Content},
};

/// The time limits of a layer, and how long a head is held.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) head: Limit,
    pub(crate) idle: Limit,
    pub(crate) total: Option<Duration>,
    pub(crate) ready: Option<Duration>,
    /// Whether a body is polled once before its head is passed on.
    pub(crate) peek: bool,
    /// How long a head waits for the first byte of its body.
    pub(crate) hold_head: Option<Duration>,
}

/// A limit that nobody has set knows its exceptions; one that somebody has set applies to everything.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Implicit,
    Set(Option<Duration>),
}

impl Limit {
    /// What a request brings goes before what was set, and that before what is implied.
    #[inline]
    fn resolve(self, own: Option<Option<Duration>>, implicit: impl FnOnce() -> Option<Duration>) -> Option<Duration> {
        match (own, self) {
            (Some(limit), _) | (None, Self::Set(limit)) => limit,
            (None, Self::Implicit) => implicit(),
        }
    }
}

impl Limits {
    /// Those of [`BadGatewayLayer::new`](crate::BadGatewayLayer::new).
    pub(super) fn for_upstream() -> Self {
        Self {
            head: Limit::Implicit,
            idle: Limit::Implicit,
            total: None,
            ready: Some(READY_TIMEOUT),
            peek: true,
            hold_head: None,
        }
    }

    /// Those of [`BadGatewayLayer::for_router`](crate::BadGatewayLayer::for_router).
    pub(super) fn for_router() -> Self {
        Self { head: Limit::Set(None), idle: Limit::Set(None), total: None, ready: None, peek: false, hold_head: None }
    }

    /// How long the upstream may take to the response head, an upgrade to its 101. `tapped`: somebody sees when the upload has
    /// ended.
    pub(crate) fn head_limit(&self, request: &RequestContext, tapped: bool) -> Option<Duration> {
        let own = request.timeouts().and_then(|timeouts| timeouts.head);
        self.head.resolve(own, || implicit_head_limit(request, tapped))
    }

    /// The least that this may be. Which requests wait longer is looked up only when that is over.
    #[inline]
    pub(crate) fn least_head_limit(&self, request: &RequestContext, tapped: bool) -> Option<Duration> {
        let own = request.timeouts().and_then(|timeouts| timeouts.head);
        self.head.resolve(own, || match request.protocol() {
            Protocol::Grpc => None,
            Protocol::Http if request.flags.long_upload => implicit_head_limit(request, tapped),
            Protocol::Http => Some(HEAD_TIMEOUT),
        })
    }

    /// If readiness has taken all of the time for the head, the call is not made.
    #[inline]
    pub(crate) fn readiness_took_all(
        &self,
        request: &RequestContext,
        tapped: bool,
        waited: Duration,
    ) -> Option<Failure> {
        if waited == Duration::ZERO {
            return None;
        }
        let limit = self.head_limit(request, tapped);
        limit.is_some_and(|limit| limit <= waited).then(|| Self::late(TimeLimit::Ready, waited))
    }

    /// How long readiness may take, of the time there is for the head.
    pub(crate) fn ready_limit(&self) -> Option<Duration> {
        let ready = self.ready?;
        match self.head {
            Limit::Set(Some(head)) => Some(ready.min(head)),
            Limit::Set(None) | Limit::Implicit => Some(ready),
        }
    }

    /// How long head and body may take together, and whose limit that is.
    #[inline]
    pub(crate) fn total_limit(&self, request: &RequestContext) -> Option<(Duration, TimeLimit)> {
        let ours = request.timeouts().and_then(|timeouts| timeouts.total).unwrap_or(self.total);
        match (ours, request.client_deadline()) {
            (None, None) => None,
            (Some(ours), Some(client)) if client < ours => Some((client, TimeLimit::Client)),
            (Some(ours), _) => Some((ours, TimeLimit::Total)),
            (None, Some(client)) => Some((client, TimeLimit::Client)),
        }
    }

    /// The same, of a call that had such a limit.
    pub(crate) fn total_limit_over(&self, request: &RequestContext) -> (Duration, TimeLimit) {
        self.total_limit(request).unwrap_or((Duration::ZERO, TimeLimit::Total))
    }

    /// How long a body may be silent while it is waited for.
    pub(crate) fn idle_limit(&self, request: &RequestContext, stream: Stream, known_length: bool) -> Option<Duration> {
        if stream == Stream::Tunnel {
            return None;
        }
        let own = request.timeouts().and_then(|timeouts| timeouts.idle);
        self.idle.resolve(own, || match stream {
            Stream::Endless | Stream::Tunnel => None,
            Stream::Ordinary if known_length => Some(IDLE_TIMEOUT),
            Stream::Ordinary => Some(IDLE_TIMEOUT_UNKNOWN_LENGTH),
        })
    }

    /// How long a head is held until its body has begun: not at all, or for no time, which is for one look at the body.
    #[inline]
    pub(crate) fn hold<B>(
        &self,
        request: &RequestContext,
        accepted: &Accepted,
        response: &Response<B>,
    ) -> Option<Duration> {
        if accepted.content == Content::Absent || request.protocol() == Protocol::Grpc {
            return None;
        }
        // Nobody has looked at the fields of a router's responses.
        let ordinary = || accepted.stream == Stream::Ordinary && Stream::of(response.headers()) == Stream::Ordinary;
        self.hold_head.filter(|_| ordinary()).or(self.peek.then_some(Duration::ZERO))
    }

    /// The failure of a limit that ran out after this time, before there was a head.
    pub(crate) fn late(limit: TimeLimit, after: Duration) -> Failure {
        let (failure, what) = match limit {
            TimeLimit::Ready => {
                let failure = Failure::new(FailureKind::DestinationUnavailable)
                    .with_blame(Blame::Unknown)
                    .with_retry_safety(RetrySafety::NotSent);
                (failure.with_phase(Phase::Readiness), "not ready")
            }
            TimeLimit::Idle => {
                (Failure::new(FailureKind::ConnectionReadTimeout).with_phase(Phase::ResponseBody), "no content")
            }
            TimeLimit::Head | TimeLimit::Total | TimeLimit::Client => {
                (Failure::new(FailureKind::HttpResponseTimeout).with_phase(Phase::ResponseHead), "no response head")
            }
        };
        failure
            .with_limit(limit)
            .with_elapsed(after)
            .with_reason(format!("{what} within {}", describe_limit(limit, after)))
    }

    /// The failure of a body that was silent, or not complete, for this time; `seen` says how far it had come.
    pub(crate) fn body_late(limit: TimeLimit, after: Duration, seen: &str) -> Failure {
        let silent = if limit == TimeLimit::Idle { "silent for" } else { "not complete within" };
        Self::late(limit, after).with_reason(format!("{seen}{silent} {}", describe_limit(limit, after)))
    }

    /// The failure of a client that was still waited for when all its time was over.
    pub(crate) fn client_late(after: Duration) -> Failure {
        let reason = format!("the upload was not complete within {}", describe_limit(TimeLimit::Total, after));
        classify::stalled_upload(after).with_limit(TimeLimit::Total).with_reason(reason)
    }

    /// The failure of an upstream that does not take the rest of a request in time.
    pub(crate) fn not_taken(after: Duration) -> Failure {
        Failure::new(FailureKind::ConnectionWriteTimeout)
            .with_phase(Phase::RequestBody)
            .with_limit(TimeLimit::Head)
            .with_reason(format!(
                "nothing more of the upload was taken within {}",
                describe_limit(TimeLimit::Head, after)
            ))
    }
}

/// A limit as somebody has set it, and by what name.
fn describe_limit(limit: TimeLimit, after: Duration) -> String {
    format!("{after:?} ({})", limit.as_str())
}

/// Not for gRPC, whose head may come with its first message, hours later; nor for uploads of which nobody sees the end: those wait
/// for the client. What is sent in a tunnel is no upload, and nobody who asks for one waits for ever.
fn implicit_head_limit(request: &RequestContext, tapped: bool) -> Option<Duration> {
    let lasting = request.protocol() == Protocol::Grpc;
    let switches = request.method() == Method::CONNECT || request.upgrade().is_some();
    let uploading = request.flags.long_upload && !tapped && !switches;
    if lasting || uploading {
        return None;
    }
    // A browser that got a 504 never opens the stream again; one that waits for ever holds a connection for ever.
    Some(if request.accepts_event_stream() { HEAD_TIMEOUT_EVENT_STREAM } else { HEAD_TIMEOUT })
}

/// Below the 60 seconds of nginx and of load balancers, and the 50 of HAProxy's packaged template: a hop in front that gives up first
/// answers by itself, and knows nothing.
const HEAD_TIMEOUT: Duration = Duration::from_secs(45);
const HEAD_TIMEOUT_EVENT_STREAM: Duration = Duration::from_secs(60 * 60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
const IDLE_TIMEOUT_UNKNOWN_LENGTH: Duration = Duration::from_secs(5 * 60);
const READY_TIMEOUT: Duration = Duration::from_secs(10);
