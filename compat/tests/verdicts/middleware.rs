//! D5: tower, tower-http, http-body-util and tokio, on the way to an upstream.

use std::{
    convert::Infallible,
    error::Error,
    future::{Ready, pending, ready},
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    balance::p2c::Balance,
    buffer::Buffer,
    discover::Change,
    load::{CompleteOnResponse, PendingRequestsDiscover},
    ready_cache::ReadyCache,
    service_fn,
    spawn_ready::SpawnReady,
};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure,
    FailureKind::*,
    failure::{Blame, Phase, RetrySafety},
};

use crate::{
    row::{body, call, check},
    upstream::{self, End},
};

/// Where a timeout is expected.
const SOON: Duration = Duration::from_millis(300);
const CONNECT: &[Phase] = &[Phase::Connect];
const READINESS: &[Phase] = &[Phase::Readiness];

fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

/// Never ready: fails at once, late, or with a text.
#[derive(Clone, Copy, Debug)]
enum Unready {
    Refused,
    Text,
    Never,
    Panics,
    PanicsLater,
    TimedOut,
}

impl Service<()> for Unready {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Refused => Poll::Ready(Err(refused().into())),
            Self::TimedOut => Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut).into())),
            Self::Text => Poll::Ready(Err("boom".into())),
            Self::Never => Poll::Pending,
            Self::Panics => panic!("boom"),
            Self::PanicsLater => {
                *self = Self::Panics;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn call(&mut self, _: ()) -> Self::Future {
        ready(Ok(()))
    }
}

/// What the nth call through a buffer comes to.
async fn buffered(service: Unready, calls: usize) -> BoxError {
    let mut buffer = Buffer::new(service, 4);
    for _ in 1..calls {
        if let Ok(ready) = buffer.ready().await {
            let _ = ready.call(()).await;
        }
    }
    match buffer.ready().await {
        Ok(ready) => ready.call(()).await.unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test]
async fn buffers_and_balancers() {
    check(vec![
        call("D5a", &[ConnectionRefused], || buffered(Unready::Refused, 1)).not_sent(CONNECT),
        call("D5a/2", &[ConnectionRefused], || buffered(Unready::Refused, 2)).not_sent(CONNECT),
        call("D5a/3", &[ConnectionRefused], || buffered(Unready::Refused, 3)).not_sent(CONNECT),
        call("D5a/late", &[HttpResponseTimeout], || buffered(Unready::TimedOut, 1)).not_sent(READINESS),
        call("D5a/text", &[DestinationUnavailable], || buffered(Unready::Text, 1)).not_sent(READINESS),
        call("D5a/panic", &[DestinationUnavailable], || buffered(Unready::Panics, 1)).not_sent(READINESS),
        call("D5b", &[DestinationUnavailable], || async {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
            // Not in this thread, which runs a runtime already; and to its end, before anybody calls.
            let made = std::thread::spawn(move || runtime.block_on(async { Buffer::new(Unready::Never, 4) }));
            let mut buffer = made.join().unwrap();
            match buffer.ready().await {
                Ok(ready) => ready.call(()).await.unwrap_err(),
                Err(error) => error,
            }
        })
        .not_sent(READINESS),
        call("D5c", &[ConnectionRefused], || async { SpawnReady::new(Unready::Refused).ready().await.err().unwrap() })
            .not_sent(CONNECT),
        // A task of its own that panics is a bug here.
        call("D5c/panic", &[ProxyInternalError], || async {
            SpawnReady::new(Unready::PanicsLater).ready().await.err().unwrap()
        }),
        call("D5d", &[ConnectionRefused], || async {
            let mut cache = ReadyCache::default();
            cache.push("endpoint", Unready::Refused);
            std::future::poll_fn(|cx| cache.poll_pending(cx)).await.unwrap_err()
        })
        .not_sent(CONNECT),
        call("D5e2", &[DestinationNotFound], || async { balanced(refused()).await }).not_sent(READINESS),
        // Whether the discovery waits for somebody else, nothing tells.
        call("D5e3", &[DestinationUnavailable], || async {
            let late = tokio::time::timeout(Duration::ZERO, pending::<()>()).await.unwrap_err();
            balanced(late).await
        })
        .blame(Blame::Unknown)
        .not_sent(READINESS),
        // Whatever it was doing then.
        call("D5e3/connect", &[DestinationUnavailable], || async {
            let slow = service_fn(|_: http::Uri| Box::pin(pending::<io::Result<Pipe>>()));
            let connector = ServiceBuilder::new().boxed_clone_sync().timeout(Duration::ZERO).service(slow);
            let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
            balanced(client.get("http://upstream.example".parse().unwrap()).await.unwrap_err()).await
        })
        .blame(Blame::Unknown)
        .not_sent(READINESS),
        call("D5e3/io", &[DestinationUnavailable], || async {
            balanced(io::Error::from(io::ErrorKind::TimedOut)).await
        })
        .blame(Blame::Unknown)
        .not_sent(READINESS),
    ])
    .await;
}

type Endpoints<E> = Pin<Box<dyn Stream<Item = Result<Change<usize, Unready>, E>> + Send>>;

/// A balancer over endpoints that are refused, and a discovery that then fails or goes on for ever.
fn balancer<E>(failure: Option<E>) -> Balance<PendingRequestsDiscover<Endpoints<E>>, ()>
where
    E: Error + Send + Sync + 'static,
{
    let found = stream::iter([Ok(Change::Insert(0, Unready::Refused)), Ok(Change::Insert(1, Unready::Refused))]);
    let endpoints: Endpoints<E> = match failure {
        Some(error) => Box::pin(stream::once(ready(Err(error)))),
        None => Box::pin(futures_util::StreamExt::chain(found, stream::pending())),
    };
    Balance::new(PendingRequestsDiscover::new(endpoints, CompleteOnResponse::default()))
}

async fn balanced(failure: impl Error + Send + Sync + 'static) -> BoxError {
    balancer(Some(failure)).ready().await.err().unwrap()
}

/// It drops endpoints that fail without a word, and is not ready any more.
#[tokio::test(start_paused = true)]
async fn a_balancer_without_endpoints_is_not_ready() {
    let mut balancer = ServiceBuilder::new()
        .layer(BadGatewayLayer::new().silent())
        .map_request(|_: Request<Full<Bytes>>| ())
        .map_response(|()| Response::new(Full::<Bytes>::default()))
        .service(balancer::<io::Error>(None));
    let request = Request::new(Full::default());
    let Ok(response) = balancer.ready().await.unwrap().call(request).await;
    let failure = response.extensions().get::<Failure>().unwrap();
    // D5e, D5c/never.
    assert_eq!(
        (response.status().as_u16(), failure.kind(), failure.blame(), failure.retry_safety()),
        (503, DestinationUnavailable, Blame::Unknown, RetrySafety::NotSent)
    );
}

#[tokio::test]
async fn limits_and_filters() {
    check(vec![
        call("D5f", &[ConnectionLimitReached], || async {
            let mut shed = ServiceBuilder::new().load_shed().service(Unready::Never);
            shed.ready().await.unwrap().call(()).await.unwrap_err()
        })
        .not_sent(READINESS),
        call("D5g", &[HttpResponseTimeout], || async {
            let slow = service_fn(|()| pending::<Result<(), Infallible>>());
            ServiceBuilder::new().timeout(Duration::ZERO).service(slow).oneshot(()).await.unwrap_err()
        }),
        call("D5g2", &[ConnectionTimeout], || async {
            let slow = service_fn(|_: http::Uri| Box::pin(pending::<io::Result<Pipe>>()));
            let connector = ServiceBuilder::new().boxed_clone_sync().timeout(Duration::ZERO).service(slow);
            let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
            client.get("http://upstream.example".parse().unwrap()).await.unwrap_err()
        })
        .not_sent(CONNECT),
        // It may be anything, and anybody's.
        call("D5h", &[Unclassified], || {
            let filter = ServiceBuilder::new().filter(|(): ()| Err::<(), _>(BoxError::from("not today")));
            let filtered = filter.service(service_fn(|()| ready(Ok::<_, Infallible>(()))));
            futures_util::FutureExt::map(filtered.oneshot(()), Result::unwrap_err)
        }),
        call("D5q", &[ProxyInternalError], || async { tokio::spawn(async { panic!("boom") }).await.unwrap_err() }),
        call("D5q2", &[DestinationUnavailable], || async {
            let task = tokio::spawn(pending::<()>());
            task.abort();
            task.await.unwrap_err()
        })
        .blame(Blame::Gateway),
        call("D5q3", &[Unclassified], || async {
            let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
            drop(sender);
            receiver.await.unwrap_err()
        }),
        call("D5q4", &[ConnectionLimitReached], || async { tokio::sync::Semaphore::new(0).try_acquire().unwrap_err() }),
        call("D5q5", &[Unclassified], || async {
            let closed = tokio::sync::Semaphore::new(0);
            closed.close();
            closed.acquire().await.unwrap_err()
        }),
        call("D5q6", &[ProxyConfigurationError], || async { Request::builder().uri("http://[").body(()).unwrap_err() }),
        call("D5q7", &[ProxyConfigurationError], || async { "http://[".parse::<http::Uri>().unwrap_err() }),
    ])
    .await;
}

type Pipe = hyper_util::rt::TokioIo<tokio::net::TcpStream>;

/// Nothing comes, after the head.
fn silent_body() -> UnsyncBoxBody<Bytes, Infallible> {
    StreamBody::new(stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>()).boxed_unsync()
}

async fn collected<B>(body: B) -> B::Error
where
    B: http_body::Body<Error: std::fmt::Debug>,
{
    match body.collect().await {
        Ok(_) => panic!("the body is whole"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn limits_and_codings_of_bodies() {
    use tower_http::{decompression::Decompression, timeout::ResponseBodyTimeoutLayer};

    async fn decoded(content: &'static [u8], end: End, length: &'static str) -> BoxError {
        let address = upstream::listen(move |mut stream| async move {
            upstream::read_head(&mut stream).await?;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n");
            tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await?;
            tokio::io::AsyncWriteExt::write_all(&mut stream, content).await?;
            end.of(stream).await
        });
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let uri = format!("http://{}", address.await);
        let request = Request::builder().uri(uri).body(Full::default()).unwrap();
        let response = Decompression::new(client).oneshot(request).await.unwrap();
        collected(response.into_body()).await
    }
    const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    check(vec![
        body("D5j", &[ConnectionReadTimeout], || async {
            let upstream =
                service_fn(|_: Request<Full<Bytes>>| ready(Ok::<_, Infallible>(Response::new(silent_body()))));
            let limited = ResponseBodyTimeoutLayer::new(SOON).layer(upstream);
            let response = limited.oneshot(Request::new(Full::default())).await.unwrap();
            collected(response.into_body()).await
        }),
        body("D5j/0.6", &[ConnectionReadTimeout], || async {
            let upstream =
                service_fn(|_: Request<Full<Bytes>>| ready(Ok::<_, Infallible>(Response::new(silent_body()))));
            let limited = tower_http_0_6::timeout::ResponseBodyTimeoutLayer::new(SOON).layer(upstream);
            let response = limited.oneshot(Request::new(Full::default())).await.unwrap();
            collected(response.into_body()).await
        }),
        body("D5m", &[HttpResponseBodySize], || async {
            collected(Limited::new(Full::<Bytes>::from("too long"), 3)).await
        }),
        call("D5m/h", &[HttpResponseBodySize], || async {
            axum::body::to_bytes(axum::body::Body::from("too long"), 3).await.unwrap_err()
        }),
        body("D5n", &[HttpResponseContentCoding], || decoded(b"no gzip", End::Close, "7")),
        body("D5n/early", &[HttpResponseContentCoding], || decoded(GZIP, End::Close, "10")),
        body("D5n/cut", &[HttpResponseIncomplete], || decoded(GZIP, End::Close, "20")),
        body("D5n/reset", &[ConnectionTerminated, HttpResponseIncomplete], || decoded(GZIP, End::Reset, "20")),
    ])
    .await;
}

/// Uploads that pass a limit of tower-http before they are sent.
#[tokio::test]
async fn limits_of_uploads() {
    use tower_http::{limit::RequestBodyLimitLayer, timeout::RequestBodyTimeoutLayer};

    type Boxed = UnsyncBoxBody<Bytes, BoxError>;
    type Sending = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Sent>> + Send>>;
    fn sending<B>(request: Request<B>) -> Sending
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let client = Client::builder(TokioExecutor::new()).build_http::<Boxed>();
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        Box::pin(async move { client.request(request).await.map(|_| Response::default()).map_err(Sent) })
    }
    async fn upload(content: UnsyncBoxBody<Bytes, Infallible>) -> Request<UnsyncBoxBody<Bytes, Infallible>> {
        let silent = upstream::answering(b"", End::Silence).await;
        Request::builder().method("POST").uri(format!("http://{silent}")).body(content).unwrap()
    }
    check(vec![
        call("D5k", &[HttpRequestError], || async {
            let limited = RequestBodyTimeoutLayer::new(SOON).layer(service_fn(sending));
            limited.oneshot(upload(silent_body()).await).await.unwrap_err().0
        })
        .phase(&[Phase::RequestBody])
        .with_content()
        .status(408),
        call("D5l", &[HttpRequestError], || async {
            // Its length is not known before: the limit is found out on the way.
            let frames = stream::iter(["so", "too long"].map(|part| Ok(http_body::Frame::data(Bytes::from(part)))));
            let content = StreamBody::new(frames).boxed_unsync();
            let limited = RequestBodyLimitLayer::new(3).layer(service_fn(sending));
            limited.oneshot(upload(content).await).await.err().unwrap().0
        })
        .phase(&[Phase::RequestBody])
        .with_content()
        .status(413),
    ])
    .await;
}

/// A service that collects what it is sent may have found the client's body too long, or the upstream's.
#[tokio::test]
async fn a_limit_before_the_head_is_blamed_on_nobody_if_there_was_an_upload() {
    for (content, blame) in [("an upload", Blame::Unknown), ("", Blame::Upstream)] {
        let collecting = service_fn(|_: Request<Full<Bytes>>| async {
            let collected = axum::body::to_bytes(axum::body::Body::from("too long"), 3).await;
            collected.map(|content| Response::new(Full::from(content)))
        });
        let request = Request::builder().method("POST").body(Full::from(content)).unwrap();
        let Ok(response) = BadGatewayLayer::new().silent().layer(collecting).oneshot(request).await;
        let failure = response.extensions().get::<Failure>().unwrap();
        assert_eq!((failure.kind(), failure.blame()), (HttpResponseBodySize, blame), "{content:?}");
    }
}

/// HTTP/2 keeps nothing of why a body broke: the tap has seen it whole, so that it may have been anybody.
#[tokio::test]
async fn an_upload_that_a_limit_inside_of_the_tap_cuts_off_over_http2() {
    use tower_bad_gateway::{RequestBodyTap, body::RequestBody};

    type Upload = UnsyncBoxBody<Bytes, Infallible>;
    let silent = upstream::listen(|mut stream| async move {
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"\0\0\0\x04\0\0\0\0\0").await?;
        upstream::drain(&mut stream).await
    });
    let uri = format!("http://{}", silent.await);
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let frames = stream::iter(["so", "too long"].map(|part| Ok(http_body::Frame::data(Bytes::from(part)))));
    let request = Request::builder().method("POST").version(http::Version::HTTP_2).uri(uri);
    let stack = ServiceBuilder::new()
        .layer(RequestBodyTap::new())
        .layer(BadGatewayLayer::new().silent())
        .map_request(|request: Request<RequestBody<Upload>>| {
            request.map(|body| BodyExt::boxed_unsync(BodyExt::map_err(Limited::new(body, 3), io::Error::other)))
        })
        .service(client);
    let Ok(response) = stack.oneshot(request.body(StreamBody::new(frames).boxed_unsync()).unwrap()).await;
    let failure = response.extensions().get::<Failure>().unwrap();
    assert_eq!((response.status().as_u16(), failure.kind(), failure.blame()), (400, HttpRequestError, Blame::Unknown));
}

/// Of a call, in a type of its own: a boxed error loses its lifetime in an async block.
#[derive(Debug)]
struct Sent(hyper_util::client::legacy::Error);

/// A response that says so itself passes, whoever has made it.
#[tokio::test(start_paused = true)]
async fn an_answer_of_tower_http_passes() {
    let stack = ServiceBuilder::new()
        .layer(BadGatewayLayer::new().silent())
        .layer(tower_http::timeout::TimeoutLayer::with_status_code(http::StatusCode::GATEWAY_TIMEOUT, SOON))
        .service(service_fn(|_: Request<Full<Bytes>>| pending::<Result<Response<Full<Bytes>>, Infallible>>()));
    let Ok(response) = stack.oneshot(Request::new(Full::default())).await;
    // D5i.
    assert_eq!((response.status().as_u16(), response.extensions().get::<Failure>().is_none()), (504, true));
}
