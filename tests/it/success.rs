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
        let (status, head, total) = (event.status().as_u16(), event.head(), event.total());
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
    let rows: [(&str, &str, Mock, Option<Told>); 15] = [
        ("at once", "GET", Mock::ok(), Some((200, 0, 0))),
        ("slow", "GET", after(three, Response::new(slow())), Some((200, 3, 7))),
        ("slow, with a length", "GET", after(three, length(2, slow())), Some((200, 3, 7))),
        ("trailers", "GET", of([Data("a"), crate::mock::Step::Trailers]), Some((200, 0, 0))),
        ("an error of the upstream's own", "GET", after(three, status(500, MockBody::of(["a"]))), Some((500, 3, 3))),
        ("no content", "GET", after(three, status(204, MockBody::of([]))), Some((204, 3, 3))),
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

#[tokio::test(start_paused = true)]
async fn whoever_leaves_and_whoever_panics_has_not_been_served() {
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
}
