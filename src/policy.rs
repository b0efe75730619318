//! What is decided of a call: which limits apply, whether a response passes, what is answered instead.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::{
    caught::caught,
    classify::{self, Classify},
    context::{Protocol, RequestContext},
    dialect::grpc,
    failure::{BoxError, Failure, FailureKind, Phase, RetrySafety, TimeLimit},
    format::{Exceptions, Format, Negotiate, PublicFailure, written_by},
    gateway_name::GatewayName,
    hooks::FailureEvent,
    representation::{Envelope, respond},
    validate::{self, Stream},
};

/// One value behind one `Arc`: what runs only after a failure is `dyn`.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) judges: bool,
    pub(crate) head_timeout: Setting,
    pub(crate) idle_timeout: Setting,
    pub(crate) ready_timeout: Option<Duration>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) readers: Vec<Arc<dyn Classify>>,
    pub(crate) format: Arc<dyn Format>,
    pub(crate) formats: Exceptions,
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    pub(crate) message: Option<Cow<'static, str>>,
    pub(crate) map_status: Option<Arc<MapStatus>>,
    pub(crate) on_failure: Option<Arc<OnFailure>>,
    pub(crate) upstream: Option<Cow<'static, str>>,
    pub(crate) name: Option<GatewayName>,
    pub(crate) silent: bool,
}

pub(crate) type MapStatus = dyn Fn(&Failure) -> StatusCode + Send + Sync;
pub(crate) type OnFailure = dyn Fn(&FailureEvent<'_>) + Send + Sync;

/// A limit nobody set knows its exceptions; one that somebody set applies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setting {
    Implicit,
    Set(Option<Duration>),
}

impl Policy {
    pub(crate) fn for_upstream() -> Self {
        Self {
            judges: true,
            head_timeout: Setting::Implicit,
            idle_timeout: Setting::Implicit,
            ready_timeout: Some(READY_TIMEOUT),
            retry_after: None,
            readers: Vec::new(),
            format: Arc::new(Negotiate::new()),
            formats: Exceptions::default(),
            fields: Vec::new(),
            message: None,
            map_status: None,
            on_failure: None,
            upstream: None,
            name: None,
            silent: false,
        }
    }

    pub(crate) fn for_router() -> Self {
        Self {
            judges: false,
            head_timeout: Setting::Set(None),
            idle_timeout: Setting::Set(None),
            ready_timeout: None,
            ..Self::for_upstream()
        }
    }

    /// How long the response head may take, and whose limit that is.
    pub(crate) fn head_limit(&self, request: &RequestContext) -> Option<(Duration, TimeLimit)> {
        if request.traits.upgrade || request.method() == Method::CONNECT {
            return None;
        }
        let ours = match request.timeouts().and_then(|timeouts| timeouts.head) {
            Some(limit) => limit,
            None => match self.head_timeout {
                Setting::Set(limit) => limit,
                Setting::Implicit => implicit_head_limit(request),
            },
        };
        match (ours, request.client_deadline()) {
            (None, None) => None,
            (Some(ours), Some(client)) if client < ours => Some((client, TimeLimit::Client)),
            (Some(ours), _) => Some((ours, TimeLimit::Head)),
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
    pub(crate) fn judge<B>(&self, request: &RequestContext, response: &mut Response<B>) -> Result<Stream, Failure> {
        if let Some(failure) = response.extensions().get::<Failure>() {
            return if failure.is_answered() { Ok(Stream::Endless) } else { Err(failure.clone()) };
        }
        if !self.judges {
            let leaves = validate::leaves_http(request, response.status());
            return Ok(if leaves { Stream::Tunnel } else { Stream::Ordinary });
        }
        validate::head(request, response)
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
            TimeLimit::Head | TimeLimit::Client => {
                Failure::new(FailureKind::HttpResponseTimeout).with_phase(Phase::ResponseHead)
            }
        }
        .with_limit(limit)
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
            Protocol::Grpc => {
                grpc::respond(&failure, self.sentence(&failure, request), request.version(), &self.fields)
            }
            Protocol::Http => self.represent(&failure, request),
        };
        self.report(&failure, request, response.status());
        response.extensions_mut().insert(failure);
        response
    }

    /// Tells the operator of a failure; `status` is what the client sees.
    pub(crate) fn report(&self, failure: &Failure, request: &RequestContext, status: StatusCode) {
        let event =
            FailureEvent { failure, request, status, upstream: self.upstream.as_deref(), gateway: self.name.as_ref() };
        if !self.silent {
            // An error's `Display` is somebody else's code as well.
            caught(|| event.trace());
        }
        if let Some(on_failure) = &self.on_failure {
            caught(|| on_failure(&event));
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
        };
        let format = self.formats.choose(&public).unwrap_or(&*self.format);
        let representation = written_by(format, &public);
        respond(
            representation,
            Envelope {
                status,
                method: request.method(),
                retry_after: retry_after.map(|delay| HeaderValue::from(delay.as_secs())),
                fields: &self.fields,
            },
        )
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
            .field("judges", &self.judges)
            .field("head_timeout", &self.head_timeout)
            .field("idle_timeout", &self.idle_timeout)
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

/// Not for what may lawfully take its time, nor for uploads: those wait for the client.
fn implicit_head_limit(request: &RequestContext) -> Option<Duration> {
    let lasting = request.protocol() == Protocol::Grpc && request.client_nanos.is_none();
    let exempt = lasting || request.traits.long_upload || request.accepts_event_stream();
    (!exempt).then_some(HEAD_TIMEOUT)
}

const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT_UNKNOWN_LENGTH: Duration = Duration::from_secs(5 * 60);
const READY_TIMEOUT: Duration = Duration::from_secs(30);
