//! A call whose answer comes from a fallback: the wait for the head of the fallback, and its body.
//!
//! The policy asks the fallback, judges its response and reports; here it is polled. A fallback that panics must not take the answer with it.
//! The time limits of the fallback are in the layer around it; here only the limit for head and body together goes on.

use std::{
    task::{Context, Poll, ready},
    thread,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::{BodyError, Call, ResponseBody};
use crate::{
    caught::caught,
    failure::{Failure, FallbackOutcome, Phase},
    fallback_service::{FallbackBody, PendingFallback},
    policy::{Limits, Policy},
    timer::after,
};

/// How a call ends that has failed before its head.
pub(crate) enum FailedHead {
    /// With an answer in a format.
    Answer(Response<Bytes>),
    /// A fallback is asked for the answer.
    Fallback(Box<FallbackCall>),
}

/// A call that has failed and is not answered yet. `None` once it is.
pub(crate) struct FallbackCall(Option<FailedCall>);

struct FailedCall {
    call: Call,
    failure: Failure,
    fallback: PendingFallback,
}

impl FallbackCall {
    pub(super) fn new(call: Call, failure: Failure, fallback: PendingFallback) -> Self {
        Self(Some(FailedCall { call, failure, fallback }))
    }

    /// Polls the fallback for its head. Ready with the answer: of the fallback, or in a format if it has failed.
    pub(crate) fn poll<B>(&mut self, cx: &mut Context<'_>) -> Poll<Response<ResponseBody<B>>> {
        let Some(failed) = &mut self.0 else { return Poll::Pending };
        let polled = caught(|| failed.fallback.response.poll(cx));
        let is_late = matches!(polled, Some(Poll::Pending));
        if is_late {
            ready!(failed.call.poll_deadline_of_fallback(cx));
        }
        let Some(FailedCall { mut call, failure, fallback }) = self.0.take() else { return Poll::Pending };
        // The body may be read in another task.
        call.timer.release();
        let PendingFallback { settings, status, response: future, _permit } = fallback;
        // It is dropped before hooks run, as that of an upstream; after a panic it may panic once more.
        caught(|| drop(future));
        let response = match polled {
            Some(Poll::Ready(response)) => Some(response),
            Some(Poll::Pending) | None => None,
        };
        let outcome = if is_late {
            FallbackOutcome::Failed(call.deadline_over_for_fallback())
        } else {
            Policy::fallback_outcome(&settings, response.as_ref())
        };
        let is_answer = matches!(outcome, FallbackOutcome::Answered);
        let (failure, policy, request) = (failure.with_fallback(outcome), &call.policy, &call.request);
        Poll::Ready(match response {
            Some(response) if is_answer => {
                let response = policy.answer_by_fallback(failure.clone(), request, &settings, status, response);
                let status = response.status();
                let keeps_trailers = settings.options.keeps_all_fields;
                response.map(|body| {
                    ResponseBody::of_fallback(FallbackContent { body, failure, call, status, keeps_trailers })
                })
            }
            refused => {
                caught(|| drop(refused));
                policy.answer(failure, request, status).map(ResponseBody::own)
            }
        })
    }
}

impl Call {
    /// When the time for head and body together is over for a fallback, too; `None` if there is no such limit, or if it is over already.
    pub(super) fn deadline_of_fallback(&self) -> Option<Instant> {
        let now = Instant::now();
        // A call that was refused, since its service was not ready, has no deadline yet.
        let begins = || self.policy.limits.total_limit(&self.request).map(|(limit, _)| after(now, limit));
        self.deadline.or_else(begins).filter(|deadline| *deadline > now)
    }

    /// Polls that time while a fallback is waited for. Ready when it is over.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled, if there is such a limit.
    fn poll_deadline_of_fallback(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll_within(|| None, self.deadline, cx)
    }

    /// The failure of a fallback that was not complete when that time was over.
    fn deadline_over_for_fallback(&self) -> Failure {
        let (limit, whose) = self.policy.limits.total_limit_over(&self.request);
        Limits::body_late(whose, limit, "the fallback was ")
    }
}

/// The client has left while the fallback was asked. What its call has failed of is reported all the same.
impl Drop for FallbackCall {
    fn drop(&mut self) {
        let Some(failed) = self.0.take().filter(|_| !thread::panicking()) else { return };
        let FailedCall { call, failure, fallback } = failed;
        let status = fallback.status;
        caught(|| drop(fallback));
        caught(|| call.policy.report_unanswered(failure, &call.request, status));
    }
}

/// The content of an answer of the layer. One state of the body has both, since each state that a body may be in costs a frame instructions.
pub(super) enum OwnContent {
    /// What a format has written.
    Bytes(Bytes),
    /// What a fallback sends. Boxed, since it would make every body larger.
    Fallback(Box<FallbackContent>),
}

impl OwnContent {
    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Bytes(content) => content.is_empty(),
            Self::Fallback(content) => content.is_end_stream(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(content) => SizeHint::with_exact(u64::try_from(content.len()).unwrap_or(u64::MAX)),
            Self::Fallback(content) => content.size_hint(),
        }
    }
}

/// The content of an answer that comes from a fallback.
pub(super) struct FallbackContent {
    body: FallbackBody,
    /// What the call has failed of.
    failure: Failure,
    /// Kept for the report of a body that breaks, and because the call is in flight until then.
    call: Call,
    /// The status of the answer.
    status: StatusCode,
    /// Whether trailers go out as well: of a second upstream, all of whose fields do.
    keeps_trailers: bool,
}

impl FallbackContent {
    /// Polls for the next frame.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut next = match self.body.poll_frame(cx) {
            Poll::Ready(Some(Ok(_))) if self.call.is_past_deadline() && !self.body.is_end_stream() => {
                Some(Err(self.deadline_over()))
            }
            Poll::Ready(next) => next,
            Poll::Pending => {
                ready!(self.call.poll_deadline_of_fallback(cx));
                Some(Err(self.deadline_over()))
            }
        };
        if let Some(trailers) = next.as_mut().and_then(|frame| frame.as_mut().ok()?.trailers_mut()) {
            if !self.keeps_trailers {
                return Poll::Ready(None);
            }
            self.call.policy.rules.strip_proxy_status(trailers);
        }
        Poll::Ready(next)
    }

    /// The error of a body that was not complete when the time for head and body together was over.
    fn deadline_over(&self) -> BodyError {
        self.call.deadline_over_for_fallback().with_phase(Phase::ResponseBody).into()
    }

    /// Reports that the body has broken after its head.
    pub(super) fn report(&self, error: &BodyError) -> BodyError {
        self.call.policy.report_broken_fallback(&self.failure, error, &self.call.request, self.status)
    }

    /// Whether an error of the body has to wait until the head is out.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.call.is_multiplexed()
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
