//! What is decided of a call: which limits apply, whether a response passes, what is answered instead, who is told.

mod limits;
mod observe;

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Once},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;

#[cfg(all(feature = "axum", feature = "tracing"))]
use crate::hooks::Unreported;
use crate::{
    caught::caught,
    classify::{self, Classify},
    context::{CaptureOptions, Protocol, RequestContent, RequestContext},
    dialect::grpc,
    failure::{BoxError, Failure, Phase, RetrySafety},
    format::{Format, FormatOverrides, Negotiate, PublicFailure, written_by},
    gateway_name::GatewayName,
    hooks::{AbandonedEvent, AbandonmentLog, EventLog, FailureEvent, Metrics, SuccessEvent},
    proxy_status,
    representation::{Envelope, respond},
    validate::{Accepted, Rules},
};

/// One value behind one `Arc`: what runs only after a failure is `dyn`.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) capture: Option<Box<CaptureOptions>>,
    pub(crate) rules: Rules,
    pub(crate) peeks: bool,
    pub(crate) hold_head: Option<Duration>,
    pub(crate) head_timeout: Limit,
    pub(crate) idle_timeout: Limit,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) ready_timeout: Option<Duration>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) readers: Vec<Arc<dyn Classify>>,
    pub(crate) single_attempt: bool,
    pub(crate) format: Arc<dyn Format>,
    pub(crate) formats: FormatOverrides,
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    pub(crate) message: Option<Cow<'static, str>>,
    pub(crate) map_status: Option<Arc<MapStatus>>,
    pub(crate) on_failure: Option<Arc<OnFailure>>,
    pub(crate) on_body_failure: Option<Arc<OnFailure>>,
    pub(crate) on_abandoned: Option<Arc<OnAbandoned>>,
    pub(crate) on_success: Option<Arc<OnSuccess>>,
    pub(crate) metrics: Option<Metrics>,
    /// Whether the metrics are known to the recorder, with these settings.
    pub(crate) metrics_registered: Arc<Once>,
    pub(crate) upstream: Option<Cow<'static, str>>,
    pub(crate) name: Option<GatewayName>,
    pub(crate) proxy_status: Option<Arc<proxy_status::Writer>>,
    pub(crate) silent: bool,
    /// With these settings; shared by all services of a layer.
    pub(crate) events: Arc<EventLog>,
    pub(crate) abandonments: Arc<AbandonmentLog>,
    pub(crate) is_timed: bool,
}

pub(crate) type MapStatus = dyn Fn(&Failure) -> StatusCode + Send + Sync;
pub(crate) type OnFailure = dyn Fn(&FailureEvent<'_>) + Send + Sync;
pub(crate) type OnSuccess = dyn Fn(&SuccessEvent<'_>) + Send + Sync;
pub(crate) type OnAbandoned = dyn Fn(&AbandonedEvent<'_>) + Send + Sync;

/// A limit nobody set knows its exceptions; one that somebody set applies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Implicit,
    Set(Option<Duration>),
}

impl Policy {
    pub(crate) fn for_upstream() -> Self {
        Self {
            capture: None,
            rules: Rules { framing: true, ..Rules::default() },
            peeks: true,
            hold_head: None,
            head_timeout: Limit::Implicit,
            idle_timeout: Limit::Implicit,
            total_timeout: None,
            ready_timeout: Some(limits::READY_TIMEOUT),
            retry_after: None,
            readers: Vec::new(),
            single_attempt: false,
            format: Arc::new(Negotiate::new()),
            formats: FormatOverrides::default(),
            fields: Vec::new(),
            message: None,
            map_status: None,
            on_failure: None,
            on_body_failure: None,
            on_abandoned: None,
            on_success: None,
            metrics: None,
            metrics_registered: Arc::new(Once::new()),
            upstream: None,
            name: None,
            proxy_status: None,
            silent: false,
            events: Arc::new(EventLog::new(Some(EVENTS_A_SECOND))),
            abandonments: Arc::default(),
            is_timed: false,
        }
    }

    pub(crate) fn for_router() -> Self {
        Self {
            rules: Rules::default(),
            peeks: false,
            head_timeout: Limit::Set(None),
            idle_timeout: Limit::Set(None),
            ready_timeout: None,
            ..Self::for_upstream()
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
            #[cfg(all(feature = "axum", feature = "tracing"))]
            if let Some(unreported) = response.extensions().get::<Unreported>() {
                unreported.mark_reported();
            }
            if !failure.is_answered() {
                return Err(self.with_retry_safety_of_call(failure.clone(), Phase::ResponseHead));
            }
            if failure.retry_safety() != RetrySafety::Unknown {
                let failure = self.with_retry_safety_of_call(failure.clone(), Phase::ResponseHead);
                response.extensions_mut().insert(failure);
            }
            self.rules.strip(response.headers_mut());
            self.abandonments.answered();
            return Ok(Accepted::answered_further_in());
        }
        let judged = self.rules.judge(request, response);
        if judged.is_ok() {
            self.abandonments.answered();
        }
        judged.map_err(|failure| {
            // Ours claim nothing; a validator may.
            Self::with_received_proxy_status(self.with_retry_safety_of_call(failure, Phase::ResponseHead), response)
        })
    }

    /// Adds what the others on the way say of a response that is not passed on.
    pub(crate) fn with_received_proxy_status<B>(failure: Failure, response: &Response<B>) -> Failure {
        failure.with_intermediaries(proxy_status::received(response.headers()))
    }

    /// Reads an error that came out in this phase, of a request with this content.
    pub(crate) fn failure(&self, error: BoxError, seen_in: Phase, content: RequestContent) -> Failure {
        self.with_retry_safety_of_call(classify::failure(error, seen_in, content, &self.readers), seen_in)
    }

    /// An error, and a failure made of one, says whether *the attempt that failed* was sent. Something inside may have made
    /// others before it, whose orders were taken.
    fn with_retry_safety_of_call(&self, failure: Failure, seen_in: Phase) -> Failure {
        let known = match seen_in {
            // The request has not been handed over.
            Phase::Readiness => RetrySafety::NotSent,
            // There was a head: the request was processed, at least in part.
            Phase::ResponseBody => RetrySafety::Unknown,
            _ if self.single_attempt => failure.retry_safety(),
            _ => RetrySafety::Unknown,
        };
        if failure.retry_safety() == known { failure } else { failure.with_retry_safety(known) }
    }

    /// Tells the operator, and makes the answer.
    pub(crate) fn answer(
        &self,
        failure: Failure,
        elapsed: Option<Duration>,
        request: &RequestContext,
    ) -> Response<Bytes> {
        self.abandonments.answered();
        let failure = Self::with_upstream_of_response(failure.answered(elapsed), request);
        let mut response = match request.protocol() {
            Protocol::Grpc => grpc::respond(
                &failure,
                self.sentence(&failure, request),
                request.request_id(),
                request.version(),
                self.proxy_status(&failure, failure.status(), request),
                &self.fields,
            ),
            Protocol::Http => self.represent(&failure, request),
        };
        self.report(&failure, request, response.status(), self.on_failure.as_ref());
        response.extensions_mut().insert(failure);
        response
    }

    /// Adds the upstream that a response has named, if the failure says none: whoever is outside finds it there.
    pub(crate) fn with_upstream_of_response(failure: Failure, request: &RequestContext) -> Failure {
        match request.upstream() {
            Some(upstream) if failure.upstream().is_none() => failure.with_upstream(upstream.clone()),
            _ => failure,
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
            discloses: request.flags.discloses,
        };
        let format = self.formats.choose(&public).unwrap_or(&*self.format);
        let representation = written_by(format, &public);
        respond(
            representation,
            Envelope {
                status,
                method: request.method(),
                retry_after: retry_after.map(|delay| HeaderValue::from(delay.as_secs())),
                proxy_status: self.proxy_status(failure, status, request),
                fields: &self.fields,
            },
        )
    }

    fn proxy_status(&self, failure: &Failure, status: StatusCode, request: &RequestContext) -> Option<HeaderValue> {
        let writer = self.proxy_status.as_ref()?;
        let (carries, discloses) = (!self.rules.strips_proxy_status, request.flags.discloses);
        let upstream = self.call(request, Some(failure)).upstream();
        let write = |discloses| writer.write(failure, status, carries, upstream, discloses);
        // An error's `Display` is somebody else's code.
        caught(|| write(discloses)).unwrap_or_else(|| write(false))
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

/// Of one kind: enough to see what goes on, and not more than a person reads.
const EVENTS_A_SECOND: u32 = 10;

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("judges", &self.rules.framing)
            .field("peeks", &self.peeks)
            .field("hold_head", &self.hold_head)
            .field("head_timeout", &self.head_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("ready_timeout", &self.ready_timeout)
            .field("retry_after", &self.retry_after)
            .field("readers", &self.readers.len())
            .field("single_attempt", &self.single_attempt)
            .field("message", &self.message)
            .field("upstream", &self.upstream)
            .field("name", &self.name)
            .field("silent", &self.silent)
            .finish_non_exhaustive()
    }
}
