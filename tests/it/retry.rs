//! Repeated calls: which failures are worth a second attempt, and bodies that are sent twice.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{
    Layer, Service as _, ServiceBuilder, ServiceExt,
    retry::{
        RetryLayer,
        budget::{Budget, TpsBudget},
    },
    service_fn,
};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind,
    failure::{Blame, RetrySafety},
    retry::{ReplayBody, RetryPolicy},
};

use crate::mock::{
    Flood, MockBody,
    Step::{Data, Fail, Trailers, Wait},
};

type Sent = Request<ReplayBody<MockBody>>;

fn unlimited() -> RetryPolicy {
    RetryPolicy::new().budget(TpsBudget::new(Duration::from_secs(10), 1000, 1.0))
}

/// How often a call is sent that fails so each time.
async fn attempts(method: &str, failure: Failure) -> usize {
    let sent = AtomicUsize::new(0);
    let upstream = service_fn(|_: Sent| {
        sent.fetch_add(1, Ordering::SeqCst);
        let failure = failure.clone();
        async { Err::<Response<Full<Bytes>>, _>(failure) }
    });
    let request = Request::builder().method(method).body(ReplayBody::new(MockBody::of(["order"]))).unwrap();
    let outcome = RetryLayer::new(unlimited()).layer(upstream).oneshot(request).await;
    assert_eq!(outcome.unwrap_err().kind(), failure.kind());
    sent.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn a_call_is_repeated_once_where_its_failure_allows_it() {
    use FailureKind::*;
    use RetrySafety::{NotProcessed, NotSent, Unknown};
    let rows = [
        // kind, safety, attempts of GET, of POST
        (ConnectionRefused, NotSent, 2, 2),
        (ConnectionTerminated, NotSent, 2, 2),
        (DestinationUnavailable, NotProcessed, 2, 2),
        (DestinationUnavailable, Unknown, 2, 1),
        (ConnectionTerminated, Unknown, 2, 1),
        (HttpResponseIncomplete, Unknown, 2, 1),
        // As late the second time.
        (HttpResponseTimeout, Unknown, 1, 1),
        (ConnectionReadTimeout, Unknown, 1, 1),
        (ConnectionTimeout, NotSent, 1, 1),
        (DnsTimeout, NotSent, 1, 1),
        // The same the second time.
        (TlsCertificateError, NotSent, 1, 1),
        (TlsProtocolError, NotSent, 1, 1),
        (DnsError, NotSent, 1, 1),
        (HttpProtocolError, Unknown, 1, 1),
        (ReceivedStatus, Unknown, 1, 1),
        (Unclassified, Unknown, 1, 1),
        // What the gateway has shed or refused, and its own faults.
        (ConnectionLimitReached, NotSent, 1, 1),
        (HttpRequestDenied, NotSent, 1, 1),
        (ProxyInternalError, NotSent, 1, 1),
        // The client's.
        (HttpRequestError, NotSent, 1, 1),
    ];
    let mut wrong = Vec::new();
    for (kind, safety, get, post) in rows {
        let failure = Failure::new(kind).with_retry_safety(safety);
        let got = (attempts("GET", failure.clone()).await, attempts("POST", failure).await);
        if got != (get, post) {
            wrong.push((kind, safety, got, (get, post)));
        }
    }
    assert!(wrong.is_empty(), "(kind, safety, attempts of GET and POST, expected): {wrong:?}");

    let broken = Failure::new(ConnectionTerminated);
    for method in ["HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        assert_eq!(attempts(method, broken.clone()).await, 2, "{method}");
    }
    for method in ["PATCH", "CONNECT", "get", "ORDER"] {
        assert_eq!(attempts(method, broken.clone()).await, 1, "{method}");
    }
    for blame in [Blame::Client, Blame::Gateway, Blame::Unknown] {
        let refused = Failure::new(ConnectionRefused).with_retry_safety(NotSent).with_blame(blame);
        assert_eq!(attempts("GET", refused).await, 1, "{blame:?}");
    }
}

/// A client of gRPC, a buffer or a connection keeps one instance of the service, and clones it after use.
#[tokio::test(start_paused = true)]
async fn every_call_of_one_service_may_be_repeated() {
    let sent = AtomicUsize::new(0);
    let upstream = service_fn(|_: Sent| {
        sent.fetch_add(1, Ordering::SeqCst);
        async { Err::<Response<Full<Bytes>>, _>(Failure::new(FailureKind::ConnectionTerminated)) }
    });
    let mut service = RetryLayer::new(unlimited()).layer(upstream);
    for calls in 1..=3 {
        let request = Request::new(ReplayBody::new(MockBody::default()));
        service.ready().await.unwrap().call(request).await.unwrap_err();
        assert_eq!(sent.load(Ordering::SeqCst), 2 * calls);
    }
    service.clone().oneshot(Request::new(ReplayBody::new(MockBody::default()))).await.unwrap_err();
    assert_eq!(sent.load(Ordering::SeqCst), 8);
}

/// Also one of which the gateway's own answer would say it.
#[tokio::test(start_paused = true)]
async fn a_response_that_came_is_never_repeated() {
    let sent = AtomicUsize::new(0);
    for status in [500, 502, 503, 504, 429] {
        sent.store(0, Ordering::SeqCst);
        let upstream = service_fn(|_: Sent| {
            sent.fetch_add(1, Ordering::SeqCst);
            let response = Response::builder().status(status).header("retry-after", "1");
            async move { Ok::<_, Failure>(response.body(Full::<Bytes>::default()).unwrap()) }
        });
        let request = Request::new(ReplayBody::new(MockBody::default()));
        let response = RetryLayer::new(unlimited()).layer(upstream).oneshot(request).await.unwrap();
        assert_eq!((response.status().as_u16(), sent.load(Ordering::SeqCst)), (status, 1));
    }
}

/// What a request was is what it is the second time: method, target, fields, extensions and body.
#[tokio::test(start_paused = true)]
async fn the_second_request_is_the_first_one_again() {
    #[derive(Clone, Debug, PartialEq)]
    struct Tenant(&'static str);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let upstream = {
        let seen = Arc::clone(&seen);
        service_fn(move |request: Sent| {
            let seen = Arc::clone(&seen);
            async move {
                let (head, body) = request.into_parts();
                let tenant = head.extensions.get::<Tenant>().cloned();
                let body = body.collect().await.map_err(Failure::from_error)?;
                let trailers = body.trailers().cloned();
                let line = (head.method, head.uri, head.version, head.headers, tenant, body.to_bytes(), trailers);
                seen.lock().unwrap().push(line);
                Err::<Response<Full<Bytes>>, _>(Failure::new(FailureKind::ConnectionTerminated))
            }
        })
    };
    let body = MockBody::steps([Data("or"), Wait(Duration::from_secs(1)), Data("der"), Trailers]);
    let request = Request::put("http://upstream/orders/1?x=1")
        .version(http::Version::HTTP_2)
        .header("idempotency-key", "1")
        .extension(Tenant("a"))
        .body(ReplayBody::new(body))
        .unwrap();
    RetryLayer::new(unlimited()).layer(upstream).oneshot(request).await.unwrap_err();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].5, "order");
    assert_eq!(seen[0].6.as_ref().unwrap()["x-checksum"], "1");
}

/// More than is kept, a client that breaks off, and a body of which nothing was read.
#[tokio::test(start_paused = true)]
async fn a_body_is_sent_again_if_all_of_it_can_be() {
    let broken = || Failure::new(FailureKind::ConnectionTerminated);
    // Body, limit, how many frames are read before the attempt fails, attempts.
    let rows = [
        ("kept", MockBody::of(["order", "s"]), 6, 2, 2),
        ("one byte too much", MockBody::of(["order", "s"]), 5, 2, 1),
        ("too much, but not yet", MockBody::of(["order", "s"]), 5, 1, 2),
        ("nothing was read", MockBody::of(["order", "s"]), 0, 0, 2),
        ("nothing is kept", MockBody::of(["order"]), 0, 1, 1),
        ("no body", MockBody::default().ended(), 0, 0, 2),
        ("broken by its client", MockBody::steps([Data("a"), Fail(io::ErrorKind::ConnectionReset)]), 100, 2, 1),
    ];
    let mut wrong = Vec::new();
    for (name, body, limit, frames, expected) in rows {
        let sent = AtomicUsize::new(0);
        let upstream = service_fn(|mut request: Sent| {
            sent.fetch_add(1, Ordering::SeqCst);
            async move {
                for _ in 0..frames {
                    let _ = request.body_mut().frame().await;
                }
                Err::<Response<Full<Bytes>>, _>(broken())
            }
        });
        let request = Request::put("/").body(ReplayBody::with_limit(body, limit)).unwrap();
        RetryLayer::new(unlimited()).layer(upstream).oneshot(request).await.unwrap_err();
        let got = sent.load(Ordering::SeqCst);
        if got != expected {
            wrong.push((name, got, expected));
        }
    }
    assert!(wrong.is_empty(), "(body, attempts, expected): {wrong:?}");
}

async fn read(body: &mut ReplayBody<MockBody>) -> Result<Option<String>, String> {
    let frame = body.frame().await.transpose().map_err(|error| error.to_string())?;
    Ok(frame.map(|frame| match frame.into_data() {
        Ok(data) => String::from_utf8(data.to_vec()).unwrap(),
        Err(frame) => format!("{:?}", frame.into_trailers().unwrap()),
    }))
}

/// A client library may hold on to the body of an attempt that has failed.
#[tokio::test(start_paused = true)]
async fn a_part_of_a_body_never_ends_as_if_it_were_all() {
    let mut first = ReplayBody::new(MockBody::of(["a", "b", "c"]));
    let mut second = first.clone();
    assert_eq!(read(&mut first).await, Ok(Some("a".to_owned())));
    assert_eq!(read(&mut second).await, Ok(Some("a".to_owned())));
    assert!(!first.is_end_stream());
    assert_eq!(first.size_hint().upper(), None);
    read(&mut first).await.unwrap_err();
    for expected in ["b", "c"] {
        assert_eq!(read(&mut second).await, Ok(Some(expected.to_owned())));
    }
    assert_eq!(read(&mut second).await, Ok(None));
    assert!(second.is_end_stream());

    let mut first = ReplayBody::with_limit(MockBody::of(["a", "b", "c"]), 1);
    let mut second = first.clone();
    for expected in ["a", "b"] {
        assert_eq!(read(&mut first).await, Ok(Some(expected.to_owned())));
    }
    assert!(!second.is_end_stream());
    assert_eq!(
        (second.size_hint().lower(), second.size_hint().upper()),
        (0, None),
        "its length is not that of the rest"
    );
    read(&mut second).await.unwrap_err();
    assert_eq!(read(&mut second).await, Ok(None), "an error once");
    // The one that has all goes on.
    assert_eq!(read(&mut first).await, Ok(Some("c".to_owned())));
    assert_eq!(read(&mut first).await, Ok(None));

    let mut first = ReplayBody::new(MockBody::steps([Data("a"), Fail(io::ErrorKind::ConnectionReset)]));
    let mut second = first.clone();
    assert_eq!(read(&mut first).await, Ok(Some("a".to_owned())));
    read(&mut first).await.unwrap_err();
    assert!(!second.is_end_stream());
    read(&mut second).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_copy_promises_what_is_left_of_the_whole() {
    let exact = |body: &ReplayBody<Full<Bytes>>| body.size_hint().exact();
    let mut first = ReplayBody::new(Full::from("order"));
    let second = first.clone();
    assert_eq!((exact(&first), exact(&second)), (Some(5), Some(5)));
    first.frame().await.unwrap().unwrap();
    assert_eq!((exact(&first), exact(&second)), (Some(0), Some(5)));
    assert_eq!((first.is_end_stream(), second.is_end_stream()), (true, false));

    let open = ReplayBody::new(Flood("x"));
    assert_eq!((open.size_hint().lower(), open.size_hint().upper()), (0, None));
    assert!(ReplayBody::new(Full::<Bytes>::default()).is_end_stream());
}

/// A body whose bounds are nonsense.
struct Odd;

impl Body for Odd {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new()))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let mut hint = http_body::SizeHint::new();
        hint.set_lower(u64::MAX);
        hint
    }
}

#[tokio::test]
async fn bounds_are_no_arithmetic() {
    let mut body = ReplayBody::new(Odd);
    assert_eq!(body.size_hint().lower(), u64::MAX);
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert!(body.frame().await.is_none());
}

/// What nobody else may need is not kept.
#[tokio::test(start_paused = true)]
async fn a_body_without_a_copy_is_not_kept() {
    let kept = Arc::new(());
    let data = Bytes::from_owner(Owner(Arc::clone(&kept), [b'x'; 16]));
    let mut body = ReplayBody::new(Full::from(data.clone()));
    drop(data);
    let copy = body.clone();
    drop(copy);
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(Arc::strong_count(&kept), 2);
    drop(frame);
    assert_eq!(Arc::strong_count(&kept), 1);
}

/// What is decided about a second attempt stays true until that begins.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_has_failed_reads_no_more() {
    let left = Arc::new(Mutex::new(None));
    let upstream = service_fn(|request: Sent| {
        let left = Arc::clone(&left);
        async move {
            let mut body = request.into_body();
            let before: Option<ReplayBody<MockBody>> = left.lock().unwrap().take();
            let Some(mut before) = before else {
                body.frame().await.unwrap().unwrap();
                *left.lock().unwrap() = Some(body);
                return Err(Failure::new(FailureKind::ConnectionRefused).with_retry_safety(RetrySafety::NotProcessed));
            };
            // The client library of the first attempt still has its body, of which no more than a byte is kept.
            assert!(before.frame().await.unwrap().is_err());
            let content = body.collect().await.map_err(|_| Failure::new(FailureKind::ProxyInternalError))?.to_bytes();
            Ok(Response::new(Full::new(content)))
        }
    });
    let request = Request::put("/").body(ReplayBody::with_limit(MockBody::of(["a", "b"]), 1)).unwrap();
    let response = RetryLayer::new(unlimited()).layer(upstream).oneshot(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ab");
}

/// A server gives small parts of large buffers: only one of those may be kept.
#[tokio::test(start_paused = true)]
async fn a_body_in_small_parts_keeps_no_large_buffers() {
    let buffer = Arc::new(());
    let parts = (0..100).map(|_| Bytes::from_owner(Owner(Arc::clone(&buffer), [b'x'; 16])).slice(..1));
    let mut first = ReplayBody::new(Parts(parts.collect()));
    let again = first.clone();
    while let Some(frame) = first.frame().await {
        frame.unwrap();
    }
    assert_eq!(Arc::strong_count(&buffer), 2, "one of them, and this");
    assert_eq!(again.size_hint().lower(), 100);
    assert_eq!(again.collect().await.unwrap().to_bytes(), "x".repeat(100));
}

struct Parts(std::collections::VecDeque<Bytes>);

impl Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.pop_front().map(|data| Ok(Frame::data(data))))
    }
}

struct Owner(#[expect(dead_code, reason = "counted")] Arc<()>, [u8; 16]);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

/// All that is refused, from many clones at once: about a tenth, and the reserve.
#[tokio::test(start_paused = true)]
async fn the_budget_is_one_for_all_clones() {
    let sent = Arc::new(AtomicUsize::new(0));
    let upstream = {
        let sent = Arc::clone(&sent);
        service_fn(move |_: Sent| {
            sent.fetch_add(1, Ordering::SeqCst);
            let failure = Failure::new(FailureKind::ConnectionRefused).with_retry_safety(RetrySafety::NotSent);
            async { Err::<Response<Full<Bytes>>, _>(failure) }
        })
    };
    let service = RetryLayer::new(RetryPolicy::new()).layer(upstream);
    let requests = 20_000;
    for _ in 0..requests {
        let request = Request::new(ReplayBody::new(MockBody::default()));
        service.clone().oneshot(request).await.unwrap_err();
        tokio::time::advance(Duration::from_micros(500)).await;
    }
    let attempts = sent.load(Ordering::SeqCst);
    assert!(attempts > requests + requests / 20, "{attempts}");
    assert!(attempts <= requests + requests / 10, "{attempts}");
}

/// The client gets one answer, by the limit of the layer over both attempts.
#[tokio::test(start_paused = true)]
async fn the_limits_of_the_layer_are_over_all_attempts() {
    let attempt = Arc::new(AtomicUsize::new(0));
    let upstream = {
        let attempt = Arc::clone(&attempt);
        service_fn(move |_: Sent| {
            let is_first = attempt.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                tokio::time::sleep(Duration::from_secs(if is_first { 7 } else { 60 })).await;
                Err::<Response<Full<Bytes>>, _>(io::Error::from(io::ErrorKind::ConnectionReset))
            }
        })
    };
    let gateway = ServiceBuilder::new()
        .layer(BadGatewayLayer::new().head_timeout(Duration::from_secs(10)))
        .map_request(|request: Request<MockBody>| request.map(ReplayBody::new))
        .layer(RetryLayer::new(RetryPolicy::new()))
        .map_err(Failure::from_error)
        .service(upstream);
    let start = tokio::time::Instant::now();
    let request = Request::builder().method(Method::GET).body(MockBody::default().ended()).unwrap();
    let Ok(response) = gateway.oneshot(request).await;
    let failure = response.extensions().get::<Failure>().unwrap();
    assert_eq!(failure.kind(), FailureKind::HttpResponseTimeout);
    assert_eq!(failure.retry_safety(), RetrySafety::Unknown);
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    assert_eq!(attempt.load(Ordering::SeqCst), 2);
}

/// A budget that allows so many.
struct Few(AtomicUsize);

impl Budget for Few {
    fn deposit(&self) {}

    fn withdraw(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_told_what_is_sent_again_and_what_the_budget_does_not_allow() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let policy = RetryPolicy::new().budget(Few(AtomicUsize::new(1))).on_retry(move |failure, is_repeated| {
        tell.lock().unwrap().push((failure.kind(), is_repeated));
        panic!("no matter");
    });
    let layer = RetryLayer::new(policy);
    for (method, kind) in [
        ("GET", FailureKind::ConnectionRefused),
        ("GET", FailureKind::ConnectionTerminated),
        // Not worth a second attempt, or not safe: it is nobody's loss.
        ("GET", FailureKind::HttpResponseTimeout),
        ("POST", FailureKind::ConnectionTerminated),
    ] {
        let upstream = service_fn(move |_: Sent| async move { Err::<Response<Full<Bytes>>, _>(Failure::new(kind)) });
        let request = Request::builder().method(method).body(ReplayBody::new(MockBody::of(["order"]))).unwrap();
        assert!(layer.layer(upstream).oneshot(request).await.is_err());
    }
    let expected = [(FailureKind::ConnectionRefused, true), (FailureKind::ConnectionTerminated, false)];
    assert_eq!(*told.lock().unwrap(), expected);
}
