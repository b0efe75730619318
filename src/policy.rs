//! What is decided of a call: which limits apply, whether a response passes, what is answered instead.

use std::{any::Any, borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::Body;

use crate::{
    caught::caught,
    classify::{self, Classify},
    context::{Protocol, RequestContext, Wanted},
    dialect::grpc,
    failure::{BoxError, Failure, FailureKind, Phase, RetrySafety, TimeLimit},
    format::{Exceptions, Format, Negotiate, PublicFailure, written_by},
    gateway_name::GatewayName,
    hooks::{AbandonedEvent, FailureEvent, Metrics, SuccessEvent},
    proxy_status,
    representation::{Envelope, respond},
    stream::Stream,
    validate::{Accepted, Content, Rules},
};

/// One value behind one `Arc`: what runs only after a failure is `dyn`.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) wanted: Option<Box<Wanted>>,
    pub(crate) rules: Rules,
    pub(crate) peeks: bool,
    pub(crate) first_frame: Option<Duration>,
    pub(crate) head_timeout: Setting,
    pub(crate) idle_timeout: Setting,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) ready_timeout: Option<Duration>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) readers: Vec<Arc<dyn Classify>>,
    pub(crate) format: Arc<dyn Format>,
    pub(crate) formats: Exceptions,
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    pub(crate) message: Option<Cow<'static, str>>,
    pub(crate) map_status: Option<Arc<MapStatus>>,
    pub(crate) on_failure: Option<Arc<OnFailure>>,
    pub(crate) on_body_failure: Option<Arc<OnFailure>>,
    pub(crate) on_abandoned: Option<Arc<OnAbandoned>>,
    pub(crate) on_success: Option<Arc<OnSuccess>>,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) upstream: Option<Cow<'static, str>>,
    pub(crate) name: Option<GatewayName>,
    pub(crate) proxy_status: Option<Arc<proxy_status::Writer>>,
    pub(crate) silent: bool,
    pub(crate) is_timed: bool,
}

pub(crate) type MapStatus = dyn Fn(&Failure) -> StatusCode + Send + Sync;
pub(crate) type OnFailure = dyn Fn(&FailureEvent<'_>) + Send + Sync;
pub(crate) type OnSuccess = dyn Fn(&SuccessEvent<'_>) + Send + Sync;
pub(crate) type OnAbandoned = dyn Fn(&AbandonedEvent<'_>) + Send + Sync;

/// A limit nobody set knows its exceptions; one that somebody set applies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setting {
    Implicit,
    Set(Option<Duration>),
}

impl Policy {
    pub(crate) fn for_upstream() -> Self {
        Self {
            wanted: None,
            rules: Rules { framing: true, ..Rules::default() },
            peeks: true,
            first_frame: None,
            head_timeout: Setting::Implicit,
            idle_timeout: Setting::Implicit,
            total_timeout: None,
            ready_timeout: Some(READY_TIMEOUT),
            retry_after: None,
            readers: Vec::new(),
            format: Arc::new(Negotiate::new()),
            formats: Exceptions::default(),
            fields: Vec::new(),
            message: None,
            map_status: None,
            on_failure: None,
            on_body_failure: None,
            on_abandoned: None,
            on_success: None,
            metrics: None,
            upstream: None,
            name: None,
            proxy_status: None,
            silent: false,
            is_timed: false,
        }
    }

    pub(crate) fn for_router() -> Self {
        Self {
            rules: Rules::default(),
            peeks: false,
            head_timeout: Setting::Set(None),
            idle_timeout: Setting::Set(None),
            ready_timeout: None,
            ..Self::for_upstream()
        }
    }

    /// How long the upstream may take to the response head. `tapped`: somebody sees when the upload has ended.
    pub(crate) fn head_limit(&self, request: &RequestContext, tapped: bool) -> Option<Duration> {
        if leaves_http(request) {
            return None;
        }
        match request.timeouts().and_then(|timeouts| timeouts.head) {
            Some(limit) => limit,
            None => match self.head_timeout {
                Setting::Set(limit) => limit,
                Setting::Implicit => implicit_head_limit(request, tapped),
            },
        }
    }

    /// How long head and body may take together, and whose limit that is.
    #[inline]
    pub(crate) fn total_limit(&self, request: &RequestContext) -> Option<(Duration, TimeLimit)> {
        if leaves_http(request) {
            return None;
        }
        let ours = request.timeouts().and_then(|timeouts| timeouts.total).unwrap_or(self.total_timeout);
        match (ours, request.client_deadline()) {
            (None, None) => None,
            (Some(ours), Some(client)) if client < ours => Some((client, TimeLimit::Client)),
            (Some(ours), _) => Some((ours, TimeLimit::Total)),
            (None, Some(client)) => Some((client, TimeLimit::Client)),
        }
    }

    /// How long a body may be silent while it is waited for.
    pub(crate) fn idle_limit(&self, request: &RequestContext, stream: Stream, known_length: bool) -> Option<Duration> {
        if stream == Stream::Tunnel {
            return None;
        }
        match request.timeouts().and_then(|timeouts| timeouts.idle) {
            Some(limit) => limit,
            None => match self.idle_timeout {
                Setting::Set(limit) => limit,
                Setting::Implicit if stream == Stream::Endless => None,
                Setting::Implicit if known_length => Some(IDLE_TIMEOUT),
                Setting::Implicit => Some(IDLE_TIMEOUT_UNKNOWN_LENGTH),
            },
        }
    }

    /// Looks at a response head before anyone believes it: it is passed on and its body watched, or answered in place of.
    #[inline]
    pub(crate) fn judge<B: Body + 'static>(
        &self,
        request: &RequestContext,
        response: &mut Response<B>,
    ) -> Result<Accepted, Failure> {
        if let Some(failure) = response.extensions().get::<Failure>() {
            let answered = failure.is_answered();
            return if answered { Ok(Accepted::told()) } else { Err(failure.clone()) };
        }
        self.rules.judge(request, response).map_err(|failure| Self::refused(failure, response))
    }

    /// Adds what the others on the way say of a response that is not passed on.
    pub(crate) fn refused<B>(failure: Failure, response: &Response<B>) -> Failure {
        failure.with_intermediaries(proxy_status::received(response.headers()))
    }

    /// Whether a body is polled once before its head is passed on.
    #[inline]
    pub(crate) fn peeks(&self, request: &RequestContext, accepted: &Accepted) -> bool {
        self.peeks && accepted.content != Content::Absent && request.protocol() != Protocol::Grpc
    }

    /// How long a head is held until its body has begun.
    #[inline]
    pub(crate) fn first_frame_limit<B>(
        &self,
        request: &RequestContext,
        accepted: &Accepted,
        response: &Response<B>,
    ) -> Option<Duration> {
        let limit = self.first_frame?;
        // Nobody has looked at the fields of a router's responses.
        let empty = accepted.content == Content::Absent;
        let ordinary =
            !empty && accepted.stream == Stream::Ordinary && Stream::of(response.headers()) == Stream::Ordinary;
        (ordinary && request.protocol() != Protocol::Grpc).then_some(limit)
    }

    /// Reads an error that came out in this phase.
    pub(crate) fn failure(&self, error: BoxError, seen_in: Phase) -> Failure {
        classify::failure(error, seen_in, &self.readers)
    }

    /// The failure of a limit that ran out.
    pub(crate) fn late(limit: TimeLimit) -> Failure {
        match limit {
            TimeLimit::Ready => Failure::new(FailureKind::DestinationUnavailable)
                .with_phase(Phase::Readiness)
                .with_retry_safety(RetrySafety::NotSent),
            TimeLimit::Idle => Failure::new(FailureKind::ConnectionReadTimeout).with_phase(Phase::ResponseBody),
            TimeLimit::Head | TimeLimit::Total | TimeLimit::Client => {
                Failure::new(FailureKind::HttpResponseTimeout).with_phase(Phase::ResponseHead)
            }
        }
        .with_limit(limit)
    }

    /// The failure of a client that was still waited for when all its time was over.
    pub(crate) fn client_late() -> Failure {
        classify::stalled_upload().with_limit(TimeLimit::Total)
    }

    /// The failure of an upstream that does not take the rest of a request in time.
    pub(crate) fn not_taken() -> Failure {
        Failure::new(FailureKind::ConnectionWriteTimeout).with_phase(Phase::RequestBody).with_limit(TimeLimit::Head)
    }

    /// Tells the operator, and makes the answer.
    pub(crate) fn answer(
        &self,
        failure: Failure,
        elapsed: Option<Duration>,
        request: &RequestContext,
    ) -> Response<Bytes> {
        let failure = failure.answered(elapsed);
        let mut response = match request.protocol() {
            Protocol::Grpc => grpc::respond(
                &failure,
                self.sentence(&failure, request),
                request.request_id(),
                request.version(),
                self.proxy_status(&failure, request),
                &self.fields,
            ),
            Protocol::Http => self.represent(&failure, request),
        };
        self.report(&failure, request, response.status(), self.on_failure.as_ref());
        response.extensions_mut().insert(failure);
        response
    }

    /// Tells the operator of a body that broke after its head, with this status, was sent.
    pub(crate) fn broken(&self, failure: &Failure, request: &RequestContext, status: StatusCode) {
        self.report(failure, request, status, self.on_body_failure.as_ref());
    }

    /// Tells the operator that whoever had asked did not wait for the end; `status` is what was sent by then.
    pub(crate) fn abandoned(&self, request: &RequestContext, status: Option<StatusCode>, elapsed: Option<Duration>) {
        if std::thread::panicking() {
            // Nobody has left: a panic takes it all down, and a hook that panics as well would abort the process.
            return;
        }
        let (upstream, gateway) = (self.upstream.as_deref(), self.name.as_ref());
        let event = AbandonedEvent { request, status, elapsed, upstream, gateway };
        if !self.silent {
            caught(|| event.trace());
        }
        if let Some(on_abandoned) = &self.on_abandoned {
            caught(|| on_abandoned(&event));
        }
    }

    /// A layer wraps a service.
    pub(crate) fn introduce(&self) {
        if let Some(metrics) = self.metrics {
            caught(|| metrics.register(self.upstream.as_deref()));
        }
    }

    /// A call begins; what is returned is to be dropped at its end.
    #[inline]
    pub(crate) fn called(&self) -> Option<Box<dyn Any + Send + Sync>> {
        let metrics = self.metrics?;
        caught(|| metrics.called(self.upstream.as_ref())).flatten()
    }

    /// Whether somebody wants to know how long a call takes that does not fail: then the clock is read in it.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.is_timed
    }

    /// Tells the operator of a response that was passed on to its end.
    #[cold]
    pub(crate) fn succeeded(&self, request: &RequestContext, status: StatusCode, head: Duration, total: Duration) {
        let Some(on_success) = self.on_success.as_ref().filter(|_| !std::thread::panicking()) else { return };
        let (upstream, gateway) = (self.upstream.as_deref(), self.name.as_ref());
        caught(|| on_success(&SuccessEvent { request, status, head, total, upstream, gateway }));
    }

    fn report(&self, failure: &Failure, request: &RequestContext, status: StatusCode, hook: Option<&Arc<OnFailure>>) {
        let event =
            FailureEvent { failure, request, status, upstream: self.upstream.as_deref(), gateway: self.name.as_ref() };
        if !self.silent {
            // An error's `Display` is somebody else's code as well.
            caught(|| event.trace());
        }
        if let Some(metrics) = self.metrics {
            caught(|| metrics.failed(&event));
        }
        if let Some(hook) = hook {
            caught(|| hook(&event));
        }
    }

    fn represent(&self, failure: &Failure, request: &RequestContext) -> Response<Bytes> {
        let status = self.status(failure);
        let retry_after = self.retry_after.filter(|_| status == StatusCode::SERVICE_UNAVAILABLE);
        let public = PublicFailure {
            failure,
            status,
            message: self.message(failure, request),
            gateway: self.name.as_ref(),
            retry_after,
            request_id: request.request_id(),
            accept: request.accept.as_ref(),
            is_safe: request.method().is_safe(),
            discloses: request.traits.discloses,
        };
        let format = self.formats.choose(&public).unwrap_or(&*self.format);
        let representation = written_by(format, &public);
        respond(
            representation,
            Envelope {
                status,
                method: request.method(),
                retry_after: retry_after.map(|delay| HeaderValue::from(delay.as_secs())),
                proxy_status: self.proxy_status(failure, request),
                fields: &self.fields,
            },
        )
    }

    fn proxy_status(&self, failure: &Failure, request: &RequestContext) -> Option<HeaderValue> {
        let writer = self.proxy_status.as_ref()?;
        let (carries, discloses) = (!self.rules.strips_proxy_status, request.traits.discloses);
        // An error's `Display` is somebody else's code.
        caught(|| writer.write(failure, carries, self.upstream.as_deref(), discloses)).flatten()
    }

    fn status(&self, failure: &Failure) -> StatusCode {
        let status = failure.status();
        let mapped = self.map_status.as_ref().and_then(|map| caught(|| map(failure)));
        mapped.filter(|status| status.is_client_error() || status.is_server_error()).unwrap_or(status)
    }

    fn message<'a>(&'a self, failure: &'a Failure, request: &'a RequestContext) -> Option<&'a str> {
        failure.message().or(request.message()).or(self.message.as_deref())
    }

    fn sentence<'a>(&'a self, failure: &'a Failure, request: &'a RequestContext) -> &'a str {
        self.message(failure, request).unwrap_or(failure.kind().summary())
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("judges", &self.rules.framing)
            .field("peeks", &self.peeks)
            .field("first_frame", &self.first_frame)
            .field("head_timeout", &self.head_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("ready_timeout", &self.ready_timeout)
            .field("retry_after", &self.retry_after)
            .field("readers", &self.readers.len())
            .field("message", &self.message)
            .field("upstream", &self.upstream)
            .field("name", &self.name)
            .field("silent", &self.silent)
            .finish_non_exhaustive()
    }
}

/// It asks to be no HTTP any more: no limit.
fn leaves_http(request: &RequestContext) -> bool {
    request.traits.upgrade || request.method() == Method::CONNECT
}

/// Not for what may lawfully take its time, nor for uploads of which nobody sees the end: those wait for the client.
fn implicit_head_limit(request: &RequestContext, tapped: bool) -> Option<Duration> {
    let lasting = request.protocol() == Protocol::Grpc && request.client_nanos.is_none();
    let uploading = request.traits.long_upload && !tapped;
    let exempt = lasting || uploading || request.accepts_event_stream();
    (!exempt).then_some(HEAD_TIMEOUT)
}

const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT_UNKNOWN_LENGTH: Duration = Duration::from_secs(5 * 60);
const READY_TIMEOUT: Duration = Duration::from_secs(30);
