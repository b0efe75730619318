//! A call from its beginning to the end of its response's body.

use std::{sync::Arc, time::Duration};

use http::{Response, StatusCode, Version};
use http_body::Body;
use tokio::time::Instant;

use super::Upload;
use crate::{
    caught::caught,
    context::RequestContext,
    policy::Policy,
    stream::Stream,
    timer::{Timer, after, before},
    validate::{Accepted, Content, NotForTrailers},
};

/// All that is kept of a call, in one block: it is made when the call begins, moves once, from the future into the body, and says when
/// it is dropped what has become of the call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(super) policy: Arc<Policy>,
    pub(super) request: RequestContext,
    pub(super) timer: Timer,
    /// When it began or, if nobody wants to know how long it takes, when it was first waited for.
    pub(super) started: Option<Instant>,
    /// How long the head took, where every call is timed. In nanoseconds: half the size of a `Duration`, and this moves with every call.
    pub(super) head_nanos: u64,
    /// The end of the limit for head and body together.
    pub(super) deadline: Option<Instant>,
    pub(super) rare: Option<Box<Rare>>,
    /// Bytes of the content that are still to come, and as many as there were in the beginning; more than ever come, if they are
    /// not known.
    pub(super) bytes_left: u64,
    pub(super) length: u64,
    pub(super) status: StatusCode,
    pub(super) stage: Stage,
    pub(super) stream: Stream,
    pub(super) known_length: KnownLength,
    /// Whether a body that ends without saying so was cut short.
    pub(super) detects_early_end: bool,
    /// Whether trailers are tidied.
    pub(super) tidies_trailers: bool,
}

/// What few calls have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    pub(super) upload: Option<Upload>,
    /// What `Connection` has named, which may not come as a trailer either.
    pub(super) trailers: Option<NotForTrailers>,
}

/// How far a call has come: this decides what it means that it is dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// There is no head yet, or it is held and may still become another. Dropped: abandoned before there was an answer.
    Head,
    /// The head was passed on, and a frame that was read before has not been taken. Dropped: abandoned.
    FramePeeked,
    /// The head was passed on. Dropped: abandoned, unless all bytes that were promised have come.
    Body,
    /// It has come to its end, or has no content that anybody could ask for. Dropped: a success.
    Complete,
    /// It was reported, here or by a layer further in, or somebody else's code has the floor, which may panic. Dropped: nothing.
    Reported,
}

/// What is known of the length of the content.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum KnownLength {
    No,
    /// The body has said one, of content that nobody asks for. It decides about the limit of its silence.
    OfBody,
    /// It is known, from a field or from the body.
    Yes,
    /// It is known, and a failure if there are fewer bytes, or more.
    Binding,
}

impl Call {
    /// A call begins, which has waited this long for the service to be ready.
    #[inline(always)] // in one place, and otherwise it is moved once more
    pub(crate) fn new(
        policy: Arc<Policy>,
        mut request: RequestContext,
        upload: Option<Upload>,
        waited: Duration,
    ) -> Self {
        let started = if waited > Duration::ZERO {
            request.waited_seconds = u8::try_from(waited.as_secs()).unwrap_or(u8::MAX);
            Some(before(Instant::now(), waited))
        } else if policy.observers.want_durations() {
            Some(Instant::now())
        } else {
            None
        };
        let deadline = policy.limits.total_limit(&request).map(|(limit, _)| after(Instant::now(), limit));
        let rare = upload.map(Rare::with);
        Self::waiting(policy, request, started, deadline, rare)
    }

    /// A call that is not made: how long it was waited for is in its failure.
    #[cold]
    pub(crate) fn refused(policy: Arc<Policy>, request: RequestContext) -> Self {
        Self::waiting(policy, request, None, None, None)
    }

    /// Nothing has come yet.
    #[inline(always)] // otherwise it is moved once more
    fn waiting(
        policy: Arc<Policy>,
        request: RequestContext,
        started: Option<Instant>,
        deadline: Option<Instant>,
        rare: Option<Box<Rare>>,
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
            stream: Stream::Ordinary,
            known_length: KnownLength::No,
            detects_early_end: false,
            tidies_trailers: false,
        }
    }

    /// The response is accepted: its body is watched from now on, and its head held until it is [passed on](Self::sent).
    #[inline(always)] // in one place, on the way of every response
    pub(super) fn begin<B: Body>(&mut self, accepted: Accepted, response: &Response<B>) {
        self.status = response.status();
        let by_body = response.body().size_hint().exact();
        let length = match accepted.content {
            Content::Exactly(length) => Some(length),
            // Servers make a Content-Length of it.
            Content::Unsaid => by_body,
            Content::Absent => None,
        };
        // What is not known does not run out.
        self.bytes_left = length.unwrap_or(u64::MAX);
        self.length = self.bytes_left;
        self.stream = accepted.stream;
        self.known_length = match length {
            Some(_) if accepted.counts => KnownLength::Binding,
            Some(_) => KnownLength::Yes,
            None if by_body.is_some() => KnownLength::OfBody,
            None => KnownLength::No,
        };
        self.detects_early_end = accepted.detects_early_end;
        self.tidies_trailers = accepted.trailers.is_some();
        if let Some(trailers) = accepted.trailers.filter(|trailers| !trailers.is_empty()) {
            self.rare.get_or_insert_default().trailers = Some(trailers);
        }
        self.stage = match accepted.content {
            _ if accepted.is_answered => Stage::Reported,
            // Nobody asks for what is not there, and the bytes of a tunnel are not in its body.
            Content::Absent => Stage::Complete,
            Content::Exactly(_) | Content::Unsaid => Stage::Head,
        };
        if accepted.stream == Stream::Tunnel {
            self.deadline = None;
        }
        self.head_nanos = self.elapsed().map_or(0, |elapsed| u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        // From now on it is the body that is waited for, perhaps by another task, and in another runtime.
        self.timer.release();
    }

    #[inline]
    pub(super) fn upload(&self) -> Option<&Upload> {
        self.rare.as_ref()?.upload.as_ref()
    }

    /// Whether the length of the content is known.
    #[inline]
    pub(super) fn knows_length(&self) -> bool {
        self.known_length >= KnownLength::Yes
    }

    /// Whether the time for head and body is over. Without such a limit the clock is not read.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// The time started the call began, where every call is timed.
    pub(super) fn elapsed(&self) -> Option<Duration> {
        self.started.filter(|_| self.policy.observers.want_durations()).map(|started| started.elapsed())
    }

    /// Whether the client has other streams on its connection, which are not ended with this one.
    pub(super) fn is_one_of_many(&self) -> bool {
        self.request.version() >= Version::HTTP_2
    }

    /// Reports a response that came to its end, or a client that did not wait for it.
    #[cold]
    fn report(&self) {
        let status = match self.stage {
            Stage::Reported => return,
            Stage::Head => {
                let elapsed = self.started.map(|started| started.elapsed());
                return self.policy.report_abandoned(&self.request, None, elapsed);
            }
            // A server stops asking once it has all that was promised.
            Stage::Body if self.knows_length() && self.bytes_left == 0 => None,
            Stage::FramePeeked | Stage::Body => Some(self.status),
            Stage::Complete => None,
        };
        let elapsed = self.elapsed();
        if status.is_some() {
            self.policy.report_abandoned(&self.request, status, elapsed);
        } else if let Some(elapsed) = elapsed {
            self.policy.report_success(&self.request, self.status, Duration::from_nanos(self.head_nanos), elapsed);
        }
    }
}

impl Rare {
    #[cold]
    fn with(upload: Upload) -> Box<Self> {
        Box::new(Self { upload: Some(upload), ..Self::default() })
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        match self.stage {
            Stage::Reported => {}
            // Nobody wants to know of it.
            Stage::Complete if !self.policy.observers.want_durations() => {}
            Stage::Complete | Stage::Head | Stage::FramePeeked | Stage::Body => {
                // Where a thread ends there may be no clock any more, and what panics then takes the process down.
                caught(|| self.report());
            }
        }
    }
}
