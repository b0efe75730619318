//! What is decided of a call: which limits apply, whether a response passes, what is answered instead, who is told.

mod identity;
mod limits;
mod observe;
mod presentation;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use http_body::Body;

pub(crate) use self::limits::{Limit, Limits};
use self::{identity::Identity, presentation::Presentation};
#[cfg(all(feature = "axum", feature = "tracing"))]
use crate::hooks::Unreported;
use crate::{
    classify::{self, Classify},
    context::{CaptureOptions, RequestContent, RequestContext},
    failure::{BoxError, Failure, Phase, RetrySafety},
    hooks::Observers,
    proxy_status,
    validate::{Accepted, Rules},
};

/// Everything that was set of a layer, behind one `Arc`. A healthy call reads the first four parts; what runs only after a failure
/// is `dyn`.
#[derive(Clone)]
pub(crate) struct Policy {
    /// What is read of a request that few layers ask for.
    pub(crate) capture: Option<Box<CaptureOptions>>,
    pub(crate) rules: Rules,
    pub(crate) limits: Limits,
    pub(crate) observers: Observers,
    pub(crate) reading: Reading,
    pub(crate) presentation: Presentation,
    pub(crate) identity: Identity,
}

/// How errors are read.
#[derive(Clone, Default)]
pub(crate) struct Reading {
    /// Those of the user, which are asked before ours.
    pub(crate) readers: Vec<Arc<dyn Classify>>,
    /// Whether the wrapped service makes one attempt a call: then what an error says of an attempt is true of the call.
    pub(crate) single_attempt: bool,
}

impl Policy {
    /// The settings of [`BadGatewayLayer::new`](crate::BadGatewayLayer::new).
    pub(crate) fn for_upstream() -> Self {
        Self {
            capture: None,
            rules: Rules { framing: true, ..Rules::default() },
            limits: Limits::for_upstream(),
            observers: Observers::default(),
            reading: Reading::default(),
            presentation: Presentation::default(),
            identity: Identity::default(),
        }
    }

    /// The settings of [`BadGatewayLayer::for_router`](crate::BadGatewayLayer::for_router).
    pub(crate) fn for_router() -> Self {
        Self { rules: Rules::default(), limits: Limits::for_router(), ..Self::for_upstream() }
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
            self.observers.answered();
            return Ok(Accepted::answered_further_in());
        }
        let judged = self.rules.judge(request, response);
        if judged.is_ok() {
            self.observers.answered();
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
        self.with_retry_safety_of_call(classify::failure(error, seen_in, content, &self.reading.readers), seen_in)
    }

    /// An error, and a failure made of one, says whether *the attempt that failed* was sent. Something inside may have made
    /// others before it, whose orders were taken.
    fn with_retry_safety_of_call(&self, failure: Failure, seen_in: Phase) -> Failure {
        let known = match seen_in {
            // The request has not been handed over.
            Phase::Readiness => RetrySafety::NotSent,
            // There was a head: the request was processed, at least in part.
            Phase::ResponseBody => RetrySafety::Unknown,
            _ if self.reading.single_attempt => failure.retry_safety(),
            _ => RetrySafety::Unknown,
        };
        if failure.retry_safety() == known { failure } else { failure.with_retry_safety(known) }
    }

    /// Makes the answer to a failure, and reports it.
    pub(crate) fn answer(
        &self,
        failure: Failure,
        elapsed: Option<Duration>,
        request: &RequestContext,
    ) -> Response<Bytes> {
        self.observers.answered();
        let failure = Self::with_upstream_of_response(failure.answered(elapsed), request);
        let proxy_status =
            |status| self.identity.proxy_status(&failure, status, request, !self.rules.strips_proxy_status);
        let mut response = self.presentation.respond(&failure, request, self.identity.gateway.as_ref(), proxy_status);
        self.observers.failed(&self.failure_event(&failure, request, response.status()));
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
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("judges", &self.rules.framing)
            .field("limits", &self.limits)
            .field("retry_after", &self.presentation.retry_after)
            .field("readers", &self.reading.readers.len())
            .field("single_attempt", &self.reading.single_attempt)
            .field("message", &self.presentation.message)
            .field("upstream", &self.identity.upstream)
            .field("gateway", &self.identity.gateway)
            .field("silent", &self.observers.silent)
            .finish_non_exhaustive()
    }
}
