//! What every request meets first: an identifier, the paths of the gateway's own, and a line in the log when all is over.

use std::{
    fmt::Write,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ALLOW, CONTENT_TYPE, UPGRADE},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::service::Service;
use pin_project_lite::pin_project;
use tower::{ServiceExt, util::Oneshot};
use tower_bad_gateway::{BoxError, Failure, context::RequestId};

use crate::{
    client::{Client, Exchange, Stream, Upload},
    fields,
    forward::{ID, max_forwards},
    log,
    options::Options,
};

/// Shared by all connections.
pub(crate) struct Front {
    /// What identifiers begin with, different for every start.
    prefix: String,
    count: AtomicU64,
    /// Where clients may bring an identifier of their own.
    names: Vec<HeaderName>,
    /// Whether the upstream can be asked to switch protocols.
    can_upgrade: bool,
    draining: AtomicBool,
    cutting: AtomicBool,
    /// How many connections there are.
    pub(crate) connections: Arc<AtomicU64>,
    /// How many requests are over, by the status that was sent; those without one at 0.
    ended: Box<[AtomicU64]>,
}

impl Front {
    pub(crate) fn new(options: &Options) -> Arc<Self> {
        let mut names = options.request_id_headers.clone();
        names.extend(options.trust_forwarded.then_some(ID));
        let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Arc::new(Self {
            prefix: format!("{start:x}-{:x}-", std::process::id()),
            count: AtomicU64::new(0),
            names,
            can_upgrade: !options.http2,
            draining: AtomicBool::new(false),
            cutting: AtomicBool::new(false),
            connections: Arc::default(),
            ended: (0..1000).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// How many requests are over, by the status that was sent, as far as there are any.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.ended.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
        counts.filter(|(_, count)| *count > 0)
    }

    /// From now on `/-/ready` says no.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What ends from now on without an end was ended by the gateway.
    pub(crate) fn cut(&self) {
        self.cutting.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cutting(&self) -> bool {
        self.cutting.load(Ordering::Relaxed)
    }

    fn id<B>(&self, request: &Request<B>) -> Option<RequestId> {
        // The layer could read it (`request_id_header`), but the line in the log and the upstream need it as well.
        let brought = self.names.iter().find_map(|name| RequestId::from_field(request.headers(), name));
        let made = || format!("{}{:x}", self.prefix, self.count.fetch_add(1, Ordering::Relaxed));
        brought.or_else(|| RequestId::try_from(made()).ok())
    }

    /// Paths that never reach the upstream.
    pub(crate) fn own<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return None;
        }
        let (status, text) = match request.uri().path() {
            "/-/live" => (StatusCode::OK, "live\n"),
            "/-/ready" if self.draining.load(Ordering::Relaxed) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            "/-/ready" => (StatusCode::OK, "ready\n"),
            _ => return None,
        };
        Some(answer(status, text))
    }
}

fn answer(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// Why a request is no concern of the upstream.
fn refusal<B>(request: &Request<B>) -> Option<Response<Full<Bytes>>> {
    const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    if fields::are_too_large(request.headers()) {
        return Some(answer(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too many header fields, or too large\n"));
    }
    let is_last = || *request.method() == Method::OPTIONS && max_forwards(request.headers()) == Some(0);
    let mut refusal = if *request.method() == Method::TRACE {
        // It would send back what only this gateway and its neighbours should see.
        answer(StatusCode::METHOD_NOT_ALLOWED, "")
    } else if is_last() {
        answer(StatusCode::OK, "")
    } else {
        return None;
    };
    refusal.headers_mut().insert(ALLOW, METHODS);
    Some(refusal)
}

/// The service of one connection.
#[derive(Clone)]
pub(crate) struct Door<S> {
    pub(crate) front: Arc<Front>,
    pub(crate) client: Arc<Client>,
    pub(crate) gateway: S,
}

impl<S, A, B> Service<Request<A>> for Door<S>
where
    S: tower::Service<Request<Upload<A>>, Response = Response<B>> + Clone,
    A: Body,
    B: Body + Send + 'static,
{
    type Response = Response<Either<Full<Bytes>, Logged<B>>>;
    type Error = S::Error;
    type Future = DoorFuture<Oneshot<S, Request<Upload<A>>>>;

    /// Without a look at what is behind it: whether this process lives does not depend on that.
    fn call(&self, request: Request<A>) -> Self::Future {
        if let Some(own) = self.front.own(&request) {
            self.client.note_own_answer(!request.body().is_end_stream());
            return DoorFuture { inner: None, own: Some(own), line: None };
        }
        let id = self.front.id(&request);
        let refusal = refusal(&request);
        let (exchange, mut request) = Exchange::begin(&self.client, request);
        let line = Line {
            front: Arc::clone(&self.front),
            client: Arc::clone(&self.client),
            exchange,
            request: title(&request),
            id: id.clone(),
            since: Instant::now(),
            status: 0,
            has_content: request.method() != Method::HEAD,
            failure: None,
            bytes: 0,
            length: None,
            end: None,
        };
        if refusal.is_some() {
            return DoorFuture { inner: None, own: refusal, line: Some(line) };
        }
        if !self.front.can_upgrade {
            // What cannot be passed on must not look asked for to the layer.
            request.headers_mut().remove(UPGRADE);
        }
        request.extensions_mut().insert(self.client.peer.clone());
        if let Some(id) = id {
            request.extensions_mut().insert(id);
        }
        DoorFuture { inner: Some(self.gateway.clone().oneshot(request)), own: None, line: Some(line) }
    }
}

/// Method, path and version, for the log; a path may be longer than anyone wants to read.
fn title<B>(request: &Request<B>) -> String {
    let uri = request.uri();
    let target = match uri.authority() {
        Some(authority) if request.method() == Method::CONNECT => authority.as_str(),
        _ => uri.path(),
    };
    // Where a character ends.
    let most = target.len().min(1024);
    let end = (0..=most).rev().find(|end| target.is_char_boundary(*end)).unwrap_or_default();
    let shown = target.get(..end).unwrap_or(target);
    let version = match request.version() {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    };
    [request.method().as_str(), shown, version].join(" ")
}

pin_project! {
    pub(crate) struct DoorFuture<F> {
        #[pin]
        inner: Option<F>,
        own: Option<Response<Full<Bytes>>>,
        line: Option<Line>,
    }
}

impl<F, B, E> Future for DoorFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + Send + 'static,
{
    type Output = Result<Response<Either<Full<Bytes>, Logged<B>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            let own = this.own.take().unwrap_or_default();
            if let Some(line) = this.line {
                line.status = own.status().as_u16();
                line.bytes = own.body().size_hint().exact().filter(|_| line.has_content).unwrap_or_default();
                line.end = Some("answered by the gateway");
            }
            return Poll::Ready(Ok(own.map(Either::Left)));
        };
        let response = ready!(inner.poll(cx))?;
        if let Some(line) = this.line {
            line.status = response.status().as_u16();
            line.failure = response.extensions().get::<Failure>().map(|failure| failure.kind().token());
            line.length = response.body().size_hint().exact();
            line.exchange.give();
            line.has_content &= ![204, 304].contains(&line.status);
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                line.client.note_shared();
            }
        }
        let line = this.line.take();
        Poll::Ready(Ok(response.map(|inner| Either::Right(Logged::new(inner, line)))))
    }
}

/// One request, written to the log when it is dropped: nothing can end without a line.
struct Line {
    front: Arc<Front>,
    client: Arc<Client>,
    exchange: Exchange,
    request: String,
    id: Option<RequestId>,
    since: Instant,
    status: u16,
    /// Whether the response has content that could be cut.
    has_content: bool,
    failure: Option<&'static str>,
    bytes: u64,
    /// What the head promised.
    length: Option<u64>,
    /// `None`: it was dropped before it came to one.
    end: Option<&'static str>,
}

impl Drop for Line {
    fn drop(&mut self) {
        // Whoever writes the response may stop asking once the promised length has come.
        let is_complete = self.status != 0 && (self.length == Some(self.bytes) || !self.has_content);
        if self.status != 0 && self.end.is_none() && !is_complete {
            self.exchange.break_off(self.length.is_some());
        }
        let end = match self.end {
            Some(end) => end,
            None if is_complete => "complete",
            None if self.client.is_stalled() => "not taken by the client",
            None if self.front.is_cutting() => "cut by the gateway",
            None => "left by the client",
        };
        if let Some(count) = self.front.ended.get(usize::from(self.status)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        log::request(|line| {
            write!(line, "{end} client={} request={:?} status={}", self.client.peer, self.request, self.status)?;
            if let Some(failure) = self.failure {
                write!(line, " failure={failure:?}")?;
            }
            write!(line, " bytes={} ms={}", self.bytes, self.since.elapsed().as_millis())?;
            match &self.id {
                Some(id) => write!(line, " request_id={id}"),
                None => Ok(()),
            }
        });
    }
}

pin_project! {
    /// A body that knows how it ended.
    pub(crate) struct Logged<B> {
        #[pin]
        inner: Inner<B>,
        line: Option<Line>,
    }
}

pin_project! {
    /// Where the body is.
    #[project = InnerProj]
    enum Inner<B> {
        Here { #[pin] body: B },
        // Over HTTP/2, where the connection may let go of it.
        Shared { slot: Arc<Slot<B>> },
    }
}

/// A body that the connection may let go of.
struct Slot<B>(Mutex<Waiting<B>>);

struct Waiting<B> {
    /// `None` once that has happened.
    body: Option<Pin<Box<B>>>,
    /// Since when it is the client's turn.
    given: Option<tokio::time::Instant>,
}

impl<B> Slot<B> {
    fn lock(&self) -> MutexGuard<'_, Waiting<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Send> Stream for Slot<B> {
    fn end_if_stalled(&self, limit: Duration) -> Option<Duration> {
        let mut waiting = self.lock();
        waiting.body.as_ref()?;
        let rest = waiting.given.map_or(limit, |since| limit.saturating_sub(since.elapsed()));
        if !rest.is_zero() {
            return Some(rest);
        }
        let stalled = waiting.body.take();
        // Let go of outside of the lock.
        drop(waiting);
        drop(stalled);
        None
    }
}

impl<B: Body + Send + 'static> Logged<B> {
    fn new(inner: B, mut line: Option<Line>) -> Self {
        if let Some(line) = line.as_mut().filter(|_| inner.is_end_stream()) {
            line.end = Some("complete");
        }
        let inner = match &line {
            Some(line) if line.exchange.is_http2() && !inner.is_end_stream() => {
                let waiting = Waiting { body: Some(Box::pin(inner)), given: Some(tokio::time::Instant::now()) };
                let slot = Arc::new(Slot(Mutex::new(waiting)));
                let watched: Weak<Slot<B>> = Arc::downgrade(&slot);
                line.client.watch(watched);
                Inner::Shared { slot }
            }
            _ => Inner::Here { body: inner },
        };
        Self { inner, line }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for Logged<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if let Some(line) = this.line {
            line.exchange.ask();
        }
        let frame = match this.inner.as_mut().project() {
            InnerProj::Here { body } => ready!(body.poll_frame(cx)),
            InnerProj::Shared { slot } => {
                // Until the frame is here: a response that is asked for meanwhile must not be let go of.
                let mut waiting = slot.lock();
                waiting.given = None;
                let frame = match waiting.body.as_mut() {
                    Some(body) => ready!(body.as_mut().poll_frame(cx)),
                    None => {
                        if let Some(line) = this.line {
                            line.end = Some("not taken by the client");
                        }
                        return Poll::Ready(Some(Err("its client takes nothing".into())));
                    }
                };
                waiting.given = Some(tokio::time::Instant::now());
                frame
            }
        };
        if let Some(line) = this.line {
            match &frame {
                Some(Ok(frame)) => {
                    line.exchange.give();
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    line.bytes = line.bytes.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                    // Whoever writes the response need not ask again after trailers.
                    if frame.is_trailers() || this.inner.is_end_stream() {
                        line.end = Some("complete");
                    }
                }
                Some(Err(_)) => {
                    line.end = Some("cut off");
                    line.exchange.break_off(line.length.is_some());
                }
                None => line.end = Some("complete"),
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Here { body } => body.size_hint(),
            Inner::Shared { slot } => slot.lock().body.as_ref().map_or_else(SizeHint::new, |body| body.size_hint()),
        }
    }
}

impl<B: Body> Inner<B> {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Here { body } => body.is_end_stream(),
            Self::Shared { slot } => slot.lock().body.as_ref().is_some_and(|body| body.is_end_stream()),
        }
    }
}
