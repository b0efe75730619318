//! The part of a call before its head is passed on: who is waited for, and what is made of what comes.

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

use super::{Broken, Call, Peeked, ResponseBody, Turn, Upload, call::Stage};
use crate::{
    failure::{BoxError, Failure, Phase, RetrySafety, TimeLimit},
    policy::{Limits, Policy},
    timer::{after, earlier},
    validate::Content,
};

/// What is to be done with a response that was accepted.
pub(crate) enum Forward {
    /// It goes out, with what its body has given when it was peeked at.
    Response(Peeked),
    /// Its head goes out, and whatever its body says is not for the client.
    WithoutContent,
    /// Its head is held so long, or until its body has begun.
    Hold(Duration),
}

/// Why a response does not go out.
pub(crate) enum Rejected {
    Head(Failure),
    Body(Broken),
}

impl Call {
    /// Asks the wrapped service.
    #[inline]
    pub(crate) fn poll_service<F: Future>(&mut self, call: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // If it panics, now or when it is dropped, nobody has left.
        self.stage = Stage::Reported;
        let outcome = call.poll(cx);
        if outcome.is_pending() {
            self.stage = Stage::Head;
        }
        outcome
    }

    /// Nothing has come: ends with the failure of whoever is waited for too long.
    #[inline]
    pub(crate) fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        if let Some(upload) = self.upload().filter(|_| self.policy.rules.framing) {
            // The client's own fault: whatever an upstream is waiting for, it will not come. A handler may have its own answer to that.
            if let Some(failure) = upload.poll_failure(cx) {
                return Poll::Ready(failure);
            }
        }
        if !mem::replace(&mut self.request.flags.has_waited, true) {
            self.arm();
        }
        ready!(self.timer.poll(cx));
        self.late(cx)
    }

    /// The first wait. Which limit it is exactly is looked up when time is up: most calls are answered before.
    #[inline]
    fn arm(&mut self) {
        let since = *self.started.get_or_insert_with(Instant::now);
        let limit = self
            .policy
            .limits
            .least_head_limit(&self.request, self.upload().is_some())
            .map(|limit| after(since, limit));
        if let Some(deadline) = earlier(limit, self.deadline) {
            self.timer.arm(deadline);
        }
    }

    /// It is time to look whose time is up.
    #[cold]
    fn late(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        loop {
            match self.overdue() {
                Ok(failure) => return Poll::Ready(failure),
                Err(Some(deadline)) => self.timer.arm(deadline),
                Err(None) => self.timer.disarm(),
            }
            ready!(self.timer.poll(cx));
        }
    }

    /// Whose time is up, or when to look again, if ever.
    fn overdue(&self) -> Result<Failure, Option<Instant>> {
        let now = Instant::now();
        let until = self.deadline;
        if until.is_some_and(|until| until <= now) {
            let (limit, whose) = self.policy.limits.total_limit_over(&self.request);
            let is_clients = whose == TimeLimit::Total && self.upload().is_some_and(Upload::is_clients);
            return Ok(if is_clients { Limits::client_late(limit) } else { Limits::late(whose, limit) });
        }
        let Some(limit) = self.policy.limits.head_limit(&self.request, self.upload().is_some()) else {
            return Err(until);
        };
        let left = limit.saturating_sub(Duration::from_secs(self.request.waited_seconds.into()));
        let again = |since| earlier(Some(after(since, left.max(FINEST))), until);
        let since = match self.upload().map(Upload::turn) {
            None | Some(Turn::Untouched | Turn::Failed(_)) => None,
            // What goes through a tunnel is no upload, and there is none yet.
            Some(Turn::Client) if *self.request.method() == Method::CONNECT => None,
            // Whenever it is the upstream's turn again, its time will not be up before this.
            Some(Turn::Client) => return Err(again(now)),
            Some(Turn::Upstream(since) | Turn::Over(since)) => Some(since),
        };
        // Of a call without an upload the whole limit counts, from its first wait.
        let deadline = match since {
            Some(since) => Some(after(since, left)),
            None => self.started.map(|since| after(since, limit)),
        };
        match deadline.filter(|deadline| *deadline > now) {
            Some(deadline) => Err(earlier(Some(deadline.max(after(now, FINEST))), until)),
            None if self.upload().is_some_and(Upload::is_under_way) => Ok(Limits::not_taken(limit)),
            None => Ok(Limits::late(TimeLimit::Head, limit)),
        }
    }

    /// Reads an error of the wrapped service, unless the client has failed it.
    #[cold]
    pub(crate) fn read(&self, error: BoxError) -> Failure {
        let Some(upload) = self.upload() else {
            return self.policy.failure(error, Phase::ResponseHead, self.request.content(false));
        };
        if let Some(failure) = upload.failure() {
            return failure;
        }
        self.take_back(self.policy.failure(error, Phase::ResponseHead, self.request.content(true)))
    }

    /// Content that was handed over for an attempt has left, whatever the last one says.
    fn take_back(&self, failure: Failure) -> Failure {
        let was_sent = failure.retry_safety() == RetrySafety::NotSent && self.upload().is_some_and(Upload::is_taken);
        if was_sent { failure.with_retry_safety(RetrySafety::Unknown) } else { failure }
    }

    /// Looks at a response before anyone believes it.
    ///
    /// # Errors
    ///
    /// What is answered in its place.
    #[inline(always)] // in one place, on the way of every response
    pub(crate) fn accept<B>(&mut self, response: &mut Response<B>, cx: &mut Context<'_>) -> Result<Forward, Rejected>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        self.request.note_upstream(response.extensions());
        let accepted = match self.policy.judge(&self.request, response) {
            Ok(accepted) => accepted,
            Err(failure) => return Err(Rejected::Head(self.take_back(failure))),
        };
        let hold = self.policy.limits.hold(&self.request, &accepted, response);
        let is_absent = accepted.content == Content::Absent;
        let counts = accepted.counts;
        self.begin(accepted, response);
        if is_absent && counts && !response.body().is_end_stream() {
            return Ok(Forward::WithoutContent);
        }
        let Some(limit) = hold else { return Ok(Forward::Response(Peeked::default())) };
        match Peeked::poll(response.body_mut(), self, cx) {
            Poll::Ready(peeked) => peeked.map(Forward::Response).map_err(Rejected::Body),
            Poll::Pending if limit.is_zero() => Ok(Forward::Response(Peeked::default())),
            Poll::Pending => Ok(Forward::Hold(limit)),
        }
    }

    /// The body of a head that is held has not begun: ends with the failure of whoever is waited for too long.
    pub(crate) fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        match self.wait(cx) {
            // The client's own fault.
            Poll::Pending => self
                .upload()
                .and_then(|upload| upload.poll_failure(cx))
                .map_or(Poll::Pending, |failure| Poll::Ready(Broken::Unreported(failure))),
            broken => broken,
        }
    }

    /// The answer to a call that has no response.
    #[cold]
    pub(crate) fn answer(&mut self, failure: Failure) -> Response<Bytes> {
        self.stage = Stage::Reported;
        let elapsed = self.started.map(|since| since.elapsed());
        self.policy.answer(failure, elapsed, &self.request)
    }

    /// The answer in place of a response that does not go out. Its body goes first: its connection is of no use to anyone.
    #[cold]
    pub(crate) fn answer_for<B>(&mut self, rejected: Rejected, response: Response<B>) -> Response<Bytes> {
        let (head, body) = response.into_parts();
        drop(body);
        let failure = match rejected {
            Rejected::Head(failure) => return self.answer(failure),
            Rejected::Body(Broken::Reported(error)) => error.failure().clone(),
            Rejected::Body(Broken::Unreported(failure)) => self.complete(failure),
        };
        self.answer(Policy::with_received_proxy_status(failure, &Response::from_parts(head, ())))
    }

    /// A response is passed on.
    #[inline(always)] // in one place, on the way of every response
    pub(crate) fn forward_head<B: Body>(&mut self, response: &mut Response<B>, peeked: &Peeked) {
        self.policy.rules.strip(response.headers_mut());
        self.head_sent(response.body(), peeked);
    }

    #[cold]
    pub(crate) fn forward<B: Body>(mut self, mut response: Response<B>, peeked: Peeked) -> Response<ResponseBody<B>> {
        self.forward_head(&mut response, &peeked);
        response.map(|body| ResponseBody::upstream(body, peeked, Some(self)))
    }

    /// Passes a head on whose content is not for the client, whatever the body says.
    #[cold]
    pub(crate) fn forward_without_content<B: Body>(self, mut response: Response<B>) -> Response<ResponseBody<B>> {
        self.policy.rules.strip(response.headers_mut());
        let is_head = self.request.method() == Method::HEAD;
        response.map(
            |body| {
                if is_head { ResponseBody::absent(body.size_hint()) } else { ResponseBody::own(Bytes::new()) }
            },
        )
    }
}

/// No timer is finer than this.
const FINEST: Duration = Duration::from_millis(1);
