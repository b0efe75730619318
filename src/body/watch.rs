//! What is kept while an upstream's body is on its way, and what is asked of every frame.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Version};
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::{
    Upload,
    ahead::{Ahead, Given},
    times::Times,
};
use crate::{
    classify::passed,
    context::RequestContext,
    failure::{Blame, BodyError, BoxError, Failure, FailureKind, Phase},
    policy::Policy,
    stream::Stream,
    timer::Again,
    validate::{Accepted, Content, NotForTrailers},
};

/// The call a body belongs to, what was promised of it, and its limits.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(super) policy: Arc<Policy>,
    pub(super) request: RequestContext,
    upload: Option<Upload>,
    status: StatusCode,
    fate: Fate,
    end_is_telling: bool,
    /// Bytes that are still to come, if that is known, and whether it is a failure if they do not.
    pub(super) left: Option<u64>,
    /// As many as there were in the beginning.
    pub(super) promised: Option<u64>,
    counts: bool,
    trailers: Option<NotForTrailers>,
    pub(super) stream: Stream,
    pub(super) known_length: bool,
    until: Option<Instant>,
    timer: Again,
    times: Option<Box<Times>>,
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
    /// It has come to its end, or has none to be asked for.
    Settled,
    /// It has come to an end that was told of, here or further in, or is nobody's doing.
    Told,
}

/// Why a body goes no further.
pub(crate) enum Broken {
    /// A layer further in has told of it.
    Told(BodyError),
    New(Failure),
}

impl Watch {
    #[inline]
    pub(crate) fn new<B: Body>(
        policy: Arc<Policy>,
        request: RequestContext,
        upload: Option<Upload>,
        until: Option<Instant>,
        accepted: Accepted,
        response: &Response<B>,
        times: Option<Box<Times>>,
    ) -> Self {
        let Accepted { stream, content, counts, end_is_telling, trailers, is_told } = accepted;
        let promised = response.body().size_hint().exact();
        let left = match content {
            Content::Exactly(length) => Some(length),
            // Servers make a Content-Length of it.
            Content::Unsaid => promised,
            Content::Absent => None,
        };
        Self {
            policy,
            request,
            upload,
            status: response.status(),
            fate: match content {
                _ if is_told => Fate::Told,
                // Nobody asks for what is not there, and the bytes of a tunnel are not in its body.
                Content::Absent => Fate::Settled,
                Content::Exactly(_) | Content::Unsaid => Fate::Held,
            },
            end_is_telling,
            left,
            promised: left,
            counts,
            trailers,
            stream,
            known_length: left.is_some() || promised.is_some(),
            until: until.filter(|_| stream != Stream::Tunnel),
            timer: Again::default(),
            times,
        }
    }

    /// What is not for those outside leaves the head.
    #[inline]
    pub(crate) fn strip(&self, fields: &mut HeaderMap) {
        self.policy.rules.strip(fields);
    }

    /// The head is passed on.
    #[inline]
    pub(super) fn sent(&mut self, body: &impl Body, ahead: &Ahead) {
        if matches!(self.fate, Fate::Settled | Fate::Told) {
            return;
        }
        // While the head was held the wait was ours; from now on it is only when a server asks.
        self.timer.rest();
        self.fate = match ahead.given {
            Given::Nothing => Fate::Sent,
            Given::Data(_) | Given::Trailers(_) => Fate::Unread,
            Given::End => Fate::Settled,
        };
        self.look(body);
    }

    /// What was seen ahead has been taken.
    pub(super) fn taken(&mut self, body: &impl Body, is_last: bool) {
        if self.fate == Fate::Unread {
            self.fate = Fate::Sent;
        }
        if is_last { self.ended() } else { self.look(body) }
    }

    /// Servers ask no more once a body has said that it has ended.
    #[inline]
    fn look(&mut self, body: &impl Body) {
        if self.fate == Fate::Sent && self.has_ended(body) {
            self.fate = Fate::Settled;
        }
    }

    /// Nor after trailers, whatever a body says then.
    fn ended(&mut self) {
        if self.fate == Fate::Sent {
            self.fate = Fate::Settled;
        }
    }

    /// Asks the body for its next frame.
    #[inline]
    pub(super) fn ask<B: Body>(&mut self, body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Next<B>> {
        // Whoever panics has not left.
        let fate = mem::replace(&mut self.fate, Fate::Told);
        let next = body.poll_frame(cx);
        self.fate = fate;
        next
    }

    /// Whether this is content that may be passed on, as nearly every frame is. What is not is for [`settle`](Self::settle).
    #[inline]
    pub(super) fn takes(&mut self, frame: &Frame<Bytes>, body: &impl Body) -> bool {
        let Some(data) = frame.data_ref() else { return false };
        let mut left = self.left;
        if let Some(left) = &mut left {
            match left.checked_sub(length(data)) {
                Some(rest) => *left = rest,
                None if self.counts => return false,
                None => *left = 0,
            }
        }
        // A response that is complete now is in time.
        if self.until.is_some() && left.map_or_else(|| !body.is_end_stream(), |left| left > 0) && self.is_over() {
            return false;
        }
        self.left = left;
        self.timer.rest();
        self.look(body);
        true
    }

    /// What is to be made of everything else that a body may say.
    #[inline(never)]
    pub(super) fn settle<B>(&mut self, next: Next<B>, body: &B) -> Option<Result<Frame<Bytes>, Broken>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let failure = match next {
            None if self.is_short() => self.incomplete(),
            None if self.end_is_telling && !body.is_end_stream() => {
                Failure::new(FailureKind::HttpResponseIncomplete).with_reason("the stream was reset without an error")
            }
            None => {
                self.ended();
                return None;
            }
            Some(Ok(frame)) => match self.judge(frame) {
                Ok(frame) => {
                    // These are trailers. Nothing may be left of them, and nothing comes after them.
                    self.ended();
                    return frame.map(Ok);
                }
                Err(failure) => failure,
            },
            Some(Err(error)) => match passed(error.into()) {
                Ok(error) => return Some(Err(Broken::Told(error))),
                Err(error) => {
                    let content = self.request.content(self.upload.is_some());
                    self.policy.failure(error, Phase::ResponseBody, content)
                }
            },
        };
        Some(Err(Broken::New(failure)))
    }

    /// The next frame that may be passed on; nobody waits for it.
    pub(super) fn poll_now<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        Poll::Ready(match ready!(self.ask(body.as_mut(), cx)) {
            Some(Ok(frame)) if self.takes(&frame, &*body) => Some(Ok(frame)),
            next => self.settle(next, &*body),
        })
    }

    /// Nothing has come: the end of the time there was for it.
    #[inline(never)]
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        let limit = || self.policy.idle_limit(&self.request, self.stream, self.known_length);
        ready!(self.timer.poll(limit, self.until, cx));
        let failure = if self.is_over() { self.over() } else { self.silent() };
        Poll::Ready(Broken::New(failure))
    }

    /// Whether it says so itself, and nothing is missing.
    #[inline]
    pub(super) fn has_ended(&self, body: &impl Body) -> bool {
        body.is_end_stream() && !self.is_short()
    }

    /// Whether bytes are missing.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.counts && self.left.is_some_and(|left| left > 0)
    }

    /// The head has been sent: tells the operator.
    pub(super) fn fail(&mut self, broken: Broken) -> BodyError {
        self.fate = Fate::Told;
        match broken {
            Broken::Told(error) => error,
            Broken::New(failure) => {
                let failure = self.complete(failure);
                self.policy.broken(&failure, &self.request, self.status);
                BodyError::told(failure)
            }
        }
    }

    /// The head is still ours: an answer in its place.
    pub(crate) fn answer<B>(
        &mut self,
        broken: Broken,
        elapsed: Option<Duration>,
        refused: &Response<B>,
    ) -> Response<Bytes> {
        self.fate = Fate::Told;
        let failure = match broken {
            Broken::Told(error) => error.failure().clone(),
            Broken::New(failure) => self.complete(failure),
        };
        let failure = Policy::refused(failure, refused);
        self.policy.answer(failure, elapsed, &self.request)
    }

    fn complete(&self, failure: Failure) -> Failure {
        // A client that has failed its upload has failed what came back as well.
        let failure = self.upload.as_ref().and_then(Upload::failure).unwrap_or(failure);
        let failure = Policy::named(failure.with_upstream_status(self.status), &self.request);
        let failure = match &self.times {
            Some(times) => failure.with_elapsed(times.elapsed()),
            None => failure,
        };
        match failure.phase() {
            Phase::RequestBody => failure,
            // Whatever broke it: it was found out by reading the body.
            _ => failure.with_phase(Phase::ResponseBody),
        }
    }

    /// Whether the client has other streams on its connection, which are not ended with this one.
    pub(super) fn is_one_of_many(&self) -> bool {
        self.request.version() >= Version::HTTP_2
    }

    /// The client's own fault, while the head is held.
    pub(crate) fn poll_upload(&self, cx: &mut Context<'_>) -> Option<Broken> {
        self.upload.as_ref()?.poll_failure(cx).map(Broken::New)
    }

    /// What is left of a frame that was not taken: content is too late or too much, and of trailers may be left nothing.
    fn judge(&self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, Failure> {
        let mut trailers = match frame.into_trailers() {
            Ok(trailers) => trailers,
            // More than was promised: nobody knows where the message ends (RFC 9112, section 6.3).
            Err(frame) if self.is_too_much(&frame) => {
                let promised = self.promised.unwrap_or_default();
                let reason = format!("more than the {promised} bytes that were promised");
                return Err(Failure::new(FailureKind::HttpProtocolError).with_reason(reason));
            }
            Err(_) => {
                let failure = self.over();
                // If nobody was waiting for it, it was there, and not read in time.
                return Err(if self.timer.is_waiting() { failure } else { failure.with_blame(Blame::Client) });
            }
        };
        if self.is_short() {
            return Err(self.incomplete());
        }
        let was_empty = trailers.is_empty();
        self.policy.rules.judge_trailers(&mut trailers, self.trailers.as_ref())?;
        Ok((was_empty || !trailers.is_empty()).then(|| Frame::trailers(trailers)))
    }

    fn is_too_much(&self, frame: &Frame<Bytes>) -> bool {
        self.counts && self.left.is_some_and(|left| frame.data_ref().is_some_and(|data| length(data) > left))
    }

    /// Whether the time for head and body is over. Without such a limit the clock is not read.
    #[inline]
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    /// Tells of a response that came to its end, or of whoever did not wait for it.
    #[cold]
    fn dropped(&self) {
        let elapsed = self.times.as_ref().map(|times| times.elapsed());
        let status = match self.fate {
            // A server stops asking once it has all that was promised.
            Fate::Sent if self.left != Some(0) => Some(self.status),
            Fate::Unread => Some(self.status),
            Fate::Held => None,
            Fate::Told => return,
            Fate::Settled | Fate::Sent => {
                if let (Some(times), Some(total)) = (&self.times, elapsed) {
                    self.policy.succeeded(&self.request, self.status, times.head, total);
                }
                return;
            }
        };
        self.policy.abandoned(&self.request, status, elapsed);
    }
}

/// What a body says when it is asked.
type Next<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

fn length(data: &Bytes) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}

/// The response is dropped, at its end or before.
impl Drop for Watch {
    fn drop(&mut self) {
        match self.fate {
            Fate::Told => {}
            // Nobody wants to know.
            Fate::Settled if self.times.is_none() => {}
            Fate::Settled | Fate::Held | Fate::Unread | Fate::Sent => self.dropped(),
        }
    }
}
