//! The decisions about a call: which time limits apply, whether a response is forwarded, what is answered instead, what is reported.
//!
//! A [`Policy`] holds all settings of one layer behind one `Arc`. It decides and never waits: it knows neither polling nor pinning, and
//! neither the type of the wrapped service nor bodies as streams. The service, the future and the bodies ask it, among others in this order:
//!
//! | moment | method |
//! | --- | --- |
//! | the wrapped service is not ready, or not in time | `Limits::ready_limit`, `Limits::ready_late` |
//! | the call begins | `Limits::readiness_took_all`, `Limits::total_limit` |
//! | the call has to be waited for | `Limits::least_head_limit`, and when that is over `Limits::head_limit` |
//! | the wrapped service returned an error | [`failure`](Policy::failure) |
//! | a response head has come | [`judge`](Policy::judge), `Limits::hold` |
//! | the body has to be waited for | `Limits::idle_limit`, of gRPC `Limits::stream_idle_limit` |
//! | the call has failed before its head was sent | [`to_answer`](Policy::to_answer), [`status`](Policy::status), [`ask_fallback`](Policy::ask_fallback), [`answer`](Policy::answer) |
//! | the call is at its end | `report_body_failure`, `report_abandonment`, `report_success` |
//!
//! Reading errors, judging heads and writing formats are done by `classify`, `validate` and `format`; the policy chooses among them
//! by the settings and puts the results together.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `limits` | the time limits, their defaults and exceptions, and the failures of limits that ran out |
//! | `presentation` | format, status, sentence and fields of an answer |
//! | `fallback` | which fallback is asked for an answer, and whether its response becomes one |
//! | `names` | the names of the gateway and of the upstream, and `Proxy-Status` |
//! | `request_policy` | what a request changes of all that |
//! | `observe` | the events that are handed to the hooks |

mod fallback;
mod limits;
mod names;
mod observe;
mod presentation;
mod request_policy;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode, Version};
use http_body::Body;

pub(crate) use self::limits::{Hold, HoldBody, Limit, Limits};
pub use self::request_policy::RequestPolicy;
use self::{
    fallback::Fallbacks,
    names::Names,
    presentation::{AnswerContext, Presentation},
};
#[cfg(all(feature = "axum", feature = "tracing"))]
use crate::hooks::Unreported;
use crate::{
    body_kind::BodyKind,
    classify::{self, Classify},
    context::{CaptureOptions, Protocol, RequestContent, RequestContext},
    dialect::grpc,
    failure::{BoxError, Failure, Phase, RetrySafety},
    hooks::Observers,
    proxy_status,
    validate::{Accepted, Content, GrpcStatus, Rules, Trailers},
};

/// All settings of a layer.
///
/// The layer, its services, their calls and the bodies of responses share it in one `Arc`. A setter of the layer changes a copy, so that
/// a layer never changes the services it has made. A healthy call reads `capture`, `rules`, `limits`, `observers`, the name of the upstream and
/// whether the layer speaks gRPC; the other parts are read after a failure, and are `dyn`, so that they add no type parameter to public types.
#[derive(Clone)]
pub(crate) struct Policy {
    /// What is read of each request for `disclose`, identifiers, formats, hooks and fallbacks; `None` if nothing was set that needs it.
    pub(crate) capture: Option<Box<CaptureOptions>>,
    /// How response heads and trailers are judged and tidied.
    pub(crate) rules: Rules,
    /// The time limits, and how long a head is held.
    pub(crate) limits: Limits,
    /// Log, metrics and hooks.
    pub(crate) observers: Observers,
    /// How errors are read.
    pub(crate) reading: Reading,
    /// How a failure is shown to a client.
    pub(crate) presentation: Presentation,
    /// Which services are asked for an answer.
    pub(crate) fallbacks: Fallbacks,
    /// The names of the gateway and of the upstream.
    pub(crate) names: Names,
    /// Whether gRPC calls are treated as such, or as any other request.
    pub(crate) speaks_grpc: bool,
}

/// The settings by which errors are read.
#[derive(Clone, Default)]
pub(crate) struct Reading {
    /// The readers of the user, in the order they were added. They are asked after the readers of this crate, and win.
    pub(crate) readers: Vec<Arc<dyn Classify>>,
    /// Whether the wrapped service makes one attempt a call: then the retry safety of an attempt is that of the call.
    pub(crate) single_attempt: bool,
}

impl Policy {
    /// The settings of [`BadGatewayLayer::new`](crate::BadGatewayLayer::new): heads are judged and tidied, time limits have their
    /// defaults, bodies are peeked at.
    pub(crate) fn for_upstream() -> Self {
        Self {
            capture: None,
            rules: Rules { applies_http_rules: true, ..Rules::default() },
            limits: Limits::for_upstream(),
            observers: Observers::default(),
            reading: Reading::default(),
            presentation: Presentation::default(),
            fallbacks: Fallbacks::default(),
            names: Names::default(),
            speaks_grpc: true,
        }
    }

    /// The settings of [`BadGatewayLayer::for_router`](crate::BadGatewayLayer::for_router): no judging of the framing, no time limits,
    /// no peeking. Everything else is the same.
    pub(crate) fn for_router() -> Self {
        Self { rules: Rules::default(), limits: Limits::for_router(), ..Self::for_upstream() }
    }

    /// Judges a response head before anything of it is used: the response is forwarded and its body watched, or it is answered in its
    /// place.
    ///
    /// | the response | what happens |
    /// | --- | --- |
    /// | carries a [`Failure`] that a layer inside has answered | forwarded, its body not watched: the failure was reported there |
    /// | carries a [`Failure`] that was not answered (of a handler) | answered here, and the response dropped |
    /// | carries none | judged by the [`Rules`], and by the validators of the user |
    ///
    /// The fields of an accepted head may have been changed. `Proxy-Status` is removed only when a head is sent: if the
    /// body breaks while the head is held, the members are still needed for
    /// [`with_received_proxy_status`](Self::with_received_proxy_status).
    ///
    /// # Errors
    ///
    /// The failure to answer in place of the response.
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
            return Ok(Accepted::answered_further_in());
        }
        let judged = self.rules.judge(request, response);
        let judged = match judged {
            Ok(accepted) if request.protocol() == Protocol::Grpc => self.judge_grpc(request, response, accepted),
            judged => judged,
        };
        judged.map_err(|failure| {
            // A validator of the user may return a retry safety, which is no proof for the call.
            Self::with_received_proxy_status(self.with_retry_safety_of_call(failure, Phase::ResponseHead), response)
        })
    }

    /// Judges the head of a response to a gRPC call: what is no gRPC does not reach its caller, and of what is gRPC the status has to
    /// come. Not in a router, whose handlers may be no gRPC servers.
    ///
    /// Trailers of ours reach the client over HTTP/2 if no length was announced, and over HTTP/1.1 if the client has asked for trailers and
    /// the head announces them: hyper drops them otherwise, and then the end would be clean.
    #[inline(never)]
    fn judge_grpc<B: Body>(
        &self,
        request: &RequestContext,
        response: &mut Response<B>,
        mut accepted: Accepted,
    ) -> Result<Accepted, Failure> {
        if !self.rules.applies_http_rules || accepted.body_kind == BodyKind::Tunnel {
            return Ok(accepted);
        }
        let upstream_status = response.status();
        let mut status = upstream_status;
        let has_body = !response.body().is_end_stream();
        let head = grpc::judge_head(&mut status, response.headers_mut(), has_body)
            .map_err(|failure| failure.with_phase(Phase::ResponseHead).with_upstream_status(upstream_status))?;
        *response.status_mut() = status;
        let has_length = accepted.content != Content::NotStated || response.body().size_hint().exact().is_some();
        let trailers = |is_announced: bool| {
            // Asked for in HTTP/2 as well: a version that was rewritten outside of the layer may be another on the wire.
            if !request.flags.accepts_trailers || (request.version() < Version::HTTP_2 && !is_announced) {
                Trailers::Lost
            } else if has_length {
                Trailers::Theirs
            } else {
                Trailers::Any
            }
        };
        match head {
            grpc::Head::TrailersOnly => accepted.content = Content::Absent,
            grpc::Head::Succeeded { .. } if !has_body => {}
            grpc::Head::Succeeded { is_announced } => {
                accepted.grpc_status = GrpcStatus::DueAfterContent(trailers(is_announced));
            }
            grpc::Head::StatusFollows { is_announced } => {
                accepted.grpc_status = GrpcStatus::Due(trailers(is_announced))
            }
        }
        Ok(accepted)
    }

    /// Adds the members of `Proxy-Status` of a response that is not forwarded: they say which hop behind the upstream has failed.
    pub(crate) fn with_received_proxy_status<B>(failure: Failure, response: &Response<B>) -> Failure {
        failure.with_intermediaries(proxy_status::received(response.headers()))
    }

    /// Reads an error into a failure.
    ///
    /// `seen_in` is the phase in which the error was returned, which readers may refine; `content` is what is known of the request's
    /// body, which decides whether the client may be to blame.
    pub(crate) fn failure(&self, error: BoxError, seen_in: Phase, content: RequestContent) -> Failure {
        self.with_retry_safety_of_call(classify::failure(error, seen_in, content, &self.reading.readers), seen_in)
    }

    /// Replaces the retry safety of the attempt that failed by that of the whole call.
    ///
    /// An error says whether *its* attempt was sent. A retry or a redirect inside of the layer may have made attempts before it that the
    /// upstream has processed. So `NotSent` and `NotProcessed` stay only after
    /// [`single_attempt`](crate::BadGatewayLayer::single_attempt); a service that was not ready was never called, and that is
    /// `NotSent` in any case.
    fn with_retry_safety_of_call(&self, failure: Failure, seen_in: Phase) -> Failure {
        let known = match seen_in {
            // The wrapped service was not called, so no attempt can have sent the request.
            Phase::Readiness => RetrySafety::NotSent,
            // A head has come, so the upstream has processed the request at least in part.
            Phase::ResponseBody => RetrySafety::Unknown,
            _ if self.reading.single_attempt => failure.retry_safety(),
            _ => RetrySafety::Unknown,
        };
        if failure.retry_safety() == known { failure } else { failure.with_retry_safety(known) }
    }

    /// Makes the answer to a failure, to which all is known of the call, and reports the failure.
    ///
    /// In this order: the answer is noted and written, log, metrics and `on_failure` are run with the status of the answer, and the failure is put
    /// into the extensions of the answer.
    pub(crate) fn answer(&self, failure: Failure, request: &RequestContext, status: StatusCode) -> Response<Bytes> {
        self.observers.note_head();
        let is_by_accept = self.has_fallback_for_browsers(&failure, status);
        let context = self.answer_context(&failure, status, request, is_by_accept);
        let response = self.presentation.respond(&failure, request, self.names.gateway.as_ref(), status, context);
        self.end_answer(failure, request, response)
    }

    /// Puts into a failure that is to be answered what is known of the call. `elapsed` is `None` if the clock was not read; a time that the failure
    /// already has stays then.
    #[inline]
    pub(crate) fn to_answer(failure: Failure, elapsed: Option<Duration>, request: &RequestContext) -> Failure {
        Self::with_upstream_of_response(failure.answered(elapsed), request)
    }

    /// The status of the answer to a failure, which is decided once. For a gRPC request it is the one that its code is said to stand for.
    #[inline]
    pub(crate) fn status(&self, failure: &Failure, request: &RequestContext) -> StatusCode {
        match request.protocol() {
            Protocol::Grpc | Protocol::GrpcWeb => failure.status(),
            Protocol::Http => self.presentation.status(failure),
        }
    }

    /// What an answer with this status has besides what the presentation knows. `is_by_accept`: `Accept` decides who has written it.
    #[inline]
    fn answer_context(
        &self,
        failure: &Failure,
        status: StatusCode,
        request: &RequestContext,
        is_by_accept: bool,
    ) -> AnswerContext {
        let proxy_status = self.names.proxy_status(failure, status, request, !self.rules.strips_proxy_status);
        AnswerContext { proxy_status, is_by_accept }
    }

    /// Reports a failure that is answered, and puts it into the extensions of the answer.
    #[inline]
    fn end_answer<B>(&self, failure: Failure, request: &RequestContext, mut response: Response<B>) -> Response<B> {
        self.observers.report_failure(&self.failure_event(&failure, request, response.status(), true));
        response.extensions_mut().insert(failure);
        response
    }

    /// Adds the upstream that the response has named, unless the failure names one itself. Middleware outside of the layer finds the
    /// name in the failure then.
    pub(crate) fn with_upstream_of_response(failure: Failure, request: &RequestContext) -> Failure {
        match request.upstream() {
            Some(upstream) if failure.upstream().is_none() => failure.with_upstream(upstream.clone()),
            _ => failure,
        }
    }
}

/// The settings that can be printed. Hooks, formats and validators are left out, and so are the fields that are added to answers.
impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("judges", &self.rules.applies_http_rules)
            .field("limits", &self.limits)
            .field("retry_after", &self.presentation.retry_after)
            .field("readers", &self.reading.readers.len())
            .field("single_attempt", &self.reading.single_attempt)
            .field("message", &self.presentation.message)
            .field("upstream", &self.names.upstream)
            .field("gateway", &self.names.gateway)
            .field("silent", &self.observers.silent)
            .finish_non_exhaustive()
    }
}
