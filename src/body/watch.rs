//! What is kept while an upstream's body is on its way, and what is asked of every frame.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::ahead::{Ahead, Given};
use crate::{
    classify::passed,
    context::RequestContext,
    failure::{BodyError, BoxError, Failure, FailureKind, Phase, TimeLimit},
    policy::Policy,
    stream::Stream,
    timer::Again,
    validate::{Accepted, Content, NotForTrailers},
};

/// The call a body belongs to, what was promised of it, and its limits.
#[derive(Debug)]
pub(crate) struct Watch {
    policy: Arc<Policy>,
    request: RequestContext,
    status: StatusCode,
    fate: Fate,
    end_is_telling: bool,
    /// Bytes that are still to come, if that is known.
    left: Option<u64>,
    trailers: Option<NotForTrailers>,
    stream: Stream,
    known_length: bool,
    until: Option<Instant>,
    timer: Again,
}

/// What has become of the response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// Its head is held, and can still become another.
    Held,
    /// Its head was passed on, and something of its body that has not been taken yet.
    Unread,
    /// Its head was passed on.
    Sent,
    /// It has come to an end that was told of, or needs no telling.
    Settled,
}

/// Why a body goes no further.
pub(crate) enum Broken {
    /// A layer further in has told of it.
    Told(BodyError),
    New(Failure),
}

impl Watch {
    #[inline]
    pub(crate) fn new(
        policy: Arc<Policy>,
        request: RequestContext,
        status: StatusCode,
        accepted: Accepted,
        promised: SizeHint,
        until: Option<Instant>,
    ) -> Self {
        let Accepted { stream, content, end_is_telling, trailers } = accepted;
        let left = match content {
            Content::Exactly(length) => Some(length),
            // Servers make a Content-Length of it.
            Content::Unsaid => promised.exact(),
            Content::Absent | Content::Unjudged => None,
        };
        let known_length = left.is_some() || promised.exact().is_some();
        // The bytes of a tunnel are not in its body.
        let is_tunnel = stream == Stream::Tunnel;
        let fate = if is_tunnel { Fate::Settled } else { Fate::Held };
        let until = until.filter(|_| !is_tunnel);
        let timer = Again::default();
        Self { policy, request, status, fate, end_is_telling, left, trailers, stream, known_length, until, timer }
    }

    /// The head is passed on.
    #[inline]
    pub(super) fn sent(&mut self, body: &impl Body, ahead: &Ahead) {
        if self.fate == Fate::Settled {
            return;
        }
        self.fate = match ahead.given {
            Given::Nothing => Fate::Sent,
            Given::Data(_) | Given::Trailers(_) => Fate::Unread,
            Given::End => Fate::Settled,
        };
        self.look(body, false);
    }

    /// What was seen ahead has been taken.
    pub(super) fn taken(&mut self, body: &impl Body, is_last: bool) {
        if self.fate == Fate::Unread {
            self.fate = Fate::Sent;
        }
        self.look(body, is_last);
    }

    fn ended(&mut self) {
        if self.fate == Fate::Sent {
            self.fate = Fate::Settled;
        }
    }

    /// Servers ask no more once a body has said that it has ended, and never after trailers, whatever it says then.
    #[inline]
    fn look(&mut self, body: &impl Body, is_last: bool) {
        if self.fate == Fate::Sent && (is_last || self.has_ended(body)) {
            self.fate = Fate::Settled;
        }
    }

    /// The next frame that may be passed on, or the end of the time there was for it.
    pub(super) fn poll<B>(
        &mut self,
        body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let next = self.poll_now(body, cx);
        if next.is_ready() {
            self.timer.rest();
            return next;
        }
        let limit = || self.policy.idle_limit(&self.request, self.stream, self.known_length);
        ready!(self.timer.poll(limit, self.until, cx));
        let whose = if self.is_over() { self.whose_total() } else { TimeLimit::Idle };
        Poll::Ready(Some(Err(Broken::New(Policy::late(whose)))))
    }

    /// The next frame that may be passed on; nobody waits for it.
    #[inline]
    pub(super) fn poll_now<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        loop {
            // Whoever panics has not left.
            let fate = mem::replace(&mut self.fate, Fate::Settled);
            let next = body.as_mut().poll_frame(cx);
            self.fate = fate;
            let next = ready!(next);
            return Poll::Ready(match next {
                Some(Ok(frame)) => match self.pass(frame) {
                    // A response that is complete now is in time.
                    Ok(Some(frame)) if self.is_over() && !frame.is_trailers() && !self.has_ended(&*body) => {
                        Some(Err(Broken::New(Policy::late(self.whose_total()))))
                    }
                    Ok(Some(frame)) => {
                        self.look(&*body, frame.is_trailers());
                        Some(Ok(frame))
                    }
                    // Nothing is left of it.
                    Ok(None) => continue,
                    Err(failure) => Some(Err(Broken::New(failure))),
                },
                Some(Err(error)) => Some(Err(match passed(error.into()) {
                    Ok(error) => Broken::Told(error),
                    Err(error) => Broken::New(self.policy.failure(error, Phase::ResponseBody)),
                })),
                None if self.is_short() || (self.end_is_telling && !body.is_end_stream()) => {
                    Some(Err(Broken::New(Failure::new(FailureKind::HttpResponseIncomplete))))
                }
                None => {
                    self.ended();
                    None
                }
            });
        }
    }

    /// Whether it says so itself, and nothing is missing.
    #[inline]
    pub(super) fn has_ended(&self, body: &impl Body) -> bool {
        body.is_end_stream() && !self.is_short()
    }

    /// Whether bytes are missing.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.left.is_some_and(|left| left > 0)
    }

    /// The head has been sent: tells the operator.
    pub(super) fn fail(&mut self, broken: Broken) -> BodyError {
        self.fate = Fate::Settled;
        match broken {
            Broken::Told(error) => error,
            Broken::New(failure) => {
                let failure = self.complete(failure);
                self.policy.broken(&failure, &self.request, self.status);
                failure.into()
            }
        }
    }

    /// The head is still ours: an answer in its place.
    pub(crate) fn answer(&mut self, broken: Broken, elapsed: Option<Duration>) -> Response<Bytes> {
        self.fate = Fate::Settled;
        let failure = match broken {
            Broken::Told(error) => error.failure().clone(),
            Broken::New(failure) => self.complete(failure),
        };
        self.policy.answer(failure, elapsed, &self.request)
    }

    fn complete(&self, failure: Failure) -> Failure {
        let failure = failure.with_upstream_status(self.status);
        // What is found out about a body is found while it is read, unless it says otherwise (an upload may break it).
        match failure.phase() {
            Phase::RequestBody => failure,
            _ => failure.with_phase(Phase::ResponseBody),
        }
    }

    /// What is left of a frame, if anything.
    #[inline]
    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, Failure> {
        if let Some(data) = frame.data_ref() {
            if let Some(left) = &mut self.left {
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                // More than was promised: nobody knows where the message ends (RFC 9112, section 6.3).
                *left = left.checked_sub(length).ok_or_else(|| Failure::new(FailureKind::HttpProtocolError))?;
            }
            return Ok(Some(frame));
        }
        let Some(unwanted) = &self.trailers else { return Ok(Some(frame)) };
        let mut trailers = match frame.into_trailers() {
            Ok(trailers) => trailers,
            Err(frame) => return Ok(Some(frame)),
        };
        if self.is_short() {
            return Err(Failure::new(FailureKind::HttpResponseIncomplete));
        }
        let was_empty = trailers.is_empty();
        self.policy.rules.judge_trailers(&mut trailers, unwanted)?;
        Ok((was_empty || !trailers.is_empty()).then(|| Frame::trailers(trailers)))
    }

    /// Whether the time for head and body is over. Without such a limit the clock is not read.
    #[inline]
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    fn whose_total(&self) -> TimeLimit {
        self.policy.total_limit(&self.request).map_or(TimeLimit::Total, |(_, whose)| whose)
    }
}

/// The response was dropped before its end.
impl Drop for Watch {
    fn drop(&mut self) {
        let status = match self.fate {
            // A server stops asking once it has all that was promised.
            Fate::Settled => return,
            Fate::Sent if self.left == Some(0) => return,
            Fate::Sent | Fate::Unread => Some(self.status),
            Fate::Held => None,
        };
        self.policy.abandoned(&self.request, status, None);
    }
}
