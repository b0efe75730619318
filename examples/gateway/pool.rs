//! Connections to the upstream, with what hyper's pool leaves out.
//!
//! | what | why |
//! | --- | --- |
//! | an HTTP/2 connection that says nothing more is given up | all requests go over one connection: one whose other end is gone would take each of them until its time limit. No pings: servers of gRPC answer those that come often with GOAWAY |
//! | a connection that is older than five minutes (`--pool-age`) gets a request or two, and then no more | under steady traffic the name of the upstream would never be looked up again |
//! | a request that waits for a stream is answered 503 after a second | the upstream allows so many at once, and it would wait until its time limit. hyper may have handed it over, so nothing is said of whether it was sent |
//! | small windows for streams, a large one for the connection | a client that does not read holds up its own response, and nobody else's |

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Extensions, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::{
    client::legacy::{
        self,
        connect::{CaptureConnection, Connected, Connection, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use pin_project_lite::pin_project;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep},
};
use tower::Service;
use tower_bad_gateway::{BoxError, Failure, FailureKind, failure::Phase};

use crate::{fields, options::Options, tls::Connector};

/// How much of one response may be on its way. Clients that do not read hold as much, each.
const STREAM_WINDOW: u32 = 256 * 1024;
/// How much of all of them: the most that HTTP/2 allows, so that none waits for another.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// The limit of the layer for a head, where no other is set.
const HEAD_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a request waits for a stream, once it has a connection.
const WAIT_FOR_STREAM: Duration = Duration::from_secs(1);
/// For how long a connection has to have said nothing to be given up when a call over it has run out of its time.
const SILENCE: Duration = Duration::from_secs(1);
/// The same, when the client of a call has left: it may have been impatient.
const LONG_SILENCE: Duration = Duration::from_secs(10);

/// How long a head may take.
fn head_timeout(options: &Options) -> Option<Duration> {
    options.head_timeout.unwrap_or(Some(HEAD_TIMEOUT))
}

/// How long an upstream may take nothing of what is sent: longer than the layer waits for a head. A call without that limit, of gRPC or in a tunnel,
/// has this one as well. `None` waits for ever.
#[cfg(target_os = "linux")]
pub(crate) fn write_timeout(options: &Options) -> Option<Duration> {
    head_timeout(options).and_then(|limit| limit.checked_add(Duration::from_secs(30)))
}

/// The client of the upstream.
pub(crate) fn client<B>(options: &Options, connector: Connector) -> legacy::Client<Connector, Opened<B>>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
{
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(options.pool_idle)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http2_only(options.http2)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(fields::MOST_OF_PEER)
        .build(connector)
}

/// Sends requests over connections that it gives up in time.
#[derive(Clone)]
pub(crate) struct Pool<S> {
    inner: S,
    /// How old a connection is that gets no more requests.
    age: Option<Duration>,
    /// How long a head may take. The layer drops a call then, and does not say why.
    head_timeout: Option<Duration>,
    /// For how many of the next calls over HTTP/1 the connection is captured, which costs as much as a line of the log.
    captures: Arc<AtomicUsize>,
}

/// For how many calls connections are captured once one was seen that is too old.
const CAPTURES: usize = 1000;

impl<S> Pool<S> {
    pub(crate) fn new(options: &Options, inner: S) -> Self {
        Self { inner, age: options.pool_age, head_timeout: head_timeout(options), captures: Arc::default() }
    }

    /// Whether the connection of the next call may have to be given up.
    fn captures(&self, request_version: Version) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        request_version == Version::HTTP_2 || self.captures.fetch_update(Relaxed, Relaxed, one_less).is_ok()
    }
}

impl<S, B> Service<Request<B>> for Pool<S>
where
    S: Service<Request<Opened<B>>, Response = Response<Incoming>, Error: Into<BoxError>>,
    B: Body,
{
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = PoolFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let connection = self.captures(request.version()).then(|| capture_connection(&mut request));
        let over_http2 = (request.version() == Version::HTTP_2).then(|| OverHttp2 {
            opened: Arc::default(),
            has_content: !request.body().is_end_stream(),
            link: None,
            waiting: None,
            until: self.head_timeout.and_then(|limit| Instant::now().checked_add(limit)),
        });
        let opened = over_http2.as_ref().map(|call| Arc::clone(&call.opened));
        let inner = self.inner.call(request.map(|inner| Opened { inner, opened }));
        let call = Call { connection, over_http2, is_answered: false };
        PoolFuture { inner, call, age: self.age, captures: Arc::clone(&self.captures) }
    }
}

pin_project! {
    pub(crate) struct PoolFuture<F> {
        #[pin]
        inner: F,
        call: Call,
        age: Option<Duration>,
        captures: Arc<AtomicUsize>,
    }
}

/// A call, up to its head.
struct Call {
    connection: Option<CaptureConnection>,
    over_http2: Option<OverHttp2>,
    /// Whether the call has come to its end, good or bad.
    is_answered: bool,
}

struct OverHttp2 {
    /// Whether hyper has begun to send the request.
    opened: Arc<AtomicBool>,
    has_content: bool,
    /// The connection, once there is one.
    link: Option<Arc<Link>>,
    /// A stream is waited for, until then.
    waiting: Option<Pin<Box<Sleep>>>,
    /// When the layer drops the call.
    until: Option<Instant>,
}

impl<F, E> Future for PoolFuture<F>
where
    F: Future<Output = Result<Response<Incoming>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<Incoming>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(outcome) = this.inner.poll(cx) {
            this.call.is_answered = true;
            let response = outcome.map_err(|error| this.call.failure(error.into()))?;
            let link = response.extensions().get::<Arc<Link>>();
            if this.age.is_some_and(|age| link.is_some_and(|link| link.made.elapsed() > age)) && !this.call.give_up() {
                this.captures.store(CAPTURES, Relaxed);
            }
            return Poll::Ready(Ok(response));
        }
        if this.call.poll_stream(cx).is_ready() {
            // Streams that end no more are all that a dead connection shows.
            if this.call.is_dead() {
                this.call.give_up();
            }
            this.call.is_answered = true;
            // The upstream allows no more at once, which is no fault of its own.
            let failure = Failure::new(FailureKind::ConnectionLimitReached).with_phase(Phase::Readiness);
            let failure = failure.with_source("the upstream allows no more streams on the connection");
            return Poll::Ready(Err(failure.into()));
        }
        Poll::Pending
    }
}

impl Call {
    /// Ready when a stream has been waited for too long.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(call) = &mut self.over_http2 else { return Poll::Pending };
        // Asked each time: a request that was not sent over one connection goes over another.
        let captured = self.connection.as_ref().map(CaptureConnection::connection_metadata);
        let link = captured.and_then(|connected| connected.as_ref().and_then(Link::of));
        if let Some(link) = link.filter(|link| call.link.as_ref().is_none_or(|before| !Arc::ptr_eq(before, link))) {
            link.note_request();
            call.link = Some(link);
            call.waiting = None;
        }
        // Without a connection the connector is waited for, which has a limit of its own.
        if call.link.is_none() || call.opened.load(Relaxed) {
            call.waiting = None;
            return Poll::Pending;
        }
        call.waiting.get_or_insert_with(|| Box::pin(sleep(WAIT_FOR_STREAM))).as_mut().poll(cx)
    }

    /// What has failed. hyper blames a connection that has gone, while a request waited for a stream on it, on the task of that connection,
    /// and says the same of a body that the client has not finished.
    fn failure(&self, error: BoxError) -> BoxError {
        let mut source: Option<&(dyn Error + 'static)> = Some(&*error);
        // A body that was not read has not failed.
        let may_be_body = self.over_http2.as_ref().is_none_or(|call| call.has_content && call.opened.load(Relaxed));
        while let Some(one) = source.filter(|_| !may_be_body) {
            if one.downcast_ref().is_some_and(hyper::Error::is_user) {
                return Failure::new(FailureKind::ConnectionTerminated).with_source(error).into();
            }
            source = one.source();
        }
        error
    }

    /// Whether the connection is dead, as far as a call can tell that is dropped before its head.
    fn is_dead(&self) -> bool {
        let Some(OverHttp2 { link: Some(link), until, .. }) = &self.over_http2 else { return false };
        // The limit of the layer began a little earlier.
        let is_late = until.is_some_and(|until| until.saturating_duration_since(Instant::now()) < SILENCE / 10);
        link.silence() >= if is_late { SILENCE } else { LONG_SILENCE }
    }

    /// Lets no more requests onto the connection, if it was captured. Those that are under way go on.
    fn give_up(&self) -> bool {
        let Some(connection) = &self.connection else { return false };
        connection.connection_metadata().as_ref().map(Connected::poison).is_some()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Its time was up, or its client has left.
        if !self.is_answered && self.is_dead() {
            self.give_up();
        }
    }
}

/// The body of a request that tells when the request was sent: over HTTP/2 hyper keeps the body as it is until there is a stream, then polls it,
/// or drops it if it is empty. A hyper that waited for room before it polls would look as if there were no stream.
pub(crate) struct Opened<B: Body> {
    inner: B,
    opened: Option<Arc<AtomicBool>>,
}

impl<B: Body> Opened<B> {
    fn note(&mut self) {
        if let Some(opened) = self.opened.take() {
            opened.store(true, Relaxed);
        }
    }
}

impl<B: Body> Drop for Opened<B> {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.note();
        }
    }
}

impl<B: Body + Unpin> Body for Opened<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.note();
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What is known of a connection.
struct Link {
    made: Instant,
    /// Since when a request has been waiting without a word from the other end, in milliseconds since the connection was made. 0 as long as
    /// there was no request over HTTP/2.
    waiting: AtomicU64,
    /// When the connection gave something last, counted in the same way, while there are such requests.
    read: AtomicU64,
}

impl Link {
    /// That of a connection which was captured.
    fn of(connected: &Connected) -> Option<Arc<Self>> {
        let mut extras = Extensions::new();
        connected.get_extras(&mut extras);
        extras.remove()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// A request waits for an answer. If another one does, and nothing has come since, their silence is one.
    fn note_request(&self) {
        if self.waiting.load(Relaxed) <= self.read.load(Relaxed) {
            self.waiting.store(self.now(), Relaxed);
        }
    }

    fn note_read(&self) {
        if self.waiting.load(Relaxed) > 0 {
            self.read.store(self.now(), Relaxed);
        }
    }

    /// For how long nothing has come, seen by a request that waits.
    fn silence(&self) -> Duration {
        let since = self.waiting.load(Relaxed).max(self.read.load(Relaxed));
        Duration::from_millis(self.now().saturating_sub(since))
    }
}

pin_project! {
    /// A connection to the upstream.
    pub(crate) struct UpstreamStream<T> {
        #[pin]
        inner: T,
        link: Arc<Link>,
        // One of the descriptors that upstreams may have.
        permit: OwnedSemaphorePermit,
    }
}

impl<T> UpstreamStream<T> {
    pub(crate) fn new(inner: T, permit: OwnedSemaphorePermit) -> Self {
        let link = Link { made: Instant::now(), waiting: AtomicU64::new(0), read: AtomicU64::new(0) };
        Self { inner, link: Arc::new(link), permit }
    }
}

impl<T: Connection> Connection for UpstreamStream<T> {
    fn connected(&self) -> Connected {
        self.inner.connected().extra(Arc::clone(&self.link))
    }
}

impl<T: Read> Read for UpstreamStream<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        let this = self.project();
        let read = this.inner.poll_read(cx, buffer);
        if read.is_ready() {
            this.link.note_read();
        }
        read
    }
}

impl<T: Write> Write for UpstreamStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.project().inner.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}
