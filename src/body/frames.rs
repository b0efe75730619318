//! What is asked of every frame of an upstream's body.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::{
    Call, Upload,
    call::{KnownLength, Stage},
    peek::{Peeked, PeekedFrame},
};
use crate::{
    classify::already_reported,
    failure::{Blame, BodyError, BoxError, Failure, FailureKind, Phase},
    policy::Policy,
};

/// Why a body goes no further.
pub(crate) enum Broken {
    /// A layer further in has told of it.
    Reported(BodyError),
    Unreported(Failure),
}

impl Call {
    /// The head is already_reported on.
    #[inline]
    pub(super) fn head_sent(&mut self, body: &impl Body, peeked: &Peeked) {
        if matches!(self.stage, Stage::Complete | Stage::Reported) {
            return;
        }
        // While the head was held the wait was ours; from now on it is only when a server asks.
        self.timer.disarm();
        // A body that panics when it is asked has not been left.
        self.stage = Stage::Reported;
        self.stage = match peeked.frame {
            PeekedFrame::Nothing if self.has_ended(body) => Stage::Complete,
            PeekedFrame::Nothing => Stage::Body,
            PeekedFrame::Data(_) | PeekedFrame::Trailers(_) => Stage::FramePeeked,
            PeekedFrame::End => Stage::Complete,
        };
    }

    /// What was seen peeked has been taken.
    pub(super) fn peeked_frame_taken(&mut self, body: &impl Body, is_last: bool) {
        if self.stage == Stage::FramePeeked {
            self.stage = Stage::Body;
        }
        if is_last { self.complete_body() } else { self.note_end(body) }
    }

    /// Servers ask no more once a body has said that it has ended.
    #[inline]
    fn note_end(&mut self, body: &impl Body) {
        if self.stage == Stage::Body && self.has_ended(body) {
            self.stage = Stage::Complete;
        }
    }

    /// Nor after trailers, whatever a body says then.
    fn complete_body(&mut self) {
        if self.stage == Stage::Body {
            self.stage = Stage::Complete;
        }
    }

    /// Asks the body for its next frame.
    #[inline]
    pub(super) fn ask<B: Body>(&mut self, body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Next<B>> {
        // Whoever panics has not left.
        let stage = mem::replace(&mut self.stage, Stage::Reported);
        let next = body.poll_frame(cx);
        self.stage = stage;
        next
    }

    /// Whether this is content that may be already_reported on, as nearly every frame is. What is not is for [`settle`](Self::settle).
    #[inline]
    pub(super) fn accepts_data(&mut self, frame: &Frame<Bytes>, body: &impl Body) -> bool {
        let Some(data) = frame.data_ref() else { return false };
        let left = match self.bytes_left.checked_sub(length(data)) {
            Some(left) => left,
            None if self.known_length == KnownLength::Binding => return false,
            None => 0,
        };
        if self.deadline.is_some() && self.is_too_late(left, body) {
            return false;
        }
        self.bytes_left = left;
        self.timer.disarm();
        self.note_end(body);
        true
    }

    /// A response that is complete now is in time.
    fn is_too_late(&self, left: u64, body: &impl Body) -> bool {
        let is_complete = if self.knows_length() { left == 0 } else { body.is_end_stream() };
        !is_complete && self.is_over()
    }

    /// What is to be made of everything else that a body may say.
    #[inline(never)]
    pub(super) fn judge_other<B>(&mut self, next: Next<B>, body: &B) -> Option<Result<Frame<Bytes>, Broken>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let failure = match next {
            None if self.is_short() => self.incomplete(),
            None if self.detects_early_end && !body.is_end_stream() => {
                Failure::new(FailureKind::HttpResponseIncomplete).with_reason("the stream was reset without an error")
            }
            None => {
                self.complete_body();
                return None;
            }
            Some(Ok(frame)) => match self.judge(frame) {
                Ok(frame) => {
                    // These are trailers. Nothing may be left of them, and nothing comes after them.
                    self.complete_body();
                    return frame.map(Ok);
                }
                Err(failure) => failure,
            },
            Some(Err(error)) => match already_reported(error.into()) {
                Ok(error) => return Some(Err(Broken::Reported(error))),
                Err(error) => {
                    let content = self.request.content(self.upload().is_some());
                    self.policy.failure(error, Phase::ResponseBody, content)
                }
            },
        };
        Some(Err(Broken::Unreported(failure)))
    }

    /// Nothing has come: the end of the time there was for it.
    #[inline(never)]
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        let limit = || self.policy.limits.idle_limit(&self.request, self.stream, self.known_length != KnownLength::No);
        ready!(self.timer.poll_within(limit, self.deadline, cx));
        let failure = if self.is_over() { self.over() } else { self.silent() };
        Poll::Ready(Broken::Unreported(failure))
    }

    /// Whether it says so itself, and nothing is missing.
    #[inline]
    pub(super) fn has_ended(&self, body: &impl Body) -> bool {
        body.is_end_stream() && !self.is_short()
    }

    /// Whether bytes are missing.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.known_length == KnownLength::Binding && self.bytes_left > 0
    }

    /// The head has been sent: tells the operator.
    pub(super) fn fail(&mut self, broken: Broken) -> BodyError {
        self.stage = Stage::Reported;
        match broken {
            Broken::Reported(error) => error,
            Broken::Unreported(failure) => {
                let failure = self.complete(failure);
                self.policy.report_body_failure(&failure, &self.request, self.status);
                BodyError::reported(failure)
            }
        }
    }

    pub(super) fn complete(&self, failure: Failure) -> Failure {
        // A client that has failed its upload has failed what came back as well.
        let failure = self.upload().and_then(Upload::failure).unwrap_or(failure);
        let failure = Policy::with_upstream_of_response(failure.with_upstream_status(self.status), &self.request);
        let failure = match self.elapsed() {
            Some(elapsed) => failure.with_elapsed(elapsed),
            None => failure,
        };
        match failure.phase() {
            Phase::RequestBody => failure,
            // Whatever broke it: it was found out by reading the body.
            _ => failure.with_phase(Phase::ResponseBody),
        }
    }

    /// What is left of a frame that was not taken: content is too late or too much, and of trailers may be left nothing.
    fn judge(&self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, Failure> {
        let mut trailers = match frame.into_trailers() {
            Ok(trailers) => trailers,
            // More than was promised: nobody knows where the message ends (RFC 9112, section 6.3).
            Err(frame) if self.is_too_much(&frame) => {
                let reason = format!("more than the {} bytes that were promised", self.length);
                return Err(Failure::new(FailureKind::HttpProtocolError).with_reason(reason));
            }
            Err(_) => {
                let failure = self.over();
                // If nobody was waiting for it, it was there, and not read in time.
                return Err(if self.timer.is_armed() { failure } else { failure.with_blame(Blame::Client) });
            }
        };
        if self.is_short() {
            return Err(self.incomplete());
        }
        let was_empty = trailers.is_empty();
        let unwanted = self.rare.as_ref().and_then(|rare| rare.trailers.as_ref());
        self.policy.rules.judge_trailers(&mut trailers, self.tidies_trailers, unwanted)?;
        Ok((was_empty || !trailers.is_empty()).then(|| Frame::trailers(trailers)))
    }

    fn is_too_much(&self, frame: &Frame<Bytes>) -> bool {
        self.known_length == KnownLength::Binding && frame.data_ref().is_some_and(|data| length(data) > self.bytes_left)
    }
}

/// What a body says when it is asked.
type Next<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

fn length(data: &Bytes) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}
