//! What becomes of a body on its way through.

use std::{
    error::Error as _,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http::{Response, Version};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{
    BadGatewayLayer, Failure, FailureKind,
    body::{BodyError, ResponseBody},
    failure::{Phase, RetrySafety},
};

use crate::mock::{Mock, MockBody, Step, get, trailers};

async fn through(layer: BadGatewayLayer, body: MockBody) -> ResponseBody<MockBody> {
    let body = Mutex::new(Some(body));
    let upstream = Mock::new(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async { Ok(Response::new(body)) }
    });
    let Ok(response) = layer.layer(upstream).oneshot(get()).await;
    response.into_body()
}

/// Passes on the head of a body that is broken already.
fn unpeeked() -> BadGatewayLayer {
    BadGatewayLayer::new().peek(false)
}

async fn next<B: Body + Unpin>(body: &mut B) -> Option<Result<Frame<B::Data>, B::Error>> {
    poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

#[tokio::test]
async fn frames_trailers_and_hints_are_passed_on_as_they_are() {
    let mut body =
        through(BadGatewayLayer::new(), MockBody::steps([Step::Data("a"), Step::Data(""), Step::Trailers]).exact(1))
            .await;
    assert_eq!(body.size_hint().exact(), Some(1));
    assert!(!body.is_end_stream());
    assert_eq!(next(&mut body).await.unwrap().unwrap().into_data().unwrap(), "a");
    assert_eq!(next(&mut body).await.unwrap().unwrap().into_data().unwrap(), "", "an empty frame is a frame");
    assert_eq!(next(&mut body).await.unwrap().unwrap().into_trailers().unwrap(), trailers());
    assert!(next(&mut body).await.is_none());
}

/// The first frame of a body is looked at before its head goes out, and is a frame as any other.
#[tokio::test]
async fn an_empty_frame_at_the_start_is_passed_on() {
    for layer in [BadGatewayLayer::new(), unpeeked()] {
        let mut body = through(layer, MockBody::steps([Step::Data(""), Step::Data("a")])).await;
        for expected in ["", "a"] {
            assert_eq!(next(&mut body).await.unwrap().unwrap().into_data().unwrap(), expected);
        }
        assert!(next(&mut body).await.is_none());
    }
}

/// Over HTTP/2 that is one HEADERS frame instead of two frames.
#[tokio::test]
async fn a_body_that_has_ended_before_it_is_polled_says_so() {
    let body = through(BadGatewayLayer::new(), MockBody::of([]).ended().exact(0)).await;
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
}

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server that polls the body before it has sent the head sends the head first, also through a layer that makes data of one
/// "not yet", as compression does.
#[tokio::test]
async fn the_first_error_comes_a_few_wakes_later() {
    let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);

    let token = Arc::new(());
    let broken = MockBody::steps([Step::Fail(io::ErrorKind::ConnectionReset), Step::Data("never")]).exact(7);
    let body = through(unpeeked(), broken.holding(Arc::clone(&token))).await;
    let mut body = pin!(body);

    assert!(body.as_mut().poll_frame(&mut cx).is_pending());
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1, "and it asks to be polled again");
    for _ in 0..7 {
        assert!(body.as_mut().poll_frame(&mut cx).is_pending());
    }
    assert_eq!(wakes.0.load(Ordering::SeqCst), 8, "each time");
    assert_eq!(Arc::strong_count(&token), 1, "the upstream's body is gone already");
    assert!(!body.is_end_stream(), "not a clean end");
    assert_eq!(body.size_hint().exact(), Some(7), "what was promised stays promised");

    let Poll::Ready(Some(Err(error))) = body.as_mut().poll_frame(&mut cx) else { panic!("no error") };
    assert_eq!(error.failure().kind(), FailureKind::ConnectionTerminated);
    assert_eq!(error.failure().phase(), Phase::ResponseBody);

    assert!(matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(None)));
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(None)), "the error is the last word");
}

/// Over HTTP/2 the head is sent by another task, which needs time and not turns.
#[tokio::test(start_paused = true)]
async fn over_http2_the_first_error_comes_a_moment_later() {
    for (version, expected) in [(Version::HTTP_11, 0), (Version::HTTP_2, 20)] {
        let broken = || async { Ok(Response::new(MockBody::steps([Step::Fail(io::ErrorKind::ConnectionReset)]))) };
        let mut call = get();
        *call.version_mut() = version;
        let Ok(response) = unpeeked().layer(Mock::new(move |_| broken())).oneshot(call).await;
        let start = tokio::time::Instant::now();
        response.into_body().collect().await.unwrap_err();
        assert_eq!(start.elapsed().as_millis(), expected, "{version:?}");
    }
}

/// And whoever has no timer goes without.
#[test]
fn without_a_runtime_an_error_is_an_error_all_the_same() {
    let layer = unpeeked().head_timeout(None).idle_timeout(None);
    let broken = || async { Ok(Response::new(MockBody::steps([Step::Fail(io::ErrorKind::ConnectionReset)]))) };
    let mut call = get();
    *call.version_mut() = Version::HTTP_2;
    let mut cx = Context::from_waker(Waker::noop());
    let mut call = Box::pin(layer.layer(Mock::new(move |_| broken())).oneshot(call));
    let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut cx) else { panic!("not ready") };
    let mut body = pin!(response.into_body());
    let error = loop {
        if let Poll::Ready(frame) = body.as_mut().poll_frame(&mut cx) {
            break frame.unwrap().unwrap_err();
        }
    };
    assert_eq!(error.failure().kind(), FailureKind::ConnectionTerminated);
}

#[tokio::test]
async fn what_came_before_the_error_is_delivered() {
    let mut body = through(
        BadGatewayLayer::new(),
        MockBody::steps([Step::Data("half"), Step::Fail(io::ErrorKind::UnexpectedEof)]),
    )
    .await;
    assert_eq!(next(&mut body).await.unwrap().unwrap().into_data().unwrap(), "half");
    assert!(next(&mut body).await.unwrap().is_err());
    assert!(next(&mut body).await.is_none());
}

#[tokio::test]
async fn the_error_of_a_body_hides_its_source_from_servers() {
    let body = through(unpeeked(), MockBody::steps([Step::Fail(io::ErrorKind::ConnectionReset)])).await;
    let error = body.collect().await.unwrap_err();
    assert!(error.source().is_none());
    assert!(error.failure().source().unwrap().is::<io::Error>());
    assert_eq!(error.to_string(), FailureKind::ConnectionTerminated.summary());
}

/// A layer around a layer: the failure is the same one, not one about it.
#[tokio::test]
async fn a_failure_keeps_its_meaning_through_another_layer() {
    let inner = through(unpeeked(), MockBody::steps([Step::Fail(io::ErrorKind::UnexpectedEof)])).await;
    let error = inner.collect().await.unwrap_err();
    let kind = error.failure().kind();
    assert_eq!(Failure::from_error(error.clone()).kind(), kind);
    assert_eq!(Failure::from_error(io::Error::other(error)).kind(), kind);
}

/// Whatever a body does to get on, its request was sent, and processed.
#[tokio::test]
async fn nothing_about_a_body_says_that_its_request_may_be_sent_again() {
    let kinds = [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::TimedOut,
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::NotConnected,
    ];
    for kind in kinds {
        let error = through(unpeeked(), MockBody::steps([Step::Fail(kind)])).await.collect().await.unwrap_err();
        let failure = error.failure();
        assert_eq!((failure.phase(), failure.retry_safety()), (Phase::ResponseBody, RetrySafety::Unknown), "{kind}");
        assert_eq!(Failure::from_body_error(io::Error::from(kind)).retry_safety(), RetrySafety::Unknown, "{kind}");
    }
}

/// What a layer further in has told the operator, the outer one need not.
#[tokio::test]
async fn a_broken_body_is_told_of_once() {
    let told = Arc::new(AtomicUsize::new(0));
    let layer = || {
        let told = Arc::clone(&told);
        BadGatewayLayer::new().on_body_failure(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
        })
    };
    let inner = layer().layer(Mock::new(|_| async {
        Ok(Response::new(MockBody::steps([Step::Data("a"), Step::Fail(io::ErrorKind::ConnectionReset)])))
    }));
    let Ok(response) = layer().layer(inner).oneshot(get()).await;
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.failure().kind(), FailureKind::ConnectionTerminated);
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_readers_verdict_counts_for_bodies_too() {
    let layer = unpeeked().classify(|cause: &tower_bad_gateway::classify::Cause<'_>| {
        (cause.seen_in() == Phase::ResponseBody).then_some(FailureKind::HttpResponseContentCoding)
    });
    let body = through(layer, MockBody::steps([Step::Fail(io::ErrorKind::ConnectionReset)])).await;
    assert_eq!(body.collect().await.unwrap_err().failure().kind(), FailureKind::HttpResponseContentCoding);
}

#[tokio::test]
async fn a_default_body_is_the_upstreams_default() {
    let body: ResponseBody<String> = ResponseBody::default();
    assert!(body.is_end_stream());
    let whole: Result<_, BodyError> = body.collect().await;
    assert_eq!(whole.unwrap().to_bytes(), Bytes::new());
}

#[tokio::test]
async fn the_content_of_an_answer_is_one_frame_of_known_length() {
    let Ok(response) = BadGatewayLayer::new().layer(Mock::failing(|| "boom")).oneshot(get()).await;
    let length: u64 = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let mut body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(length));
    assert!(!body.is_end_stream());
    assert_eq!(u64::try_from(next(&mut body).await.unwrap().unwrap().into_data().unwrap().len()).unwrap(), length);
    assert!(body.is_end_stream());
    assert!(next(&mut body).await.is_none());
}
