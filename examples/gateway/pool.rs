//! Connections to the upstream, with what hyper's pool leaves out.
//!
//! | what | why |
//! | --- | --- |
//! | an HTTP/2 connection that says nothing more is given up | all requests go over one connection; one whose other end is gone would take them all, each until its time limit. No pings: servers of gRPC answer those that come often with GOAWAY |
//! | a connection gets no new request after five minutes (`--pool-age`) | under steady traffic the name of the upstream would never be looked up again |
//! | a request that waits for a stream is answered 503 after a second | the upstream allows so many at once; the request was never sent, and would wait until its time limit |
//! | small windows for streams, a large one for the connection | a client that does not read holds up its own response, and nobody else's |

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
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
use tokio::time::{Instant, Sleep, sleep};
use tower::Service;
use tower_bad_gateway::{
    BoxError, Failure, FailureKind,
    failure::{Phase, RetrySafety},
};

use crate::{fields, options::Options, tls::Connector};

/// How much of one response may be on its way. Clients that do not read hold as much, each.
const STREAM_WINDOW: u32 = 256 * 1024;
/// How much of all of them: the most that HTTP/2 allows, so that none waits for another.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// How long a request waits for a stream, once it has a connection.
const WAIT_FOR_STREAM: Duration = Duration::from_secs(1);
/// How long a call has to have waited for its head before the connection may be given up: clients leave early as well.
const SILENCE: Duration = Duration::from_secs(1);

/// The client of the upstream.
pub(crate) type Client<B> = legacy::Client<Connector, Opened<B>>;

pub(crate) fn client<B>(options: &Options, connector: Connector) -> Client<B>
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
    pub(crate) inner: S,
    /// For how long a connection gets new requests.
    pub(crate) age: Option<Duration>,
}

impl<S, B> Service<Request<B>> for Pool<S>
where
    S: Service<Request<Opened<B>>, Response = Response<Incoming>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = PoolFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let connection = capture_connection(&mut request);
        let opened = (request.version() == Version::HTTP_2).then(Arc::<AtomicBool>::default);
        let stream = opened.clone().map(|opened| Stream { opened, on: None });
        let inner = self.inner.call(request.map(|inner| Opened { inner, opened }));
        PoolFuture { inner, call: Call { connection, stream, is_answered: false }, age: self.age }
    }
}

pin_project! {
    pub(crate) struct PoolFuture<F> {
        #[pin]
        inner: F,
        call: Call,
        age: Option<Duration>,
    }
}

/// A call, up to its head.
struct Call {
    connection: CaptureConnection,
    /// Over HTTP/2.
    stream: Option<Stream>,
    /// Whether the call has come to its end, good or bad.
    is_answered: bool,
}

struct Stream {
    /// Whether the client library has sent the request.
    opened: Arc<AtomicBool>,
    /// The connection, once there is one.
    on: Option<On>,
}

/// The connection of a call, and what was seen of it since.
struct On {
    link: Arc<Link>,
    since: Instant,
    /// What the connection had read by then; of a new one, when it had given its settings.
    reads: usize,
    /// A stream is waited for, until then.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl On {
    fn of(connected: &Connected) -> Option<Self> {
        let mut extras = Extensions::new();
        connected.get_extras(&mut extras);
        let link: Arc<Link> = extras.remove()?;
        let (reads, waiting) = (link.reads.load(Relaxed), Some(Box::pin(sleep(WAIT_FOR_STREAM))));
        Some(Self { link, since: Instant::now(), reads, waiting })
    }
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
            let response = outcome.map_err(Into::into)?;
            let link = response.extensions().get::<Arc<Link>>();
            if this.age.is_some_and(|age| link.is_some_and(|link| link.made.elapsed() > age)) {
                this.call.give_up();
            }
            return Poll::Ready(Ok(response));
        }
        if this.call.poll_stream(cx).is_ready() {
            this.call.is_answered = true;
            // The upstream allows no more at once. It is not to blame for that, and the request was not sent.
            let failure = Failure::new(FailureKind::ConnectionLimitReached).with_phase(Phase::Readiness);
            let failure = failure.with_source("the upstream allows no more streams on the connection");
            return Poll::Ready(Err(failure.with_retry_safety(RetrySafety::NotSent).into()));
        }
        Poll::Pending
    }
}

impl Call {
    /// Ready when a stream has been waited for too long.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(stream) = &mut self.stream else { return Poll::Pending };
        if stream.on.is_none() {
            // Without a connection the connector is waited for, which has a limit of its own.
            stream.on = self.connection.connection_metadata().as_ref().and_then(On::of);
        }
        let Some(on) = &mut stream.on else { return Poll::Pending };
        let Some(waiting) = &mut on.waiting else { return Poll::Pending };
        ready!(waiting.as_mut().poll(cx));
        on.waiting = None;
        on.reads = on.link.reads.load(Relaxed);
        if stream.opened.load(Relaxed) { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Whether the connection has given nothing since the request was sent.
    fn is_silent(&self) -> bool {
        let on = self.stream.as_ref().and_then(|stream| stream.on.as_ref());
        on.is_some_and(|on| on.since.elapsed() >= SILENCE && on.link.reads.load(Relaxed) == on.reads)
    }

    /// Lets no more requests onto the connection. Those that are under way go on.
    fn give_up(&self) {
        if let Some(connected) = &*self.connection.connection_metadata() {
            connected.poison();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Its time was up, or its client has left.
        if !self.is_answered && self.is_silent() {
            self.give_up();
        }
    }
}

/// The body of a request that tells when the request was sent: over HTTP/2 hyper keeps the body as it is until there is a stream, then polls it,
/// or drops it if it is empty.
pub(crate) struct Opened<B> {
    inner: B,
    opened: Option<Arc<AtomicBool>>,
}

impl<B> Opened<B> {
    fn note(&mut self) {
        if let Some(opened) = self.opened.take() {
            opened.store(true, Relaxed);
        }
    }
}

impl<B> Drop for Opened<B> {
    fn drop(&mut self) {
        self.note();
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
    /// How often it has given something.
    reads: AtomicUsize,
}

pin_project! {
    /// A connection to the upstream.
    pub(crate) struct UpstreamStream<T> {
        #[pin]
        inner: T,
        link: Arc<Link>,
    }
}

impl<T> UpstreamStream<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, link: Arc::new(Link { made: Instant::now(), reads: AtomicUsize::new(0) }) }
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
            this.link.reads.fetch_add(1, Relaxed);
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
