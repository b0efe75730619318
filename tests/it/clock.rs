//! One clock over head and body, and the one of a silent body.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty, Full};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_bad_gateway::{
    BadGatewayLayer, BoxError, Failure,
    FailureKind::*,
    context::Timeouts,
    failure::{Blame, Phase, TimeLimit},
};

use crate::{
    held::{answering, call, failure, of},
    mock::{
        Mock, MockBody,
        Step::{self, Data, Silence, Trailers, Wait},
        get, map, request, text,
    },
};

#[tokio::test(start_paused = true)]
async fn one_clock_runs_over_head_and_body() {
    let second = Duration::from_secs(1);
    let slow_head = |wait: Duration, steps: Vec<Step>| {
        let steps = Mutex::new(Some(steps));
        Mock::new(move |_| {
            let body = MockBody::steps(steps.lock().unwrap().take().unwrap());
            async move {
                sleep(wait).await;
                Ok(Response::new(body))
            }
        })
    };
    let layer = || BadGatewayLayer::new().total_timeout(10 * second);
    let grpc =
        |timeout: &'static str| request("POST", &[("content-type", "application/grpc"), ("grpc-timeout", timeout)]);
    let with = |timeouts: Timeouts| {
        let mut request = get();
        request.extensions_mut().insert(timeouts);
        request
    };
    let drip = || (0..20).flat_map(|_| [Wait(second), Data("a")]).collect::<Vec<_>>();

    // Before the head.
    for (name, layer, asked, waited, limit) in [
        ("total", layer(), get(), 10, TimeLimit::Total),
        ("the head's is shorter", layer().head_timeout(5 * second), get(), 5, TimeLimit::Head),
        ("the client's is shorter", layer(), grpc("4S"), 4, TimeLimit::Client),
        ("the client's is longer", layer(), grpc("40S"), 10, TimeLimit::Total),
        ("both are the same", layer(), grpc("10S"), 10, TimeLimit::Total),
        ("the request's own", layer(), with(Timeouts::new().total(3 * second)), 3, TimeLimit::Total),
        ("router", BadGatewayLayer::for_router().total_timeout(2 * second), get(), 2, TimeLimit::Total),
    ] {
        let start = Instant::now();
        let failure = failure(&call(layer, Mock::silent(), asked).await).unwrap();
        assert_eq!((start.elapsed().as_secs(), failure.limit()), (waited, Some(limit)), "{name}");
        assert_eq!((failure.kind(), failure.phase()), (HttpResponseTimeout, Phase::ResponseHead), "{name}");
    }
    // After it: however lively the body is, and whatever the idle limit.
    for (name, layer, asked, steps, waited, limit) in [
        ("silent", layer(), get(), vec![Data("a"), Silence], 10, Some(TimeLimit::Total)),
        ("dripping", layer(), get(), drip(), 10, Some(TimeLimit::Total)),
        (
            "idle is shorter",
            layer().idle_timeout(2 * second),
            get(),
            vec![Data("a"), Silence],
            6,
            Some(TimeLimit::Idle),
        ),
        ("in time", layer(), get(), vec![Data("a"), Wait(second), Data("b")], 5, None),
        ("none for this request", layer(), with(Timeouts::new().total(None)), drip(), 24, None),
    ] {
        let start = Instant::now();
        let response = call(layer, slow_head(4 * second, steps), asked).await;
        assert_eq!(start.elapsed(), 4 * second, "{name}");
        let failure = response.into_body().collect().await.err().map(|error| error.failure().clone());
        assert_eq!((start.elapsed().as_secs(), failure.as_ref().and_then(Failure::limit)), (waited, limit), "{name}");
        if let Some(failure) = failure {
            assert_eq!((failure.phase(), failure.blame()), (Phase::ResponseBody, Blame::Upstream), "{name}");
        }
    }
}

/// Idle is the upstream's time alone, the total is everybody's; what is complete by then is in time.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_has_until_the_total_limit() {
    let layer = || BadGatewayLayer::new().idle_timeout(Duration::from_secs(1)).total_timeout(Duration::from_secs(10));
    let mut body = call(layer(), of([Data("a"), Data("b"), Data("c")]), get()).await.into_body();
    body.frame().await.unwrap().unwrap();
    sleep(Duration::from_secs(9)).await;
    body.frame().await.unwrap().unwrap();
    sleep(Duration::from_secs(2)).await;
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.failure().limit(), Some(TimeLimit::Total));
    assert_eq!(error.failure().blame(), Blame::Client, "it was there to be read");

    // Nothing comes after trailers, whatever the body says of its end.
    let mut body =
        call(layer().idle_timeout(None), of([Data("a"), Wait(Duration::from_secs(9)), Trailers]), get()).await;
    body.body_mut().frame().await.unwrap().unwrap();
    sleep(Duration::from_secs(1)).await;
    let last = body.body_mut().frame();
    let (last, ()) = tokio::join!(last, tokio::time::advance(Duration::from_secs(9)));
    assert!(last.unwrap().unwrap().is_trailers());

    let mut body = call(layer(), of([Data("a")]), get()).await.into_body();
    sleep(Duration::from_secs(11)).await;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a", "it had come before");
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_has_no_limit_once_it_is_open() {
    let upgrade: &[(&str, &str)] = &[("connection", "upgrade"), ("upgrade", "websocket")];
    for (method, asked, status) in [("GET", upgrade, 101), ("CONNECT", &[], 200)] {
        let upstream = Mock::new(move |_| async move {
            sleep(Duration::from_millis(900)).await;
            let mut response = Response::builder().status(status);
            response.headers_mut().unwrap().extend(if status == 101 {
                map(&[("upgrade", "websocket")])
            } else {
                map(&[])
            });
            Ok(response.body(MockBody::steps([Wait(Duration::from_secs(3600))])).unwrap())
        });
        let layer = BadGatewayLayer::new().total_timeout(Duration::from_secs(1)).idle_timeout(Duration::from_secs(1));
        let response = call(layer, upstream, request(method, asked)).await;
        assert_eq!(response.status(), status);
        assert_eq!(text(response.into_body()).await.unwrap(), "");

        // No client switches a limit off by asking for a tunnel that does not come.
        let layer = BadGatewayLayer::new().total_timeout(Duration::from_secs(1));
        assert_eq!(call(layer, Mock::silent(), request(method, asked)).await.status(), 504, "{method}");
    }
    // Whoever switches unasked, in a router.
    let body = MockBody::steps([Wait(Duration::from_secs(3600))]);
    let layer = BadGatewayLayer::for_router().total_timeout(Duration::from_secs(1));
    let response = call(layer, answering(Response::builder().status(101).body(body).unwrap()), get()).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "");
}

/// Complete by its length, or because it says so.
#[tokio::test(start_paused = true)]
async fn the_last_byte_is_in_time() {
    let layer = || BadGatewayLayer::new().total_timeout(Duration::from_secs(10));
    let response = Response::builder().header("content-length", "2").body(MockBody::of(["a", "b"])).unwrap();
    let mut body = call(layer(), answering(response), get()).await.into_body();
    body.frame().await.unwrap().unwrap();
    sleep(Duration::from_secs(11)).await;
    body.frame().await.unwrap().unwrap();

    let whole = service_fn(|_: Request<Empty<Bytes>>| async { Ok::<_, BoxError>(Response::new(Full::from("hello"))) });
    let Ok(response) = layer().peek(false).layer(whole).oneshot(get()).await;
    sleep(Duration::from_secs(11)).await;
    assert_eq!(text(response.into_body()).await.unwrap(), "hello");
}

/// While a server writes to a slow client nobody asks for more.
#[tokio::test(start_paused = true)]
async fn a_head_that_was_held_does_not_start_the_clock_of_its_body() {
    let second = Duration::from_secs(1);
    let layer = BadGatewayLayer::new().hold_head(2 * second).idle_timeout(5 * second);
    let start = Instant::now();
    let mut body = call(layer, of([Wait(10 * second), Data("a")]), get()).await.into_body();
    assert_eq!(start.elapsed(), 2 * second);
    sleep(6 * second).await;
    body.frame().await.unwrap().unwrap();
}

/// A length that only a field tells makes a body one of known length.
#[tokio::test(start_paused = true)]
async fn the_clock_of_a_silent_body_knows_its_length() {
    for (length, expected) in [(Some("9"), 45), (None, 300)] {
        let mut response = Response::new(MockBody::steps([Data("a"), Silence]));
        if let Some(length) = length {
            response.headers_mut().insert("content-length", length.parse().unwrap());
        }
        let start = Instant::now();
        let response = call(BadGatewayLayer::new(), answering(response), get()).await;
        response.into_body().collect().await.unwrap_err();
        assert_eq!(start.elapsed().as_secs(), expected, "{length:?}");
    }
}

/// A body that is read by one task and then by another: the limit wakes the one that waits now, frame after frame.
#[tokio::test(start_paused = true)]
async fn the_clock_wakes_whoever_waits() {
    struct Wakes(AtomicUsize);
    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let layer = BadGatewayLayer::new().peek(false).idle_timeout(Duration::from_secs(5));
    let steps = [Wait(Duration::from_secs(1)), Data("a"), Wait(Duration::from_secs(1)), Data("b"), Silence];
    let mut body = call(layer, of(steps), get()).await.into_body();
    for _ in 0..2 {
        body.frame().await.unwrap().unwrap();
    }
    let tasks = [(); 2].map(|()| Arc::new(Wakes(AtomicUsize::new(0))));
    let count = |at: usize| tasks[at].0.load(Ordering::SeqCst);
    for task in &tasks {
        let waker = Waker::from(Arc::clone(task));
        for _ in 0..2 {
            let polled = Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
    }
    // The timer may still stand where the first silence would have ended: whoever waits is woken then, and asks again.
    sleep(Duration::from_millis(4999)).await;
    let early = count(1);
    assert!(Pin::new(&mut body).poll_frame(&mut Context::from_waker(&Waker::from(Arc::clone(&tasks[1])))).is_pending());
    sleep(Duration::from_millis(2)).await;
    assert_eq!((count(0), count(1)), (0, early + 1));
}
