//! The future of a call.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::{
    body::{Ahead, Broken, ResponseBody, Times, Turn, Upload, Watch},
    context::RequestContext,
    failure::{BoxError, Failure, Phase, RetrySafety, TimeLimit},
    policy::Policy,
    timer::{Again, Once, after, before, earlier},
    validate::{Accepted, Content},
};

pin_project! {
    /// The future of a call through [`BadGateway`](crate::BadGateway). It always resolves to a response.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the upstream call; that is how a client that has left cancels it, and
    /// [`on_abandoned`](crate::BadGatewayLayer::on_abandoned) is told. Nothing else is lost. Polled again after it has
    /// resolved, it stays pending.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F>
    where
        F: Future, // for what is held back: its type is part of the output
    {
        #[pin]
        state: State<F>,
        call: Option<Call>,
    }

    impl<F: Future> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(call) = this.call.as_ref().filter(|call| !call.request.traits.is_polled) {
                let since = match this.state.project() {
                    StateProj::Waiting { timer, .. } => timer.since(),
                    _ => None,
                };
                call.policy.abandoned(&call.request, None, since.map(|since| since.elapsed()));
            }
        }
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F>
    where
        F: Future,
    {
        Waiting { #[pin] inner: F, #[pin] timer: Once },
        Guarding { guarded: Box<Guarded<F::Output>> },
        Refused { failure: Option<Failure> },
        Resolved,
    }
}

/// What outlives the inner future.
struct Call {
    policy: Arc<Policy>,
    request: RequestContext,
    upload: Option<Upload>,
    /// The end of the limit for head and body together.
    until: Option<Instant>,
}

/// A response whose head is held until its body has begun.
struct Guarded<O> {
    /// Always the response; taken out when it is let go.
    outcome: Option<O>,
    watch: Option<Watch>,
    since: Option<Instant>,
    limit: Duration,
    timer: Again,
}

impl<F: Future> ResponseFuture<F> {
    /// Waits for the wrapped service, which has been waited for this long already.
    #[inline]
    pub(crate) fn waiting(
        inner: F,
        policy: Arc<Policy>,
        mut request: RequestContext,
        upload: Option<Upload>,
        waited: Duration,
    ) -> Self {
        let until = policy.total_limit(&request).map(|(limit, _)| after(Instant::now(), limit));
        let timer = if waited > Duration::ZERO {
            request.waited_seconds = u8::try_from(waited.as_secs()).unwrap_or(u8::MAX);
            Once::from(before(Instant::now(), waited))
        } else if policy.is_timed() {
            Once::from(Instant::now())
        } else {
            Once::new()
        };
        let state = State::Waiting { inner, timer };
        Self { state, call: Some(Call { policy, request, upload, until }) }
    }

    /// Answers without asking the wrapped service, whose failure says how long it was waited for.
    pub(crate) fn refused(failure: Failure, policy: Arc<Policy>, request: RequestContext) -> Self {
        let call = Call { policy, request, upload: None, until: None };
        Self { state: State::Refused { failure: Some(failure) }, call: Some(call) }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        let (failure, since) = match this.state.as_mut().project() {
            StateProj::Waiting { inner, mut timer } => {
                let Some(call) = this.call.as_mut() else { return Poll::Pending };
                // Polled before the timer: an answer that is already here beats a deadline that has just passed.
                call.request.traits.is_polled = true;
                let outcome = inner.poll(cx);
                call.request.traits.is_polled = false;
                match outcome {
                    Poll::Ready(Ok(mut response)) => {
                        let since = timer.since();
                        call.request.note_upstream(response.extensions());
                        match call.policy.judge(&call.request, &mut response) {
                            Ok(accepted) => {
                                let Some(call) = mem::take(this.call) else { return Poll::Pending };
                                this.state.set(State::Resolved);
                                let guard = call.policy.first_frame_limit(&call.request, &accepted, &response);
                                let Some(limit) = guard else {
                                    return Poll::Ready(Ok(call.pass(accepted, response, since, cx)));
                                };
                                let watch = Some(call.watch(accepted, &response, since));
                                let (outcome, timer) = (Some(Ok(response)), Again::default());
                                let guarded = Box::new(Guarded { outcome, watch, since, limit, timer });
                                this.state.set(State::Guarding { guarded });
                                return self.poll(cx);
                            }
                            Err(failure) => (call.take_back(failure), since),
                        }
                    }
                    Poll::Ready(Err(error)) => (call.failure(error.into()), timer.since()),
                    Poll::Pending => {
                        if let Some(failure) = call.poll_upload(cx) {
                            (failure, timer.since())
                        } else {
                            let mut is_first = !mem::replace(&mut call.request.traits.has_waited, true);
                            loop {
                                ready!(timer.as_mut().poll(
                                    mem::take(&mut is_first),
                                    |since| call.first_deadline(since),
                                    cx
                                ));
                                match call.late() {
                                    Ok(failure) => break (failure, timer.since()),
                                    Err(deadline) => timer.as_mut().reset(deadline),
                                }
                            }
                        }
                    }
                }
            }
            StateProj::Guarding { guarded } => {
                let response = ready!(guarded.poll(cx));
                this.state.set(State::Resolved);
                return response.map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
            }
            StateProj::Refused { failure } => match failure.take() {
                Some(failure) => (failure, None),
                None => return Poll::Pending,
            },
            StateProj::Resolved => return Poll::Pending,
        };
        // The upstream call ends before anything is written for the client.
        this.state.set(State::Resolved);
        let Some(call) = mem::take(this.call) else { return Poll::Pending };
        let elapsed = since.map(|since| since.elapsed());
        Poll::Ready(Ok(call.policy.answer(failure, elapsed, &call.request).map(ResponseBody::own)))
    }
}

impl<B, E> Guarded<Result<Response<B>, E>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// `None` if it was let go before.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Response<ResponseBody<B>>>> {
        let (Some(Ok(response)), Some(watch)) = (&mut self.outcome, &mut self.watch) else { return Poll::Ready(None) };
        let ahead = match Ahead::poll(response.body_mut(), watch, cx) {
            Poll::Ready(ahead) => ahead,
            Poll::Pending => match watch.poll_upload(cx) {
                Some(broken) => Err(broken),
                None => {
                    ready!(self.timer.poll(|| Some(self.limit), None, cx));
                    Ok(Ahead::default())
                }
            },
        };
        let (Some(Ok(response)), Some(watch)) = (self.outcome.take(), self.watch.take()) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(let_go(response, ahead, watch, self.since)))
    }
}

/// The head goes out, or what is answered in its place.
#[inline]
fn let_go<B: Body>(
    mut response: Response<B>,
    ahead: Result<Ahead, Broken>,
    mut watch: Watch,
    since: Option<Instant>,
) -> Response<ResponseBody<B>> {
    match ahead {
        Ok(ahead) => {
            watch.strip(response.headers_mut());
            response.map(|body| ResponseBody::upstream(body, ahead, watch))
        }
        Err(broken) => {
            let (head, body) = response.into_parts();
            drop(body);
            watch
                .answer(broken, since.map(|since| since.elapsed()), &Response::from_parts(head, ()))
                .map(ResponseBody::own)
        }
    }
}

impl Call {
    /// Hands a good response on, and looks at what there is of its body.
    #[inline]
    fn pass<B>(
        self,
        accepted: Accepted,
        mut response: Response<B>,
        since: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Response<ResponseBody<B>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        if accepted.counts && accepted.content == Content::Absent && !response.body().is_end_stream() {
            return self.pass_nothing(response, since);
        }
        let peeks = self.policy.peeks(&self.request, &accepted);
        let mut watch = self.watch(accepted, &response, since);
        let ahead = if peeks { Ahead::peek(response.body_mut(), &mut watch, cx) } else { Ok(Ahead::default()) };
        let_go(response, ahead, watch, since)
    }

    /// Hands on a head whose content is not for the client, whatever the body says.
    #[cold]
    fn pass_nothing<B: Body>(self, mut response: Response<B>, since: Option<Instant>) -> Response<ResponseBody<B>> {
        self.policy.rules.strip(response.headers_mut());
        if self.policy.is_timed() {
            let head = since.map_or(Duration::ZERO, |since| since.elapsed());
            self.policy.succeeded(&self.request, response.status(), head, head);
        }
        let is_head = self.request.method() == Method::HEAD;
        response.map(
            |body| {
                if is_head { ResponseBody::absent(body.size_hint()) } else { ResponseBody::own(Bytes::new()) }
            },
        )
    }

    #[inline]
    fn watch<B: Body>(self, accepted: Accepted, response: &Response<B>, since: Option<Instant>) -> Watch {
        let Self { policy, request, upload, until } = self;
        let times = if policy.is_timed() { since.map(Times::of_head) } else { None };
        Watch::new(policy, request, upload, until, accepted, response, times)
    }

    /// Reads an error of the wrapped service, unless the client has failed it.
    fn failure(&self, error: BoxError) -> Failure {
        let Some(upload) = &self.upload else {
            return self.policy.failure(error, Phase::ResponseHead, self.request.content(false));
        };
        if let Some(failure) = upload.failure() {
            return failure;
        }
        self.take_back(self.policy.failure(error, Phase::ResponseHead, self.request.content(true)))
    }

    /// Content that was handed over for an attempt has left, whatever the last one says.
    fn take_back(&self, failure: Failure) -> Failure {
        let was_sent =
            failure.retry_safety() == RetrySafety::NotSent && self.upload.as_ref().is_some_and(Upload::is_taken);
        if was_sent { failure.with_retry_safety(RetrySafety::Unknown) } else { failure }
    }

    /// The client's own fault: whatever an upstream is waiting for, it will not come. A handler may have its own answer to that.
    fn poll_upload(&self, cx: &mut Context<'_>) -> Option<Failure> {
        self.upload.as_ref().filter(|_| self.policy.rules.framing)?.poll_failure(cx)
    }

    fn head_limit(&self) -> Option<Duration> {
        self.policy.head_limit(&self.request, self.upload.is_some())
    }

    /// When to look at the clock for the first time.
    fn first_deadline(&self, since: Instant) -> Option<Instant> {
        earlier(self.head_limit().map(|limit| after(since, limit)), self.until)
    }

    /// Whose time is up, or when to look again.
    fn late(&self) -> Result<Failure, Instant> {
        let now = Instant::now();
        if self.until.is_some_and(|until| until <= now) {
            let (limit, whose) = self.policy.total_limit_over(&self.request);
            let is_clients = whose == TimeLimit::Total && self.upload.as_ref().is_some_and(Upload::is_clients);
            return Ok(if is_clients { Policy::client_late(limit) } else { Policy::late(whose, limit) });
        }
        let Some(limit) = self.head_limit() else { return Err(self.until.unwrap_or(now)) };
        let left = limit.saturating_sub(Duration::from_secs(self.request.waited_seconds.into()));
        let again = |since| {
            let deadline = after(since, left.max(FINEST));
            self.until.map_or(deadline, |until| until.min(deadline))
        };
        let since = match self.upload.as_ref().map(Upload::turn) {
            None | Some(Turn::Untouched | Turn::Failed(_)) => None,
            // Whenever it is the upstream's turn again, its time will not be up before this.
            // What goes through a tunnel is no upload, and there is none yet.
            Some(Turn::Client) if *self.request.method() == Method::CONNECT => None,
            Some(Turn::Client) => return Err(again(now)),
            Some(Turn::Upstream(since) | Turn::Over(since)) => Some(since),
        };
        match since.filter(|since| after(*since, left) > now) {
            Some(since) => Err(again(since)),
            None if self.upload.as_ref().is_some_and(Upload::is_under_way) => Ok(Policy::not_taken(limit)),
            None => Ok(Policy::late(TimeLimit::Head, limit)),
        }
    }
}

/// No timer is finer than this.
const FINEST: Duration = Duration::from_millis(1);

impl<F: Future> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
