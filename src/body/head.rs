//! The part of a call before its head is forwarded: which limit runs, and what is made of the response or the error.
//!
//! The future calls these functions, in this order:
//!
//! | function | when | what comes out |
//! | --- | --- | --- |
//! | [`poll_service`](Call::poll_service) | at every poll, before any limit | the response or the error of the wrapped service |
//! | [`poll_limits`](Call::poll_limits) | the wrapped service is pending | a failure, when the upload has failed or a limit is over |
//! | [`classify_error`](Call::classify_error) | the wrapped service has failed | a failure |
//! | [`accept`](Call::accept) | a response has come | a [`Forward`] or a [`Rejection`] |
//! | [`poll_held_limits`](Call::poll_held_limits) | the head is held, the body pending | as `poll_limits`, with the limits of a body |
//! | `forward_head`, `forward`, `forward_without_content` | the response goes out | the response |
//! | `rejection`, `fail_head` | the response does not go out | the answer in its place, or the wait for one of a fallback |
//!
//! This file must not know which header fields make a response invalid, or how an answer is written: the policy judges
//! and writes. Which limit applies to which request is in [`Limits`]; here is from when it counts.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Response};
use http_body::Body;
use tokio::time::Instant;

use super::{BrokenBody, Call, FailedHead, FallbackCall, PeekedBody, ResponseBody, Turn, Upload, call::Stage};
use crate::{
    context::Protocol,
    failure::{BoxError, Failure, Phase, RetrySafety, TimeLimit},
    policy::{Hold, HoldBody, Limits, Policy},
    timer::{after, earlier},
    validate::Content,
};

/// What the future does with a response that was accepted.
pub(crate) enum Forward {
    /// The response goes out, with what its body has given when it was peeked.
    Response(PeekedBody),
    /// The head goes out, and the content of the body is dropped: HEAD, 204, 205 and 304 have none.
    WithoutContent,
    /// The head is held until its body has begun.
    HoldHead,
    /// The head is held with its body.
    HoldBody,
}

/// What a look at the time limits has shown.
enum LimitCheck {
    /// A limit has run out.
    Expired(Failure),
    /// None has run out, and none will before this moment.
    Until(Instant),
    /// There is no limit.
    Unlimited,
}

impl LimitCheck {
    fn at(deadline: Option<Instant>) -> Self {
        deadline.map_or(Self::Unlimited, Self::Until)
    }
}

/// Why a response does not go out.
pub(crate) enum Rejection {
    /// The head is invalid, or holds the failure of a handler.
    Head(Failure),
    /// The body is broken before its head was forwarded.
    Body(BrokenBody),
}

impl Call {
    /// Polls the wrapped service's future.
    ///
    /// # Panics
    ///
    /// If that future does. The stage is [`ReportsNothing`](Stage::ReportsNothing) then, and a drop of the call reports nothing.
    #[inline]
    pub(crate) fn poll_service<F: Future>(
        &mut self,
        service_future: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        // A future that panics, now or when it is dropped after it is ready, must not be reported as abandoned by its
        // client.
        self.stage = Stage::ReportsNothing;
        let outcome = service_future.poll(cx);
        if outcome.is_pending() {
            self.stage = Stage::Head;
        }
        outcome
    }

    /// Polls what may end the wait for the head. Ready with a failure when the client's upload has failed, or when a
    /// limit is over.
    ///
    /// The first call starts the clock, unless the wait for readiness or the call itself has. Without a limit no timer is made, and no
    /// runtime is needed.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled, if there is a limit.
    #[inline]
    pub(crate) fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        if let Some(upload) = self.answerable_upload() {
            // An upstream that waits for the rest of the upload would be waited for until the limit, and blamed. In a
            // router the handler may answer the broken upload itself, so its failure is not looked at there.
            if let Some(failure) = upload.poll_failure(cx) {
                return Poll::Ready(failure);
            }
        }
        if !mem::replace(&mut self.limits_started, true) {
            self.arm();
        }
        ready!(self.timer.poll(cx));
        self.poll_expired(cx)
    }

    /// Starts the timer at the first poll that is pending, with the least limit that this request may have. The exact
    /// limit, longer for some requests, is looked up only when that time has passed: most calls are answered before.
    #[inline]
    fn arm(&mut self) {
        let since = *self.started.get_or_insert_with(Instant::now);
        let limit = self
            .policy
            .limits
            .least_head_limit(&self.request, self.upload().is_some())
            .map(|limit| after(since, limit));
        let stream_idle = self.policy.limits.stream_idle_limit(&self.request).map(|limit| after(since, limit));
        if let Some(deadline) = earlier(earlier(limit, stream_idle), self.deadline) {
            self.timer.arm(deadline);
        }
    }

    /// Looks at the limits when the timer has run out: returns the failure, or sets the timer to the next moment at which
    /// one may be over.
    #[cold]
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        loop {
            match self.check_limits() {
                LimitCheck::Expired(failure) => return Poll::Ready(failure),
                LimitCheck::Until(deadline) => self.timer.arm(deadline),
                LimitCheck::Unlimited => self.timer.disarm(),
            }
            ready!(self.timer.poll(cx));
        }
    }

    /// Which limit is over now, or when to look again.
    ///
    /// Each stands in [`arm`](Self::arm) as well, or the least that it can be: otherwise it would be looked at too late.
    ///
    /// The deadline of head and body together is looked at first, and counts whichever side is waited for; the limit of
    /// silence in both directions of a gRPC call is the second. The head limit, the last one, depends on the upload:
    ///
    /// | upload | the head limit counts from |
    /// | --- | --- |
    /// | not watched, not begun, or failed | the start of the call, with the wait for readiness |
    /// | the client's turn | it stands still, except for CONNECT, where it counts from the start of the call |
    /// | the upstream's turn | the last part it has read, or the client's part that it has not asked for |
    /// | over | the end of the upload |
    ///
    /// The last two have the limit less the whole seconds that readiness has taken. The failure in the upstream's turn is
    /// `connection_write_timeout`, otherwise `http_response_timeout`.
    fn check_limits(&self) -> LimitCheck {
        let now = Instant::now();
        let until = self.deadline;
        if until.is_some_and(|until| until <= now) {
            let (limit, whose) = self.policy.limits.total_limit_over(&self.request);
            // The client of a gRPC call may lawfully listen, with its side open.
            let is_clients = whose == TimeLimit::Total
                && self.request.protocol() != Protocol::Grpc
                && self.upload().is_some_and(Upload::is_clients_turn);
            return LimitCheck::Expired(if is_clients {
                Limits::client_late(limit)
            } else {
                Limits::late(whose, limit)
            });
        }
        let silent_until = self.silent_until(self.started);
        if let Some((limit, _)) = silent_until.filter(|(_, until)| *until <= now) {
            return LimitCheck::Expired(Limits::late(TimeLimit::StreamIdle, limit));
        }
        let until = earlier(until, silent_until.map(|(_, until)| until));
        let Some(limit) = self.policy.limits.head_limit(&self.request, self.upload().is_some()) else {
            return LimitCheck::at(until);
        };
        let left = limit.saturating_sub(Duration::from_secs(self.request.readiness_seconds.into()));
        let again = |since| earlier(Some(after(since, left.max(TIMER_RESOLUTION))), until);
        let since = match self.upload().map(Upload::turn) {
            None | Some(Turn::Untouched | Turn::Failed(_)) => None,
            // What a client sends into a tunnel is no upload, and there is no tunnel before the head. A client that sends
            // nothing would stop the clock.
            Some(Turn::Client) if *self.request.method() == Method::CONNECT => None,
            // The upstream's turn begins now at the earliest, so the head limit cannot run out before `left` has passed from now on.
            Some(Turn::Client) => return LimitCheck::at(again(now)),
            Some(Turn::Upstream(since) | Turn::Over(since)) => Some(since),
        };
        // A call without an upload has the whole limit: its start is that of the wait for readiness.
        let deadline = match since {
            Some(since) => Some(after(since, left)),
            None => self.started.map(|since| after(since, limit)),
        };
        match deadline.filter(|deadline| *deadline > now) {
            Some(deadline) => LimitCheck::at(earlier(Some(deadline.max(after(now, TIMER_RESOLUTION))), until)),
            None if self.upload().is_some_and(Upload::is_upstreams_turn) => {
                LimitCheck::Expired(Limits::not_taken(limit))
            }
            None => LimitCheck::Expired(Limits::late(TimeLimit::Head, limit)),
        }
    }

    /// Makes a failure of an error of the wrapped service. If the client's upload has failed, that failure counts
    /// instead.
    #[cold]
    pub(crate) fn classify_error(&self, error: BoxError) -> Failure {
        let Some(upload) = self.upload() else {
            return self.policy.failure(error, Phase::ResponseHead, self.request.content(false));
        };
        if let Some(failure) = upload.failure() {
            return failure;
        }
        self.retract_not_sent(self.policy.failure(error, Phase::ResponseHead, self.request.content(true)))
    }

    /// Takes the promise "not sent" back from a failure if the wrapped service has read content of the request. An error
    /// speaks of the last attempt, and that content may have left in one before.
    fn retract_not_sent(&self, failure: Failure) -> Failure {
        let was_sent =
            failure.retry_safety() == RetrySafety::NotSent && self.upload().is_some_and(Upload::is_content_read);
        if was_sent { failure.with_retry_safety(RetrySafety::Unknown) } else { failure }
    }

    /// Judges a response, and peeks at its body if the policy says so.
    ///
    /// Fields of the head that may not be forwarded are removed from `response` here; the call [begins](Call::begin) its
    /// body.
    ///
    /// # Errors
    ///
    /// The rejection that is answered in place of the response.
    #[inline(always)] // called in one place, for every response
    pub(crate) fn accept<B>(&mut self, response: &mut Response<B>, cx: &mut Context<'_>) -> Result<Forward, Rejection>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        self.request.note_upstream(response.extensions());
        let accepted = match self.policy.judge(&self.request, response) {
            Ok(accepted) => accepted,
            Err(failure) => return Err(Rejection::Head(self.retract_not_sent(failure))),
        };
        let hold = self.policy.limits.hold(&self.request, &accepted, response);
        let is_absent = accepted.content == Content::Absent;
        // Asked before the call begins its body: a body that panics here must not be reported as a success.
        let drops_content = is_absent && accepted.enforces_length && !response.body().is_end_stream();
        self.begin(accepted, response);
        if drops_content {
            return Ok(Forward::WithoutContent);
        }
        let skips_empty = match hold {
            Hold::No => return Ok(Forward::Response(PeekedBody::default())),
            Hold::Peek => false,
            Hold::Head => true,
            Hold::Body => return Ok(Forward::HoldBody),
        };
        match (PeekedBody::poll(response.body_mut(), self, skips_empty, cx), hold) {
            (Poll::Ready(peeked), _) => peeked.map(Forward::Response).map_err(Rejection::Body),
            (Poll::Pending, Hold::Head) => Ok(Forward::HoldHead),
            (Poll::Pending, _) => Ok(Forward::Response(PeekedBody::default())),
        }
    }

    /// How long a head is held for the first byte of its body, and how much more for the rest.
    pub(crate) fn hold_limits(&self, holds_body: bool) -> (Option<Duration>, Option<HoldBody>) {
        let limits = &self.policy.limits;
        (limits.hold_head, limits.hold_body.filter(|_| holds_body))
    }

    /// Polls what may end the wait for the body of a held head: the limits of a body, then a failure of the client's
    /// upload. How long the head may be held is for the future.
    ///
    /// The order decides no failure: the call gives that of an upload in the place of that of a limit.
    pub(crate) fn poll_held_limits(&mut self, cx: &mut Context<'_>) -> Poll<BrokenBody> {
        match self.poll_body_limits(cx) {
            // An upstream may wait for the rest of an upload that has failed: without this line its silence would run into a
            // limit, and the upstream would be blamed.
            Poll::Pending => self
                .answerable_upload()
                .and_then(|upload| upload.poll_failure(cx))
                .map_or(Poll::Pending, |failure| Poll::Ready(BrokenBody::New(failure))),
            broken => broken,
        }
    }

    /// Ends a call that has no response to forward: a fallback is asked for the answer, or it is made and the failure reported.
    #[cold]
    pub(crate) fn fail_head(mut self, failure: Failure) -> FailedHead {
        self.stage = Stage::ReportsNothing;
        let elapsed = self.started.map(|since| since.elapsed());
        let failure = Policy::to_answer(failure, elapsed, &self.request);
        let status = self.policy.status(&failure, &self.request);
        let failure = match self.policy.ask_fallback(&failure, status, &self.request) {
            None => failure,
            Some(Err(outcome)) => failure.with_fallback(outcome),
            Some(Ok(fallback)) => {
                // No other limit runs any more, and the next wait for this one may be in another task.
                self.deadline = self.deadline_of_fallback();
                self.timer.forget_task();
                return FailedHead::Fallback(Box::new(FallbackCall::new(self, failure, fallback)));
            }
        };
        FailedHead::Answer(self.policy.answer(failure, &self.request, status))
    }

    /// The failure of a response that does not go out. If its body is broken, what the `Proxy-Status` of that response says of
    /// other hops goes into the failure ([RFC 9209](https://www.rfc-editor.org/rfc/rfc9209)); of a rejected head it is there already.
    #[cold]
    pub(crate) fn rejection<B>(&self, rejected: Rejection, response: Response<B>) -> Failure {
        let (head, body) = response.into_parts();
        // Dropped first: while the answer is written and hooks run, the upstream's connection would stay in use for
        // nothing.
        drop(body);
        let failure = match rejected {
            Rejection::Head(failure) => return failure,
            Rejection::Body(BrokenBody::ReportedInside(error)) => error.failure().clone(),
            Rejection::Body(BrokenBody::New(failure)) => self.with_call_details(failure),
        };
        Policy::with_received_proxy_status(failure, &Response::from_parts(head, ()))
    }

    /// Prepares the head of a response that the future returns next: removes `Proxy-Status` if the layer is set to, and
    /// notes the head as forwarded, so that its client counts as answered.
    #[inline(always)] // called in one place, for nearly every response
    pub(crate) fn forward_head<B: Body>(&mut self, response: &mut Response<B>, peeked: &PeekedBody) {
        self.policy.rules.strip_proxy_status(response.headers_mut());
        self.policy.observers.note_head();
        self.head_sent(response.body(), peeked);
    }

    /// Forwards a response whose head was held, and moves the call into its body. Nearly every other response is forwarded by
    /// `forward_or_settle` in `future`, which copies the call once less.
    #[cold]
    pub(crate) fn forward<B: Body>(
        mut self,
        mut response: Response<B>,
        peeked: PeekedBody,
    ) -> Response<ResponseBody<B>> {
        // While the head was held, the layer itself was waiting for the body. A clock that went on would blame the
        // upstream for the time in which the server sends the head and does not poll the body; and another task may
        // poll it.
        self.timer.forget_task();
        self.forward_head(&mut response, &peeked);
        response.map(|body| ResponseBody::upstream(body, peeked, Some(self)))
    }

    /// Forwards a head without the content of its body. In answer to a HEAD the size hint stays, from which a server
    /// makes a `Content-Length`.
    ///
    /// The upstream's body is dropped, and the call with it, as complete.
    #[cold]
    pub(crate) fn forward_without_content<B: Body>(self, mut response: Response<B>) -> Response<ResponseBody<B>> {
        self.policy.rules.strip_proxy_status(response.headers_mut());
        self.policy.observers.note_head();
        let is_head = self.request.method() == Method::HEAD;
        response.map(
            |body| {
                if is_head { ResponseBody::absent(body.size_hint()) } else { ResponseBody::own(Bytes::new()) }
            },
        )
    }
}

/// The finest step of tokio's timer. Without it a limit of zero would be looked at in an endless loop while it is the
/// client's turn.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);
