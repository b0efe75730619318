//! Whoever does not wait for the end.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::time::timeout;
use tower::{Layer, ServiceExt, service_fn};
use tower_bad_gateway::BadGatewayLayer;

use crate::{
    held::{RESET, answering, call, of},
    mock::{
        Mock, MockBody,
        Step::{Data, Silence},
        get,
    },
};

type Abandoned = Arc<Mutex<Vec<(String, Option<u16>, Option<u64>)>>>;

fn watched(layer: BadGatewayLayer) -> (BadGatewayLayer, Abandoned) {
    let seen = Abandoned::default();
    let hook = Arc::clone(&seen);
    let layer = layer.on_abandoned(move |event| {
        let elapsed = event.elapsed().map(|elapsed| elapsed.as_secs());
        let status = event.status().map(|status| status.as_u16());
        hook.lock().unwrap().push((event.request().path().to_owned(), status, elapsed));
        panic!("a hook that panics harms nobody");
    });
    (layer, seen)
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_before_the_head_is_told_of() {
    let told = |seen: &Abandoned| std::mem::take(&mut *seen.lock().unwrap());
    let path = || "/path".to_owned();
    let (layer, seen) = watched(BadGatewayLayer::new().head_timeout(None));

    drop(layer.layer(Mock::silent()).oneshot(get()));
    assert_eq!(told(&seen), [], "nothing was called");

    let gone = timeout(Duration::from_secs(7), layer.layer(Mock::silent()).oneshot(get())).await;
    gone.map(drop).unwrap_err();
    assert_eq!(told(&seen), [(path(), None, Some(7))]);

    let held = layer.clone().hold_head(Duration::from_secs(60));
    let gone = timeout(Duration::from_secs(7), call(held, of([Silence]), get())).await;
    gone.map(drop).unwrap_err();
    assert_eq!(told(&seen), [(path(), None, None)]);

    for upstream in [Mock::ok(), Mock::failing(|| "boom"), of([RESET])] {
        let response = call(layer.clone(), upstream, get()).await;
        let _ = response.into_body().collect().await;
    }
    assert_eq!(told(&seen), [], "answers and whole responses");
}

/// Dropped after so many frames: who has not seen the end, and has not got all that was promised, has left.
#[tokio::test]
async fn whoever_leaves_before_the_end_is_told_of() {
    let length = |length: u64, body: MockBody| Response::builder().header("content-length", length).body(body).unwrap();
    let rows: [(&str, Response<MockBody>, usize, bool); 11] = [
        ("unread", Response::new(MockBody::of(["a"])), 0, true),
        ("unread, with a length", length(1, MockBody::of(["a"])), 0, true),
        ("half", Response::new(MockBody::of(["a", "b"])), 1, true),
        ("half, with a length", length(2, MockBody::of(["a", "b"])), 1, true),
        ("the end not seen", Response::new(MockBody::of(["a"])), 1, true),
        ("all that was promised", length(1, MockBody::of(["a"])), 1, false),
        ("the end seen", Response::new(MockBody::of(["a"])), 2, false),
        ("broken", Response::new(MockBody::steps([Data("a"), RESET])), 2, false),
        ("empty, and says so", Response::new(MockBody::of([]).ended()), 0, false),
        ("no content", Response::builder().status(204).body(MockBody::of(["a"])).unwrap(), 0, false),
        ("empty, and looked at", Response::new(MockBody::of([])), 0, false),
    ];
    let mut wrong = Vec::new();
    for (name, response, frames, left) in rows {
        let (layer, seen) = watched(BadGatewayLayer::new());
        let mut body = call(layer, answering(response), get()).await.into_body();
        for _ in 0..frames {
            let _ = body.frame().await;
        }
        drop(body);
        let got = std::mem::take(&mut *seen.lock().unwrap());
        let expected = if left { vec![("/path".to_owned(), Some(200), None)] } else { Vec::new() };
        if got != expected {
            wrong.push((name, got));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The panic is told of by whoever catches it, at once or later; a hook that panics as well must not end the process.
#[tokio::test]
async fn a_panic_is_nobody_leaving() {
    struct Panics;
    impl Body for Panics {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            panic!("inside")
        }
    }
    let (layer, seen) = watched(BadGatewayLayer::new());
    let service = || service_fn(|_| async { panic!("inside") as Result<Response<Panics>, Infallible> });
    let body = || service_fn(|_| async { Ok::<_, Infallible>(Response::new(Panics)) });
    let unwound = layer.clone().layer(service());
    let task = tokio::spawn(async move { unwound.oneshot(get()).await.map(drop) });
    assert!(task.await.unwrap_err().is_panic());

    // Somebody else in the same task.
    let waiting = layer.clone().layer(Mock::silent());
    let task = tokio::spawn(async move {
        let mut call = Box::pin(waiting.oneshot(get()));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        panic!("outside");
    });
    assert!(task.await.unwrap_err().is_panic());

    // As tower-http's CatchPanic does: what has panicked is dropped when all is calm again.
    let mut call = Box::pin(layer.clone().layer(service()).oneshot(get()));
    let mut cx = Context::from_waker(Waker::noop());
    catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut cx).is_ready())).unwrap_err();
    drop(call);
    let Ok(response) = layer.peek(false).layer(body()).oneshot(get()).await;
    let mut body = Box::pin(response.into_body());
    catch_unwind(AssertUnwindSafe(|| body.as_mut().poll_frame(&mut cx).is_ready())).unwrap_err();
    drop(body);
    assert_eq!(*seen.lock().unwrap(), []);
}
