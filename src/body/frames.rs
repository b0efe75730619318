//! What is checked of every frame of an upstream's body, after its head was forwarded and while the head is held.
//!
//! One poll of the response body goes this way:
//!
//! 1. [`poll_body`](Call::poll_body) polls the upstream's body;
//! 2. [`accepts_data`](Call::accepts_data) takes content that is in time and within the promised length, which nearly
//!    every frame is;
//! 3. [`judge_uncommon`](Call::judge_uncommon) makes a frame, the end or a failure of the rest;
//! 4. [`poll_body_limits`](Call::poll_body_limits) looks at the clocks, if the upstream's body was pending;
//! 5. [`fail`](Call::fail) reports a failure of a body whose head was forwarded; of a gRPC body that may end in trailers,
//!    [`end_in_trailers`](Call::end_in_trailers) does.
//!
//! Steps 1 to 4 also run while a head is held, and 1 to 3 while it is peeked, when a failure still becomes an answer; so step 5 is for the
//! caller. Of a frame this file knows its length and whether it holds trailers. The rules for fields in trailers are in the policy, those
//! of gRPC in its dialect, and errors are read by the policy.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::{
    Call, Upload,
    call::{LengthRule, Stage},
    peek::{PeekedBody, PeekedFrame},
};
use crate::{
    classify::already_reported,
    dialect::grpc,
    failure::{Blame, BodyError, BoxError, Failure, FailureKind, Phase, TimeLimit},
    policy::{Limits, Policy},
    timer::{after, earlier},
    validate::{GrpcStatus, Trailers},
};

/// Why a body is not forwarded any further.
pub(crate) enum BrokenBody {
    /// A layer further in has met the failure and reported it: this layer forwards the error as it is, or answers it, and reports it again, where it
    /// still holds the head.
    ReportedInside(BodyError),
    /// A failure that this layer has met. It still lacks the [details of the call](Call::with_call_details).
    New(Failure),
}

impl Call {
    /// Notes that the head is forwarded now, and chooses the stage by what was peeked: see the table of [`Stage`]. Called right before the
    /// future returns the response.
    ///
    /// A call that is complete or reported stays so.
    #[inline]
    pub(super) fn head_sent(&mut self, body: &impl Body, peeked: &PeekedBody) {
        if matches!(self.stage, Stage::Complete | Stage::ReportsNothing) {
            return;
        }
        // A body that panics in `is_end_stream` must not be reported as abandoned by its client.
        self.stage = Stage::ReportsNothing;
        self.stage = match peeked.frame {
            PeekedFrame::Nothing if self.has_ended(body) => Stage::Complete,
            PeekedFrame::Nothing => Stage::Body,
            PeekedFrame::Data(_) | PeekedFrame::Trailers(_) | PeekedFrame::Whole(_) => Stage::FramePeeked,
            PeekedFrame::End => Stage::Complete,
        };
    }

    /// Notes that the server has taken the peeked frame. `is_last`: nothing of the body comes after it.
    pub(super) fn peeked_frame_taken(&mut self, body: &impl Body, is_last: bool) {
        if self.stage == Stage::FramePeeked {
            self.stage = Stage::Body;
        }
        if is_last { self.complete_body() } else { self.note_end(body) }
    }

    /// Completes the call if the body calls itself ended and no byte is missing. Servers do not poll such a body again,
    /// so that the end itself is never seen.
    #[inline]
    fn note_end(&mut self, body: &impl Body) {
        if self.stage == Stage::Body && self.has_ended(body) {
            self.stage = Stage::Complete;
        }
    }

    /// Completes the call after trailers or the end, also of a body whose `is_end_stream` stays `false`.
    fn complete_body(&mut self) {
        if self.stage == Stage::Body {
            self.stage = Stage::Complete;
        }
    }

    /// Polls the body for its next frame.
    ///
    /// # Panics
    ///
    /// If the body does. The stage is [`ReportsNothing`](Stage::ReportsNothing) then, and a drop of the call reports nothing.
    #[inline]
    pub(super) fn poll_body<B: Body>(&mut self, body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Next<B>> {
        // A body that panics must not be reported as abandoned by its client.
        let stage = mem::replace(&mut self.stage, Stage::ReportsNothing);
        let next = body.poll_frame(cx);
        self.stage = stage;
        next
    }

    /// Whether this frame is content that may be forwarded, as nearly every frame is. Then the frame is counted and the
    /// idle timer stops.
    ///
    /// Returns `false` for trailers, for more bytes than a binding length allows, and for content after the deadline;
    /// nothing is counted then, and the frame is for [`judge_uncommon`](Self::judge_uncommon).
    #[inline(always)] // for every frame: as a call it is 23 instructions more
    pub(super) fn accepts_data(&mut self, frame: &Frame<Bytes>, body: &impl Body) -> bool {
        let Some(data) = frame.data_ref() else { return false };
        let left = match self.bytes_left.checked_sub(length(data)) {
            Some(left) => left,
            None if self.length_rule == LengthRule::Enforced => return false,
            None => 0,
        };
        if self.deadline.is_some() && self.is_too_late(left, body) {
            return false;
        }
        self.bytes_left = left;
        self.timer.disarm();
        if self.grpc.status != GrpcStatus::NotDue {
            return self.follow_messages(data, body);
        }
        self.note_end(body);
        true
    }

    /// Reads on in the messages of a gRPC body. Out of line, and the last thing that is done with a frame: otherwise the
    /// frames of plain HTTP would pay for what it needs.
    #[inline(never)]
    fn follow_messages(&mut self, data: &[u8], body: &impl Body) -> bool {
        self.grpc.follow(data);
        self.note_end(body);
        true
    }

    /// Whether the deadline has passed and content is still missing. A response whose last byte is in this frame is
    /// in time.
    fn is_too_late(&self, left: u64, body: &impl Body) -> bool {
        let is_complete = if self.knows_length() { left == 0 } else { body.is_end_stream() };
        !is_complete && self.is_past_deadline()
    }

    /// Decides what is made of everything but [accepted](Self::accepts_data) content. `None` is a clean end.
    ///
    /// | the body gives | outcome |
    /// | --- | --- |
    /// | the end, with bytes missing from a length that is enforced | `HttpResponseIncomplete` |
    /// | the end, without `is_end_stream`, where that tells of a reset | `HttpResponseIncomplete` |
    /// | the end otherwise | the end |
    /// | trailers | the trailers without fields that may not stand there; the end, if none is left |
    /// | trailers, with bytes missing | `HttpResponseIncomplete` |
    /// | trailers above a limit of the user's | the kind of that limit |
    /// | the end, or trailers, without the status that a gRPC call is owed | `HttpProtocolError` |
    /// | success inside of a gRPC message, in trailers or in a head before | `HttpResponseIncomplete` |
    /// | content beyond a length that is enforced | `HttpProtocolError` |
    /// | content after the deadline | `HttpResponseTimeout` |
    /// | the error of a layer further in that was reported | that error |
    /// | any other error | as the readers say |
    #[inline(never)]
    pub(super) fn judge_uncommon<B>(&mut self, next: Next<B>, body: &B) -> Option<Result<Frame<Bytes>, BrokenBody>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let failure = match next {
            None if self.is_short() => self.incomplete_failure(),
            None if self.end_rules.detects_early_end && !body.is_end_stream() => {
                Failure::new(FailureKind::HttpResponseIncomplete).with_reason("the stream was reset without an error")
            }
            None if matches!(self.grpc.status, GrpcStatus::Due(_)) => {
                grpc::missing_status(self.grpc.messages.is_between())
            }
            None => {
                self.complete_body();
                return None;
            }
            Some(Ok(frame)) => match self.judge_refused_frame(frame) {
                Ok(frame) => {
                    self.grpc.status = GrpcStatus::NotDue;
                    // A frame that is not a failure here is trailers, which are the last frame of a body. The wait for them is over.
                    self.timer.disarm();
                    self.complete_body();
                    return frame.map(Ok);
                }
                Err(failure) => failure,
            },
            Some(Err(error)) => match already_reported(error.into()) {
                Ok(error) => return Some(Err(BrokenBody::ReportedInside(error))),
                Err(error) => {
                    let content = self.request.content(self.upload().is_some());
                    self.policy.failure(error, Phase::ResponseBody, content)
                }
            },
        };
        Some(Err(BrokenBody::New(failure)))
    }

    /// Polls the limits of a body that is pending. Ready when the idle timeout or the deadline is over; for a gRPC call that
    /// has a stream idle timeout, that one takes the place of the idle timeout.
    ///
    /// The idle timeout counts from the first such poll after the last accepted frame. So does the stream idle timeout, or
    /// from the last frame of the client if that came later. The failure is that of the deadline if both are over.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled, if there is a limit.
    #[inline(never)]
    pub(super) fn poll_body_limits(&mut self, cx: &mut Context<'_>) -> Poll<BrokenBody> {
        if self.policy.limits.stream_idle_limit(&self.request).is_some() {
            return self.poll_stream_idle(cx);
        }
        let limit =
            || self.policy.limits.idle_limit(&self.request, self.body_kind, self.length_rule != LengthRule::Unknown);
        ready!(self.timer.poll_within(limit, self.deadline, cx));
        let failure = if self.is_past_deadline() { self.total_failure() } else { self.idle_failure() };
        Poll::Ready(BrokenBody::New(failure))
    }

    /// Polls the limit of silence in both directions, and the deadline.
    #[cold]
    fn poll_stream_idle(&mut self, cx: &mut Context<'_>) -> Poll<BrokenBody> {
        loop {
            let limit = self.policy.limits.stream_idle_limit(&self.request);
            ready!(self.timer.poll_within(|| limit, self.deadline, cx));
            if self.is_past_deadline() {
                return Poll::Ready(BrokenBody::New(self.total_failure()));
            }
            // The client may have sent something since this wait began.
            match self.silent_until(None).filter(|(_, until)| *until > Instant::now()) {
                Some((_, until)) => self.timer.arm(earlier(Some(until), self.deadline).unwrap_or(until)),
                None => {
                    let limit = limit.unwrap_or_default();
                    return Poll::Ready(BrokenBody::New(Limits::late(TimeLimit::StreamIdle, limit)));
                }
            }
        }
    }

    /// Until when both directions may be silent, counted from the client's last frame or from `since`, if that is later, with the limit.
    pub(super) fn silent_until(&self, since: Option<Instant>) -> Option<(Duration, Instant)> {
        let limit = self.policy.limits.stream_idle_limit(&self.request)?;
        let last = self.upload().and_then(Upload::last_frame).max(since)?;
        Some((limit, after(last, limit)))
    }

    /// Whether a body that is held calls itself ended, and nothing that it owes is missing. One that panics is not reported as abandoned.
    pub(crate) fn says_it_has_ended(&mut self, body: &impl Body) -> bool {
        let stage = mem::replace(&mut self.stage, Stage::ReportsNothing);
        let has_ended = self.has_ended(body);
        self.stage = stage;
        has_ended
    }

    /// Whether the body calls itself ended and nothing that it owes is missing.
    #[inline]
    pub(super) fn has_ended(&self, body: &impl Body) -> bool {
        body.is_end_stream() && !self.owes_more()
    }

    /// Whether bytes of a binding length are missing, or the status of a gRPC call.
    #[inline]
    pub(super) fn owes_more(&self) -> bool {
        self.is_short() || matches!(self.grpc.status, GrpcStatus::Due(_))
    }

    /// Whether bytes of a binding length are missing.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.length_rule == LengthRule::Enforced && self.bytes_left > 0
    }

    /// Ends a body whose head was forwarded, and returns the error for the server. `on_body_failure`, the log and the
    /// metrics hear of the failure here, unless a layer further in has reported it.
    pub(super) fn fail(&mut self, broken: BrokenBody) -> BodyError {
        self.stage = Stage::ReportsNothing;
        match broken {
            BrokenBody::ReportedInside(error) => error,
            BrokenBody::New(failure) => {
                self.policy.report_body_failure(self.with_call_details(failure), &self.request, self.status)
            }
        }
    }

    /// Ends a gRPC body in trailers that carry the failure, where its caller gets and understands them: between two messages, if
    /// trailers reach the client. `None` elsewhere: there the body has to be aborted.
    ///
    /// The failure is reported as by [`fail`](Self::fail).
    pub(super) fn end_in_trailers(&mut self, broken: &BrokenBody) -> Option<HeaderMap> {
        let are_carried =
            matches!(self.grpc.status, GrpcStatus::Due(Trailers::Any) | GrpcStatus::DueAfterContent(Trailers::Any));
        if !are_carried || !self.grpc.messages.is_between() {
            return None;
        }
        self.stage = Stage::ReportsNothing;
        let (failure, is_reported) = match broken {
            BrokenBody::ReportedInside(error) => (error.failure().clone(), true),
            BrokenBody::New(failure) => (self.with_call_details(failure.clone()), false),
        };
        Some(self.policy.end_in_trailers(&failure, &self.request, self.status, is_reported))
    }

    /// Adds to a failure what the call knows: status and name of the upstream, the elapsed time if durations are
    /// measured, and the phase.
    ///
    /// A failure of the client's upload replaces the one given.
    pub(super) fn with_call_details(&self, failure: Failure) -> Failure {
        // hyper's HTTP/1 client breaks off the response when the upload fails. Without this line the upstream would be
        // blamed for its client.
        let failure = self.answerable_upload().and_then(Upload::failure).unwrap_or(failure);
        let failure = Policy::with_upstream_of_response(failure.with_upstream_status(self.status), &self.request);
        let failure = match self.elapsed() {
            Some(elapsed) => failure.with_elapsed(elapsed),
            None => failure,
        };
        match failure.phase() {
            Phase::RequestBody => failure,
            // An error may claim another phase, such as a connect that timed out below; but it came out while the body
            // was read.
            _ => failure.with_phase(Phase::ResponseBody),
        }
    }

    /// Decides about a frame that [`accepts_data`](Self::accepts_data) has refused: trailers, or content that is too late
    /// or too much.
    ///
    /// `None` means that all fields of the trailers were removed.
    ///
    /// # Errors
    ///
    /// The failure in place of the frame.
    fn judge_refused_frame(&self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, Failure> {
        let mut trailers = match frame.into_trailers() {
            Ok(trailers) => trailers,
            // With more content than was promised, no recipient can tell where the message ends (RFC 9112, section 6.3).
            Err(frame) if self.is_too_much(&frame) => {
                let reason = format!("more than the {} bytes that were promised", self.length);
                return Err(Failure::new(FailureKind::HttpProtocolError).with_reason(reason));
            }
            Err(_) => {
                let failure = self.total_failure();
                // An armed timer means that the server has waited for this frame. Otherwise the frame was there, and the
                // client has not read it in time.
                return Err(if self.timer.is_armed() { failure } else { failure.with_blame(Blame::Client) });
            }
        };
        if self.is_short() {
            return Err(self.incomplete_failure());
        }
        let was_empty = trailers.is_empty();
        let unwanted = self.rare.as_ref().and_then(|rare| rare.trailers.as_ref());
        self.policy.rules.judge_trailers(&mut trailers, self.end_rules.tidies_trailers, unwanted)?;
        let judged = match self.grpc.status {
            GrpcStatus::Due(reaching) => Some(reaching),
            // None is owed, and yet clients would read it.
            GrpcStatus::DueAfterContent(reaching) => Some(reaching).filter(|_| grpc::has_status(&trailers)),
            GrpcStatus::NotDue => None,
        };
        if let Some(reaching) = judged {
            grpc::judge_trailers(&mut trailers, self.grpc.messages.is_between(), reaching != Trailers::Lost)?;
        }
        Ok((was_empty || !trailers.is_empty()).then(|| Frame::trailers(trailers)))
    }

    /// Whether this frame holds more bytes than a binding length has left.
    fn is_too_much(&self, frame: &Frame<Bytes>) -> bool {
        self.length_rule == LengthRule::Enforced && frame.data_ref().is_some_and(|data| length(data) > self.bytes_left)
    }
}

/// What a body gives when it is polled and is not pending.
type Next<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

/// The length of a frame, as a number that can be compared with `Content-Length`.
fn length(data: &Bytes) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}
