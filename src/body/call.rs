//! A call from its beginning to the end of its response's body.
//!
//! [`Call`] is the state that the future and the response body share: the future keeps it until the head is forwarded, the body from
//! then on. This file has its fields, the change from head to body, and the report at the end; `head` and `frames` have
//! what is asked of it between.
//!
//! In this order:
//!
//! 1. [`BadGateway`](crate::BadGateway) makes the call, before it calls the wrapped service;
//! 2. the future polls the wrapped service and the limits of the head (`head`);
//! 3. an accepted response [begins](Call::begin) its body, whose first frame may be peeked (`peek`);
//! 4. the head is forwarded, or an answer is made in its place, which is the end of the call;
//! 5. the response body polls and checks the frames (`frames`, `reasons`);
//! 6. the call is dropped, and the drop reports a success or an abandonment, as the [`Stage`] says.
//!
//! This file must not know which header fields a response has, how an answer is written, or who hears of a report: what
//! was read from the head comes as [`Accepted`], and reports go to the [`Policy`].

use std::{sync::Arc, time::Duration};

use http::{Response, StatusCode, Version};
use http_body::Body;
use tokio::time::Instant;

use super::Upload;
use crate::{
    body_kind::BodyKind,
    caught::caught,
    context::RequestContext,
    dialect::grpc::Messages,
    policy::Policy,
    timer::{Timer, after, before},
    validate::{Accepted, Content, GrpcStatus, NotForTrailers},
};

/// All that is kept of a call, in one block, without a lock: one task at a time owns it.
///
/// It is made when the call begins, moves once, from the future into the response body, and reports when it is dropped
/// what has become of the call. Every field is copied in that move, so the small types are on purpose.
#[derive(Debug)]
pub(crate) struct Call {
    /// The settings of the layer, shared by all of its calls.
    pub(super) policy: Arc<Policy>,
    /// What is kept of the request, for time limits, answers and reports. It holds the guard of the in-flight metric.
    pub(super) request: RequestContext,
    /// The timer of the limit that is waited for now: before the head that of head, stream idle and total, after it that of
    /// total and of idle or stream idle.
    pub(super) timer: Timer,
    /// When the call began: the start of the wait for readiness, if there was one; else the time of `call`, if durations
    /// are measured; else the first poll that was pending, and `None` until then.
    pub(super) started: Option<Instant>,
    /// How long the head took, from `started` on; 0 if durations are not measured. In nanoseconds: half the size of a
    /// `Duration`.
    pub(super) head_nanos: u64,
    /// When the limit for head and body together ends: the total timeout or the client's own deadline, counted from
    /// `call`. `None` without such a limit, and of a tunnel once it is open.
    pub(super) deadline: Option<Instant>,
    /// Boxed, because few calls have one and the pointer is what moves.
    pub(super) rare: Option<Box<RareParts>>,
    /// How many bytes of the content are still to come; `u64::MAX` if the length is not known.
    pub(super) bytes_left: u64,
    /// The length of the whole content, as `bytes_left` was at the start.
    pub(super) length: u64,
    /// The upstream's status: meaningful once the response was accepted.
    pub(super) status: StatusCode,
    /// What a drop of the call reports.
    pub(super) stage: Stage,
    /// Whether silence of the body is lawful: which idle limit applies.
    pub(super) body_kind: BodyKind,
    /// How the length is known, and whether the body has to keep to it.
    pub(super) length_rule: LengthRule,
    /// What the end of the body means.
    pub(super) end_rules: EndRules,
    /// The call has been pending once: its limits have been looked up, and its timer is armed if there is one.
    pub(super) limits_started: bool,
    /// What is known of the body of a gRPC call.
    pub(super) grpc: GrpcBody,
}

/// What the end of a body means, by the head before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EndRules {
    /// Whether a clean end without `is_end_stream` means that the HTTP/2 stream was reset.
    pub(super) detects_early_end: bool,
    /// Whether fields that may not stand in trailers are removed: by `new`, not by `for_router`.
    pub(super) tidies_trailers: bool,
}

/// The body of a gRPC call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GrpcBody {
    /// Whether a gRPC body still owes the status of its call.
    pub(super) status: GrpcStatus,
    /// Where that body stands between its messages.
    pub(super) messages: Messages,
}

impl GrpcBody {
    /// Reads on: `data` is the next part of the body.
    #[inline]
    pub(super) fn follow(&mut self, data: &[u8]) {
        if let (GrpcStatus::DueAfterContent(trailers), false) = (self.status, data.is_empty()) {
            self.status = GrpcStatus::Due(trailers);
        }
        self.messages.read(data);
    }
}

/// The parts that few calls have.
#[derive(Debug, Default)]
pub(super) struct RareParts {
    /// The state of the request's body, if a [`RequestBodyTap`](crate::RequestBodyTap) watches it.
    pub(super) upload: Option<Upload>,
    /// The fields that `Connection` has named. They are for one connection, and may not come as trailers either. `None` if it has named none, or
    /// if trailers are not [tidied](EndRules::tidies_trailers).
    pub(super) trailers: Option<NotForTrailers>,
}

/// How far a call has come. The stage decides what a drop of the call reports.
///
/// | stage | what leads in | reported when the call is dropped in it |
/// | --- | --- | --- |
/// | `Head` | the call is made; the wrapped service is pending; a response with content is accepted | an abandonment without a status |
/// | `FramePeeked` | the head is forwarded, and peeking has read data or trailers | an abandonment with the status |
/// | `Body` | the head is forwarded without a peeked frame, of a body that has not ended; the peeked frame is taken | see below |
/// | `Complete` | a response without content is accepted; an ended body's head is forwarded; the body ends | a success |
/// | `ReportsNothing` | other code runs; an inner layer has answered; a failure is answered or reported | nothing |
///
/// A call that is dropped in `Body` is a success if its length is known and no byte is left, since servers stop asking
/// then; otherwise it is an abandonment with the status. The body ends with its end, with trailers, or with a frame after
/// which it calls itself ended; trailers that come before the promised length are a failure instead.
///
/// `ReportsNothing` is entered in every poll of the wrapped service and of the upstream's body, and when a body is asked
/// whether it has ended before its head is forwarded; it is left again, unless the wrapped service has failed. If that
/// code panics, the stage stays, and the drop does not take the panic for a client that has left.
///
/// While the head is held the stage is `Head`, also if a frame of the body was read. A success is reported only where
/// durations are measured (`on_success`, metrics), and neither success nor abandonment while the thread unwinds from a
/// panic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// No response was forwarded: none has come, or its head is held.
    Head,
    /// The head was forwarded, and the frame that was peeked is still here.
    FramePeeked,
    /// The head was forwarded, and the body goes on.
    Body,
    /// The response is complete, or has no content that a server would ask for.
    Complete,
    /// The outcome was reported, or is not known while other code runs.
    ReportsNothing,
}

/// What is known of the length of the content. Ordered: [`Call::knows_length`] asks for `Known` or more.
///
/// | value | who has said the length | a body that differs | idle limit |
/// | --- | --- | --- | --- |
/// | `Unknown` | neither field nor body | cannot | that of an unknown length |
/// | `BodyOnly` | the body, of a response whose content is absent or not watched | is not counted | that of a known length |
/// | `Known` | `Content-Length` or the body, in a router | is forwarded | that of a known length |
/// | `Enforced` | `Content-Length` or the body | is a failure | that of a known length |
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum LengthRule {
    /// Unknown.
    Unknown,
    /// Known from the body alone, of content that is absent or not watched.
    BodyOnly,
    /// Known.
    Known,
    /// Known, and enforced.
    Enforced,
}

impl Call {
    /// Begins a call, which has waited this long for the wrapped service to be ready.
    ///
    /// The clock is read only if there was such a wait, if durations are measured, or if there is a limit for head and
    /// body together. The request keeps the wait as well, in whole seconds and at most 255 of them, for a head limit that
    /// starts at the end of an upload.
    #[inline(always)] // called in one place, and out of line the call would be copied once more
    pub(crate) fn new(
        policy: Arc<Policy>,
        mut request: RequestContext,
        upload: Option<Upload>,
        waited: Duration,
    ) -> Self {
        let started = if waited > Duration::ZERO {
            request.readiness_seconds = u8::try_from(waited.as_secs()).unwrap_or(u8::MAX);
            Some(before(Instant::now(), waited))
        } else if policy.observers.want_durations() {
            Some(Instant::now())
        } else {
            None
        };
        let deadline = policy.limits.total_limit(&request).map(|(limit, _)| after(Instant::now(), limit));
        let rare = upload.map(RareParts::with);
        Self::at_start(policy, request, started, deadline, rare)
    }

    /// Begins a call that is not sent, because the wrapped service was not ready. It has no start: the wait is in its
    /// failure.
    #[cold]
    pub(crate) fn refused(policy: Arc<Policy>, request: RequestContext) -> Self {
        Self::at_start(policy, request, None, None, None)
    }

    /// A call of which no response has come.
    #[inline(always)] // out of line the call would be copied once more
    fn at_start(
        policy: Arc<Policy>,
        request: RequestContext,
        started: Option<Instant>,
        deadline: Option<Instant>,
        rare: Option<Box<RareParts>>,
    ) -> Self {
        Self {
            policy,
            request,
            timer: Timer::default(),
            started,
            head_nanos: 0,
            deadline,
            rare,
            bytes_left: 0,
            length: 0,
            status: StatusCode::OK,
            stage: Stage::Head,
            body_kind: BodyKind::Ordinary,
            length_rule: LengthRule::Unknown,
            end_rules: EndRules::default(),
            limits_started: false,
            grpc: GrpcBody::default(),
        }
    }

    /// Takes over what was read from the head of an accepted response: length, kind of stream, rules for trailers.
    ///
    /// The wait for the head ends. From here on the frames of the body are counted, while the head is held until it is
    /// [forwarded](Self::head_sent). A tunnel (101, or a 2xx to CONNECT) has no deadline any more.
    #[inline(always)] // called in one place, for every response
    pub(super) fn begin<B: Body>(&mut self, accepted: Accepted, response: &Response<B>) {
        self.status = response.status();
        let by_body = response.body().size_hint().exact();
        let length = match accepted.content {
            Content::Exactly(length) => Some(length),
            // A server makes a `Content-Length` of the size hint, so the client is promised this length as well.
            Content::NotStated => by_body,
            Content::Absent => None,
        };
        // An unknown length counts down from a number that no body reaches.
        self.bytes_left = length.unwrap_or(u64::MAX);
        self.length = self.bytes_left;
        self.body_kind = accepted.body_kind;
        self.length_rule = match length {
            Some(_) if accepted.enforces_length => LengthRule::Enforced,
            Some(_) => LengthRule::Known,
            None if by_body.is_some() => LengthRule::BodyOnly,
            None => LengthRule::Unknown,
        };
        self.end_rules.detects_early_end = accepted.detects_early_end;
        self.end_rules.tidies_trailers = accepted.trailers.is_some();
        self.grpc.status = accepted.grpc_status;
        if let Some(trailers) = accepted.trailers.filter(|trailers| !trailers.is_empty()) {
            self.rare.get_or_insert_default().trailers = Some(trailers);
        }
        self.stage = match accepted.content {
            _ if accepted.is_answered => Stage::ReportsNothing,
            // A server does not poll a body without content, and the bytes of a tunnel do not go through the body: a drop
            // of either is no abandonment.
            Content::Absent => Stage::Complete,
            Content::Exactly(_) | Content::NotStated => Stage::Head,
        };
        if accepted.body_kind == BodyKind::Tunnel {
            self.deadline = None;
        }
        self.head_nanos = self.elapsed().map_or(0, |elapsed| u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        // Otherwise the task of the head would be kept, and woken, while another one reads the body.
        self.timer.forget_task();
    }

    /// The upload, where its failure is answered by the layer. The handlers of a router may have an answer of their own.
    #[inline]
    pub(super) fn answerable_upload(&self) -> Option<&Upload> {
        self.upload().filter(|_| self.policy.rules.applies_http_rules)
    }

    /// The state of the request's body; `None` if no tap watches it, or if the request has no body.
    #[inline]
    pub(super) fn upload(&self) -> Option<&Upload> {
        self.rare.as_ref()?.upload.as_ref()
    }

    /// Whether the length of the content is known, from a field or from the body.
    #[inline]
    pub(super) fn knows_length(&self) -> bool {
        self.length_rule >= LengthRule::Known
    }

    /// Whether all bytes of a known length have come.
    #[inline]
    pub(super) fn has_all_content(&self) -> bool {
        self.knows_length() && self.bytes_left == 0
    }

    /// Whether the time for head and body together is over. Without such a limit the clock is not read.
    #[inline]
    pub(super) fn is_past_deadline(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// The time since the call began; `None` unless durations are measured.
    pub(super) fn elapsed(&self) -> Option<Duration> {
        self.started.filter(|_| self.policy.observers.want_durations()).map(|started| started.elapsed())
    }

    /// Whether the client's connection carries other streams, as in HTTP/2 and HTTP/3: an error of the body ends its
    /// stream and not the connection, and another task sends the head.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.request.version() >= Version::HTTP_2
    }

    /// Whether the client speaks HTTP/1.0 or less.
    pub(super) fn is_http_1_0(&self) -> bool {
        self.request.version() <= Version::HTTP_10
    }

    /// Reports a response that came to its end, or a client that did not wait for the end. See the table of [`Stage`].
    #[cold]
    fn report(&self) {
        // The status in the report of an abandonment; `None` for a success. A call without a head is reported in the arm of `Head`.
        let abandoned_status = match self.stage {
            Stage::ReportsNothing => return,
            Stage::Head => {
                let elapsed = self.started.map(|started| started.elapsed());
                return self.policy.report_abandonment(&self.request, None, elapsed);
            }
            // hyper stops polling a body once it has written all of the `Content-Length`, so the end is never seen.
            Stage::Body if self.has_all_content() && !self.owes_more() => None,
            Stage::FramePeeked | Stage::Body => Some(self.status),
            Stage::Complete => None,
        };
        let elapsed = self.elapsed();
        if abandoned_status.is_some() {
            self.policy.report_abandonment(&self.request, abandoned_status, elapsed);
        } else if let Some(elapsed) = elapsed {
            self.policy.report_success(&self.request, self.status, Duration::from_nanos(self.head_nanos), elapsed);
        }
    }
}

impl RareParts {
    /// Out of line: few requests are watched.
    #[cold]
    fn with(upload: Upload) -> Box<Self> {
        Box::new(Self { upload: Some(upload), ..Self::default() })
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        match self.stage {
            Stage::ReportsNothing => {}
            // Without durations there is no success to report, and no reason to read the clock.
            Stage::Complete if !self.policy.observers.want_durations() => {}
            Stage::Complete | Stage::Head | Stage::FramePeeked | Stage::Body => {
                // A call may be dropped when its thread ends and tokio's clock is gone. A panic in that drop would abort
                // the process.
                caught(|| self.report());
            }
        }
    }
}
