//! A service and a body that do what they are told, and complain when they are used wrongly.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use tokio::time::Sleep;
use tower::Service;
use tower_bad_gateway::{BoxError, body::BodyError};

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<MockBody>, BoxError>> + Send>>;
type Answering = Arc<dyn Fn(Request<Empty<Bytes>>) -> Answer + Send + Sync>;

/// What `poll_ready` says, one after another; the last one again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ready {
    Yes,
    No,
    Never,
    Refused,
    /// Fails with an error that nobody knows.
    Broken,
}

pub(crate) struct Mock {
    readiness: VecDeque<Ready>,
    answering: Answering,
    armed: bool,
    dead: bool,
    pub(crate) polls: Arc<AtomicUsize>,
    pub(crate) clones: Arc<AtomicUsize>,
}

impl Mock {
    /// Always ready.
    pub(crate) fn new<F>(answering: impl Fn(Request<Empty<Bytes>>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Response<MockBody>, BoxError>> + Send + 'static,
    {
        Self {
            readiness: VecDeque::from([Ready::Yes]),
            answering: Arc::new(move |request| Box::pin(answering(request))),
            armed: false,
            dead: false,
            polls: Arc::default(),
            clones: Arc::default(),
        }
    }

    /// Answers 200 at once.
    pub(crate) fn ok() -> Self {
        Self::new(|_| async { Ok(Response::new(MockBody::of(["ok"]))) })
    }

    /// Fails with what `error` makes.
    pub(crate) fn failing<E: Into<BoxError>>(error: impl Fn() -> E + Send + Sync + 'static) -> Self {
        Self::new(move |_| {
            let error = error().into();
            async { Err(error) }
        })
    }

    /// Never answers.
    pub(crate) fn silent() -> Self {
        Self::new(|_| std::future::pending())
    }

    pub(crate) fn ready(mut self, readiness: impl IntoIterator<Item = Ready>) -> Self {
        self.readiness = readiness.into_iter().collect();
        self
    }
}

impl Clone for Mock {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::SeqCst);
        Self {
            readiness: self.readiness.clone(),
            answering: Arc::clone(&self.answering),
            armed: false,
            dead: false,
            polls: Arc::clone(&self.polls),
            clones: Arc::clone(&self.clones),
        }
    }
}

impl Service<Request<Empty<Bytes>>> for Mock {
    type Response = Response<MockBody>;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        assert!(!self.dead, "polled again after it had failed");
        self.polls.fetch_add(1, Ordering::SeqCst);
        let next = match self.readiness.len() {
            0 => Ready::Yes,
            1 => self.readiness[0],
            _ => self.readiness.pop_front().unwrap(),
        };
        match next {
            Ready::Yes => {
                self.armed = true;
                Poll::Ready(Ok(()))
            }
            Ready::No => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Ready::Never => Poll::Pending,
            Ready::Broken => {
                self.dead = true;
                Poll::Ready(Err("no idea".into()))
            }
            Ready::Refused => {
                self.dead = true;
                Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()))
            }
        }
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Answer {
        assert!(std::mem::take(&mut self.armed), "called without having been ready");
        (self.answering)(request)
    }
}

/// What a body does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Data(&'static str),
    Trailers,
    Fields(&'static [(&'static str, &'static str)]),
    Wait(Duration),
    Fail(io::ErrorKind),
    Silence,
}

#[derive(Debug, Default)]
pub(crate) struct MockBody {
    steps: VecDeque<Step>,
    hint: SizeHint,
    ended: bool,
    sleep: Option<Pin<Box<Sleep>>>,
    _alive: Option<Arc<()>>,
}

impl MockBody {
    pub(crate) fn of(chunks: impl IntoIterator<Item = &'static str>) -> Self {
        Self::steps(chunks.into_iter().map(Step::Data))
    }

    pub(crate) fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }

    pub(crate) fn exact(mut self, length: u64) -> Self {
        self.hint = SizeHint::with_exact(length);
        self
    }

    /// Says that it has ended before it is polled.
    pub(crate) fn ended(mut self) -> Self {
        self.ended = true;
        self
    }

    /// Holds this as long as it lives.
    pub(crate) fn holding(mut self, token: Arc<()>) -> Self {
        self._alive = Some(token);
        self
    }
}

impl Body for MockBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                std::task::ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            return match self.steps.pop_front() {
                Some(Step::Data(text)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))),
                Some(Step::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers())))),
                Some(Step::Fields(fields)) => Poll::Ready(Some(Ok(Frame::trailers(map(fields))))),
                Some(Step::Wait(time)) => {
                    self.sleep = Some(Box::pin(tokio::time::sleep(time)));
                    continue;
                }
                Some(Step::Fail(kind)) => Poll::Ready(Some(Err(kind.into()))),
                Some(Step::Silence) => {
                    self.steps.push_front(Step::Silence);
                    Poll::Pending
                }
                None => Poll::Ready(None),
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// A body that gives the same frame at every poll, and never ends.
#[derive(Debug)]
pub(crate) struct Flood(pub(crate) &'static str);

impl Body for Flood {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.0.as_bytes())))))
    }
}

pub(crate) fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "1".parse().unwrap());
    trailers
}

pub(crate) fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, value.parse().unwrap());
    }
    map
}

pub(crate) fn get() -> Request<Empty<Bytes>> {
    Request::builder().uri("http://upstream/path?query=secret").body(Empty::new()).unwrap()
}

pub(crate) fn request(method: &str, fields: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::builder().method(method).uri("http://upstream/path");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).unwrap()
}

/// The content of a whole body.
pub(crate) async fn text(body: impl Body<Data = Bytes, Error = BodyError>) -> Result<String, BodyError> {
    Ok(String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap())
}
