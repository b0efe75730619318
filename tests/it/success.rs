//! Whole responses, for those who want to know: `on_success`, and the clock that it starts.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt};
use tower_bad_gateway::{BadGatewayLayer, Failure, FailureKind};

use crate::{
    held::{RESET, answering, call, failure, of},
    mock::{
        Mock, MockBody,
        Step::{Data, Silence, Wait},
        get, request,
    },
};

/// Status, seconds to the head, seconds to the end.
type Told = (u16, u64, u64);
type Seen = Arc<Mutex<Vec<Told>>>;

fn watched(layer: BadGatewayLayer) -> (BadGatewayLayer, Seen) {
    let seen = Seen::default();
    let hook = Arc::clone(&seen);
    let layer = layer.upstream("billing").on_success(move |event| {
        assert_eq!((event.request().path(), event.upstream(), event.gateway()), ("/path", Some("billing"), None));
        let (status, head, total) = (event.status().as_u16(), event.time_to_head(), event.time_to_end());
        hook.lock().unwrap().push((status, head.as_secs(), total.as_secs()));
        panic!("a hook that panics harms nobody");
    });
    (layer, seen)
}

fn after(head: Duration, response: Response<MockBody>) -> Mock {
    let response = Mutex::new(Some(response));
    Mock::new(move |_| {
        let response = response.lock().unwrap().take().unwrap();
        async move {
            tokio::time::sleep(head).await;
            Ok(response)
        }
    })
}

fn status(code: u16, body: MockBody) -> Response<MockBody> {
    Response::builder().status(code).body(body).unwrap()
}

/// (name, method, upstream, what is seen)
#[tokio::test(start_paused = true)]
async fn a_response_that_came_to_its_end_is_told_of_with_its_times() {
    let three = Duration::from_secs(3);
    let slow = || MockBody::steps([Data("a"), Wait(Duration::from_secs(4)), Data("b")]);
    let length = |length, body: MockBody| Response::builder().header("content-length", length).body(body).unwrap();
    let rows: [(&str, &str, Mock, Option<Told>); 19] = [
        ("at once", "GET", Mock::ok(), Some((200, 0, 0))),
        ("slow", "GET", after(three, Response::new(slow())), Some((200, 3, 7))),
        ("slow, with a length", "GET", after(three, length(2, slow())), Some((200, 3, 7))),
        ("trailers", "GET", of([Data("a"), crate::mock::Step::Trailers]), Some((200, 0, 0))),
        ("an error of the upstream's own", "GET", after(three, status(500, MockBody::of(["a"]))), Some((500, 3, 3))),
        ("no content", "GET", after(three, status(204, MockBody::of([]))), Some((204, 3, 3))),
        ("no content, and says so", "GET", after(three, status(204, MockBody::of([]).ended())), Some((204, 3, 3))),
        ("nothing new", "GET", after(three, status(304, MockBody::of([]).ended())), Some((304, 3, 3))),
        ("no content to HEAD", "HEAD", after(three, length(2, MockBody::of([]).ended())), Some((200, 3, 3))),
        ("empty", "GET", after(three, Response::new(MockBody::of([]))), Some((200, 3, 3))),
        ("content where none may be", "GET", after(three, status(204, MockBody::of(["a"]))), Some((204, 3, 3))),
        ("content to HEAD", "HEAD", after(three, Response::new(MockBody::of(["a"]))), Some((200, 3, 3))),
        ("refused", "GET", after(three, status(999, MockBody::of([]))), None),
        ("an error", "GET", Mock::failing(|| "boom"), None),
        ("silent", "GET", Mock::silent(), None),
        ("broken from the start", "GET", of([RESET]), None),
        ("broken later", "GET", of([Data("a"), RESET]), None),
        ("too short", "GET", answering(length(9, MockBody::of(["a"]))), None),
        ("silent later", "GET", of([Data("a"), Silence]), None),
    ];
    let mut wrong = Vec::new();
    for (name, method, upstream, expected) in rows {
        let (layer, seen) = watched(BadGatewayLayer::new());
        let response = call(layer, upstream, request(method, &[])).await;
        let _ = response.into_body().collect().await;
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        if seen != Vec::from_iter(expected) {
            wrong.push((name, seen, expected));
        }
    }
    assert!(wrong.is_empty(), "(name, seen, expected): {wrong:#?}");
}

/// (layer, request, upstream, what is seen)
#[tokio::test(start_paused = true)]
async fn it_is_told_whatever_is_done_with_head_and_body() {
    let three = Duration::from_secs(3);
    let slow = || {
        Response::new(MockBody::steps([
            Wait(Duration::from_secs(2)),
            Data("a"),
            Wait(Duration::from_secs(2)),
            Data("b"),
        ]))
    };
    let upgrade = || request("GET", &[("connection", "upgrade"), ("upgrade", "websocket")]);
    let switched = || {
        let response = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
        response.body(MockBody::of([])).unwrap()
    };
    let rows = [
        ("router", BadGatewayLayer::for_router(), get(), slow(), (200, 3, 7)),
        ("not looked at", BadGatewayLayer::new().peek(false), get(), slow(), (200, 3, 7)),
        // The head of the upstream, not ours.
        ("held", BadGatewayLayer::new().hold_head(Duration::from_secs(9)), get(), slow(), (200, 3, 7)),
        ("a tunnel: nobody sees its end", BadGatewayLayer::new(), upgrade(), switched(), (101, 3, 3)),
        ("CONNECT", BadGatewayLayer::new(), request("CONNECT", &[]), Response::new(MockBody::of([])), (200, 3, 3)),
    ];
    let mut wrong = Vec::new();
    for (name, layer, request, response, expected) in rows {
        let (layer, seen) = watched(layer);
        let _ = call(layer, after(three, response), request).await.into_body().collect().await;
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        if seen != [expected] {
            wrong.push((name, seen, expected));
        }
    }
    assert!(wrong.is_empty(), "(name, seen, expected): {wrong:#?}");
}

/// The call, not the first time that somebody looks.
#[tokio::test(start_paused = true)]
async fn the_time_is_that_from_the_call() {
    let (layer, seen) = watched(BadGatewayLayer::new());
    let mut service = layer.layer(after(Duration::from_secs(3), Response::new(MockBody::of(["a"]))));
    let call = tower::Service::call(&mut service.ready().await.unwrap(), get());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let Ok(response) = call.await;
    drop(response.into_body().collect().await);
    assert_eq!(*seen.lock().unwrap(), [(200, 8, 8)]);
}

/// Nobody has been served by what goes down in a panic, the body's or another's.
#[tokio::test]
async fn a_panic_is_no_success() {
    struct Panics;
    impl http_body::Body for Panics {
        type Data = bytes::Bytes;
        type Error = io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<io::Result<http_body::Frame<bytes::Bytes>>>> {
            panic!("a body");
        }
    }
    let (layer, seen) = watched(BadGatewayLayer::new().peek(false));
    let upstream =
        tower::service_fn(|_: Request<Empty<bytes::Bytes>>| async { Ok::<_, io::Error>(Response::new(Panics)) });
    let Ok(response) = layer.layer(upstream).oneshot(get()).await;
    tokio::spawn(response.into_body().collect()).await.unwrap_err();

    let whole = Response::builder().header("content-length", 1).body(MockBody::of(["a"])).unwrap();
    let mut body = call(layer, answering(whole), get()).await.into_body();
    body.frame().await.unwrap().unwrap();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _body = body;
        panic!("somebody else");
    }))
    .unwrap_err();
    assert_eq!(*seen.lock().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_has_not_been_served() {
    let (layer, seen) = watched(BadGatewayLayer::new());
    drop(call(layer.clone(), of([Data("a"), Data("b")]), get()).await);
    let mut body = call(layer.clone(), of([Data("a"), Data("b")]), get()).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(*seen.lock().unwrap(), []);

    // All that was promised has been taken: servers ask no more.
    let whole = Response::builder().header("content-length", 2).body(MockBody::of(["a", "b"])).unwrap();
    let mut body = call(layer, answering(whole), get()).await.into_body();
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(*seen.lock().unwrap(), [(200, 0, 0)]);
}

#[tokio::test]
async fn an_answer_of_a_layer_further_in_is_no_success() {
    let (layer, seen) = watched(BadGatewayLayer::new());
    let inner = BadGatewayLayer::new().layer(Mock::failing(|| "boom"));
    let Ok(response) = layer.layer(inner).oneshot(get()).await;
    assert_eq!(response.status(), 502);
    let _ = response.into_body().collect().await;
    assert_eq!(*seen.lock().unwrap(), []);
}

/// Otherwise the clock is not read before somebody waits.
#[tokio::test(start_paused = true)]
async fn with_the_hook_the_time_of_every_failure_is_known() {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let elapsed = async |layer: BadGatewayLayer, upstream: Mock, request: Request<Empty<_>>| {
        failure(&call(layer, upstream, request).await).unwrap().elapsed()
    };
    assert_eq!(elapsed(BadGatewayLayer::new(), Mock::failing(refused), get()).await, None);
    let (layer, _) = watched(BadGatewayLayer::new());
    assert_eq!(elapsed(layer.clone(), Mock::failing(refused), get()).await, Some(Duration::ZERO));
    let late = elapsed(layer.clone().head_timeout(Duration::from_secs(5)), Mock::silent(), get()).await;
    assert_eq!(late, Some(Duration::from_secs(5)));

    let steps = [Data("a"), Wait(Duration::from_secs(4)), RESET];
    let error = call(layer, of(steps), get()).await.into_body().collect().await.unwrap_err();
    let failure: &Failure = Failure::find(&error).unwrap();
    assert_eq!((failure.kind(), failure.elapsed()), (FailureKind::ConnectionTerminated, Some(Duration::from_secs(4))));

    let slow = after(Duration::from_secs(3), Response::new(MockBody::steps([RESET])));
    let (layer, _) = watched(BadGatewayLayer::new());
    assert_eq!(elapsed(layer, slow, get()).await, Some(Duration::from_secs(3)), "a body that the peek finds broken");

    let times = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&times);
    let (layer, _) = watched(BadGatewayLayer::new());
    let layer = layer.on_abandoned(move |event| hook.lock().unwrap().push(event.elapsed()));
    let response = call(layer, of([Data("a"), Data("b")]), get()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(response);
    assert_eq!(*times.lock().unwrap(), [Some(Duration::from_secs(2))]);
}

/// Of a service that does not become ready it is the time in which it did not.
#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_never_ready_has_had_its_time() {
    let upstream = Mock::ok().ready([crate::mock::Ready::Never]);
    let failure = failure(&call(BadGatewayLayer::new(), upstream, get()).await).unwrap();
    assert_eq!(failure.elapsed(), Some(Duration::from_secs(10)));
}
