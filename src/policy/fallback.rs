//! Which fallback is asked for the answer to a failure, what it is asked with, and whether its response becomes the answer.
//!
//! | moment | method |
//! | --- | --- |
//! | the call has failed before its head was sent | [`ask_fallback`](Policy::ask_fallback) |
//! | the head of the fallback's response has come, or the fallback has panicked | [`fallback_outcome`](Policy::fallback_outcome) |
//! | the response is the answer | [`answer_by_fallback`](Policy::answer_by_fallback) |
//! | its body has broken after its head | [`report_broken_fallback`](Policy::report_broken_fallback) |
//!
//! `body` polls the fallback in between. Whether a response is valid is for the layer around the fallback to say; a response that carries a failure
//! is not.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, Uri, Version, header::ACCEPT, uri::PathAndQuery};

use super::{Policy, RequestPolicy};
use crate::{
    caught::caught,
    context::{Protocol, RequestContext},
    failure::{Blame, BodyError, Failure, FailureKind, FallbackOutcome, Phase},
    fallback_service::{EmptyBody, FailureView, FallbackBody, PendingFallback, Settings, USUAL_FIELDS},
    format::{ByScope, names_html},
    representation::describes_message,
};

/// The fallbacks of a layer.
#[derive(Clone, Default)]
pub(crate) struct Fallbacks {
    /// The fallback of all failures that have no other.
    pub(crate) default: Option<Arc<Settings>>,
    /// The fallbacks for single kinds, classes or statuses.
    pub(crate) by_scope: ByScope<Settings>,
}

impl Policy {
    /// Whether there is any fallback, so that its metrics stand at 0 from the start.
    pub(crate) fn has_fallback(&self) -> bool {
        self.fallbacks.default.is_some() || !self.fallbacks.by_scope.is_empty()
    }

    /// The fallback of a failure that is answered with this status.
    fn fallback_of(&self, failure: &Failure, status: StatusCode) -> Option<&Arc<Settings>> {
        let default = self.fallbacks.default.as_ref();
        let by_scope = self.fallbacks.by_scope.choose(failure.kind(), status);
        // A refusal must not turn into the content that was refused only because another server would give it.
        by_scope.or(default.filter(|settings| !(settings.options.keeps_status && is_refusal(failure))))
    }

    /// Whether `Accept` decides if the fallback of this failure is asked, so that the answer depends on it.
    pub(super) fn has_fallback_for_browsers(&self, failure: &Failure, status: StatusCode) -> bool {
        self.has_fallback()
            && self.fallback_of(failure, status).is_some_and(|settings| settings.options.is_for_browsers)
    }

    /// Asks the fallback of this failure, to which all is known of the call and which is answered with this status. `None` if there is none for it,
    /// or if this request is not one for fallbacks.
    ///
    /// # Errors
    ///
    /// Why it was not asked: too many are asking, or it panicked.
    pub(crate) fn ask_fallback(
        &self,
        failure: &Failure,
        status: StatusCode,
        request: &RequestContext,
    ) -> Option<Result<PendingFallback, FallbackOutcome>> {
        if !self.has_fallback() || !may_ask(request) || RequestPolicy::skips_fallback(request) {
            return None;
        }
        let settings = self.fallback_of(failure, status)?;
        if settings.options.is_for_browsers && !names_html(request.accept.as_ref()) {
            return None;
        }
        // Another server would answer another question than the one that came with this content.
        if settings.options.keeps_status && request.flags.has_content {
            return None;
        }
        let permit = match &settings.permits {
            Some(permits) => match Arc::clone(permits).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => return Some(Err(FallbackOutcome::Busy)),
            },
            None => None,
        };
        let asked = self.fallback_request(settings, failure, status, request);
        let Some(response) = caught(|| settings.service.ask(asked)) else {
            return Some(Err(panicked()));
        };
        Some(Ok(PendingFallback { settings: Arc::clone(settings), status, response, _permit: permit }))
    }

    /// The request to a fallback.
    fn fallback_request(
        &self,
        settings: &Settings,
        failure: &Failure,
        status: StatusCode,
        request: &RequestContext,
    ) -> Request<EmptyBody> {
        let mut asked = Request::new(EmptyBody);
        *asked.method_mut() = request.method().clone();
        *asked.uri_mut() = target(settings, failure.kind(), status, request);
        *asked.version_mut() = Version::HTTP_11;
        let headers = asked.headers_mut();
        if let Some(accept) = &request.accept {
            headers.insert(ACCEPT, accept.clone());
        }
        let identifiers = self.capture.iter().flat_map(|capture| &capture.request_ids);
        // There is no content that a field could describe.
        let named = settings.options.forwarded_fields.iter().filter(|name| !describes_message(name));
        for name in USUAL_FIELDS.iter().chain(identifiers).chain(named) {
            // A name may be there twice.
            if !headers.contains_key(name) {
                for value in request.fallback_lines(name) {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
        if let Some(id) = request.request_id() {
            asked.extensions_mut().insert(id.clone());
        }
        let public = self.presentation.public(failure, status, request, self.names.gateway.as_ref());
        asked.extensions_mut().insert(FailureView::from(&public));
        asked
    }

    /// What has become of a fallback whose response has come, or which has panicked.
    pub(crate) fn fallback_outcome(settings: &Settings, response: Option<&Response<FallbackBody>>) -> FallbackOutcome {
        let Some(response) = response else { return panicked() };
        match failure_of(response, settings.options.keeps_status) {
            Some(failure) => FallbackOutcome::Failed(failure),
            None => FallbackOutcome::Answered,
        }
    }

    /// Makes the answer of the response of a fallback that has [answered](FallbackOutcome::Answered), and reports the failure. `status` is the one
    /// that the fallback was asked with.
    pub(crate) fn answer_by_fallback(
        &self,
        failure: Failure,
        request: &RequestContext,
        settings: &Settings,
        status: StatusCode,
        mut response: Response<FallbackBody>,
    ) -> Response<FallbackBody> {
        self.observers.note_head();
        self.rules.strip_proxy_status(response.headers_mut());
        let status = if settings.options.keeps_status { response.status() } else { status };
        let context = self.answer_context(&failure, status, request, settings.options.is_for_browsers);
        let answer = self.presentation.respond_by_fallback(&failure, request, settings, context, status, response);
        self.end_answer(failure, request, answer)
    }

    /// Reports that the body of a fallback has broken after its head, and returns the error for the server. It is no second failure of the
    /// upstream: that was reported with the answer.
    pub(crate) fn report_broken_fallback(
        &self,
        failure: &Failure,
        error: &BodyError,
        request: &RequestContext,
        status: StatusCode,
    ) -> BodyError {
        let failure = failure.clone().with_fallback(FallbackOutcome::Broken(error.failure().clone()));
        self.observers.report_broken_fallback(&self.failure_event(&failure, request, status, false));
        BodyError::reported(error.failure().clone())
    }

    /// Reports a failure whose client has left while the fallback was asked.
    pub(crate) fn report_unanswered(&self, failure: Failure, request: &RequestContext, status: StatusCode) {
        let failure = failure.with_fallback(FallbackOutcome::Abandoned);
        self.observers.report_unanswered(&self.failure_event(&failure, request, status, false));
    }
}

/// Only a request that changes nothing and asks for content is one for a fallback. What a client of gRPC or of another protocol expects is no page.
fn may_ask(request: &RequestContext) -> bool {
    [Method::GET, Method::HEAD].contains(request.method())
        && request.protocol() == Protocol::Http
        && request.upgrade().is_none()
}

/// Whether the call was refused, and not tried in vain: by the gateway, or because of what the client has sent.
fn is_refusal(failure: &Failure) -> bool {
    const KINDS: [FailureKind; 3] =
        [FailureKind::HttpRequestDenied, FailureKind::DestinationIpProhibited, FailureKind::ProxyLoopDetected];
    KINDS.contains(&failure.kind()) || failure.blame() == Blame::Client
}

/// The target of the request to a fallback: the path that was set, with its placeholders filled in, or that of the request.
fn target(settings: &Settings, kind: FailureKind, status: StatusCode, request: &RequestContext) -> Uri {
    let path = match &settings.options.path {
        Some(path) => path.as_str().replace("{status}", status.as_str()).replace("{code}", kind.token()),
        None if settings.options.forwards_query => request.target.as_ref().map_or("", PathAndQuery::as_str).to_owned(),
        None => request.path().to_owned(),
    };
    // Digits and the letters of a token are allowed everywhere, and a part of a valid target is one, so that the default is never needed.
    path.parse().unwrap_or_default()
}

/// The failure of a fallback whose response does not become the answer.
fn failure_of(response: &Response<FallbackBody>, keeps_status: bool) -> Option<Failure> {
    if let Some(failure) = response.extensions().get::<Failure>() {
        return Some(failure.clone());
    }
    let status = response.status();
    // A part of a page (206) is no page for a client whose whole request has failed.
    let is_whole = status.is_success() && status != StatusCode::PARTIAL_CONTENT;
    let is_answer = if keeps_status { status.as_u16() < 500 } else { is_whole };
    (!is_answer).then(|| {
        Failure::new(FailureKind::ReceivedStatus)
            .with_upstream_status(status)
            .with_phase(Phase::ResponseHead)
            .with_reason(format!("the fallback has answered {}", status.as_u16()))
    })
}

/// What has become of a fallback that panicked.
fn panicked() -> FallbackOutcome {
    FallbackOutcome::Failed(Failure::new(FailureKind::ProxyInternalError).with_reason("the fallback panicked"))
}
